"""Answers against transformers' model and tokenizer, with all spans of all windows compared one by one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import bertref
from bertref.api import AnswerOptions
from bertref.inference.question_answering import N_BEST

from .saved import TEXT, make


def brute_force(network: Any, folder: Path, question: str, context: str, length: int, stride: int, longest: int) -> Any:
    """({text: best score}, score of no answer): windows by transformers' tokenizer, spans by plain loops."""
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    asked = len(tokenizer(question, add_special_tokens=False)["input_ids"])
    given = tokenizer(
        question, context, truncation="only_second", max_length=length, stride=length - asked - 3 - stride,
        return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="pt", padding=True,
    )  # fmt: skip
    places = given.pop("offset_mapping")
    given.pop("overflow_to_sample_mapping")
    with torch.no_grad():
        out = network(**given)
    starts, ends = out.start_logits.numpy(), out.end_logits.numpy()
    windows = [[i for i, kind in enumerate(given.sequence_ids(w)) if kind == 1] for w in range(len(starts))]
    spans: dict[str, float] = {}
    for w, inside in enumerate(windows):
        for a in inside:
            if context_of(places, windows, w, a) < max(
                context_of(places, windows, v, b)
                for v, other in enumerate(windows)
                for b in other
                if places[v][b].tolist() == places[w][a].tolist()
            ):
                continue
            for b in inside:
                if a <= b < a + longest:
                    text = context[places[w][a][0] : places[w][b][1]]
                    spans[text] = max(spans.get(text, -np.inf), float(starts[w][a] + ends[w][b]))
    return spans, min(float(s[0] + e[0]) for s, e in zip(starts, ends, strict=True)), len(windows)


def context_of(places: Any, windows: list[list[int]], w: int, at: int) -> float:
    inside = windows[w]
    return min(at - inside[0], inside[-1] - at) + 0.01 * len(inside) - 1e-6 * w


PLAIN = (
    "Ada Lovelace lived in London, in 1852. It rained; he went to New York (the city) and wrote the book. "
    "Who lived where? Zoe's cafe - naive - was 'the city'!"
)


@pytest.mark.parametrize(("positions", "stride", "count"), [(150, 128, 1), (48, 13, 3), (40, 6, 6), (30, 99, 3)])
def test_the_best_answers_are_those_of_a_search_over_all_spans(
    tmp_path: Path, positions: int, stride: int, count: int
) -> None:
    network = make(tmp_path / "m", "BertForQuestionAnswering", positions=positions)
    model = bertref.load(tmp_path / "m", dtype="float64")
    question, longest = "Who wrote the book?", 4
    room = positions - 5 - 3
    spans, null, windows = brute_force(network, tmp_path / "m", question, PLAIN, positions, min(stride, room), longest)
    assert windows == count
    options = AnswerOptions(top_k=N_BEST, max_answer_length=longest, doc_stride=stride)
    found = model.answer(question, PLAIN, options)
    want = sorted(spans.items(), key=lambda item: -item[1])[:N_BEST]
    assert [a.text for a in found.best] == [text for text, _ in want]
    assert [a.score for a in found.best] == pytest.approx([score for _, score in want], rel=1e-11)
    assert all(PLAIN[a.start : a.end] == a.text for a in found.best)
    weights = np.exp(np.array([score for _, score in want]) - want[0][1])
    assert [a.probability for a in found.best] == pytest.approx(weights / weights.sum(), rel=1e-11)
    assert found.no_answer_score == pytest.approx(null - want[0][1], rel=1e-11)


def test_answers_are_cut_out_of_the_original_text(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForQuestionAnswering", positions=100)
    model = bertref.load(tmp_path / "m", dtype="float64")
    context = "  Zoë\u00ad's  cafe\u0301 —\u200b naïve\t(博物) was \u201cthe  City\u201d!"
    pieces = model.tokenizer.locate(context)
    edges = {p.start for p in pieces}, {p.end for p in pieces}
    found = model.answer("Where?", context, AnswerOptions(top_k=20, max_answer_length=12))
    assert len(found.best) == 20
    for answer in found.best:
        assert answer.text == context[answer.start : answer.end]
        assert answer.start in edges[0]
        assert answer.end in edges[1]
    assert any("\u0301" in a.text or "\u200b" in a.text or "  " in a.text for a in found.best)


def test_no_answer_is_a_candidate_on_request(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForQuestionAnswering", positions=40)
    model = bertref.load(tmp_path / "m", dtype="float64")
    plain = model.answer("Who?", TEXT, AnswerOptions(top_k=20))
    gap = plain.no_answer_score
    assert "" not in [a.text for a in plain.best]
    liked = model.answer("Who?", TEXT, AnswerOptions(top_k=20, null_threshold=gap - 1e-9))
    assert (liked.best[0].text, liked.best[0].start, liked.best[0].end) == ("", 0, 0)
    assert liked.best[0].score == pytest.approx(plain.best[0].score + gap, rel=1e-12)
    assert [a.text for a in liked.best[1:]] == [a.text for a in plain.best[:19]]
    spurned = model.answer("Who?", TEXT, AnswerOptions(top_k=20, null_threshold=gap + 1e-9))
    assert spurned.best[0].text == plain.best[0].text
    assert sum(a.probability for a in plain.best) == pytest.approx(1, rel=1e-12)
    if gap > 0:
        assert spurned.best[1].text == ""


@pytest.mark.parametrize("backend", ["torch", "strict"])
def test_batches_and_backends_agree(tmp_path: Path, backend: str) -> None:
    make(tmp_path / "m", "BertForQuestionAnswering", positions=30)
    ours = bertref.load(tmp_path / "m", dtype="float64")
    other = bertref.load(tmp_path / "m", dtype="float64", backend=backend)
    questions, contexts = ["Who?", "Where was it?", "When"], [TEXT, "In London.", PLAIN]
    batch = other.answer_batch(questions, contexts)
    for question, context, found in zip(questions, contexts, batch, strict=True):
        single = ours.answer(question, context)
        assert [a.text for a in found.best] == [a.text for a in single.best]
        assert [a.score for a in found.best] == pytest.approx([a.score for a in single.best], rel=1e-11)


def test_a_long_question_is_cut(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForQuestionAnswering")
    model = bertref.load(tmp_path / "m", dtype="float64")
    long = "Who lived in London and wrote the book in the city in New York ?"
    options = AnswerOptions(max_query_length=3)
    assert model.answer(long, PLAIN, options) == model.answer("Who lived in", PLAIN, options)


def test_wrong_use_is_said(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForQuestionAnswering", positions=16)
    model = bertref.load(tmp_path / "m")
    for question, context, options, message in [
        ("", "a", {}, "the question '' has no words"),
        ("a", " \n", {}, "the context .* has no words"),
        ("a " * 20, "a", {}, "tokens are left for the text"),
        ("a", "a", {"max_seq_length": 4}, "0 tokens are left"),
    ]:
        with pytest.raises(bertref.InputError, match=message):
            model.answer(question, context, AnswerOptions(**options))  # type: ignore[arg-type]
    for name in ("top_k", "doc_stride", "max_answer_length", "max_query_length"):
        with pytest.raises(bertref.InputError, match=f"{name} is 0"):
            AnswerOptions(**{name: 0})
    with pytest.raises(bertref.InputError, match="top_k is 21; at most 20"):
        AnswerOptions(top_k=21)
    with pytest.raises(bertref.InputError, match="1 questions and 2 contexts"):
        model.answer_batch(["a"], ["a", "b"])
