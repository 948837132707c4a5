"""Labels of texts, and choices, against transformers' pipeline and model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import bertref
from bertref.inference import loaded, sequence_classification
from bertref.inference.sequence_classification import sigmoid

from .saved import TEXT, labels, make, pipeline

TEXTS = ["It rained.", "Who wrote the book?", "x", "Ada Lovelace lived in London, in 1852."]
PROBLEMS = [
    (None, ("bad", "good", "so-so")),
    ("single_label_classification", ("bad", "good")),
    ("multi_label_classification", ("rain", "sun", "wind")),
    ("multi_label_classification", ("rain",)),
    ("regression", ("grade",)),
    ("regression", ("warm", "wet")),
]


@pytest.mark.parametrize(("problem", "names"), PROBLEMS, ids=str)
def test_every_label_has_transformers_score(tmp_path: Path, problem: str | None, names: tuple[str, ...]) -> None:
    network = make(tmp_path / "m", "BertForSequenceClassification", problem_type=problem, **labels(*names))
    model = bertref.load(tmp_path / "m", dtype="float64")
    theirs = pipeline("text-classification", tmp_path / "m", network, top_k=None)
    for text, scores in zip(TEXTS, model.classify_batch(TEXTS), strict=True):
        want = {found["label"]: found["score"] for found in theirs([text])[0]}
        # the pipeline rounds to float32
        assert {s.label: s.score for s in scores} == pytest.approx(want, rel=2e-6, abs=2e-7)
        if problem == "regression":
            assert [s.label for s in scores] == list(names)
        else:
            assert [s.score for s in scores] == sorted((s.score for s in scores), reverse=True)
    sums = [sum(s.score for s in scores) for scores in model.classify_batch(TEXTS)]
    assert (max(abs(total - 1) for total in sums) < 1e-12) == (problem in (None, "single_label_classification"))


def test_one_label_without_a_problem_type_is_a_regression(tmp_path: Path) -> None:
    network = make(tmp_path / "m", "BertForSequenceClassification", **labels("grade"))
    with torch.no_grad():
        tokenizer = transformers.BertTokenizerFast.from_pretrained(tmp_path / "m")
        want = network(**tokenizer("It rained.", return_tensors="pt")).logits.item()
    ((label, score),) = bertref.load(tmp_path / "m", dtype="float64").classify("It rained.")
    assert label == "grade"
    assert score == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_pairs_and_batches(tmp_path: Path, backend: str) -> None:
    network = make(tmp_path / "m", "BertForSequenceClassification", **labels("no", "yes", "perhaps"))
    model = bertref.load(tmp_path / "m", dtype="float64", backend=backend)
    first, second = TEXTS * 10, [*TEXTS[1:], TEXTS[0]] * 10
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tmp_path / "m")
    found = model.classify_batch(first, second)
    with torch.no_grad():
        out = network(**tokenizer(first, second, return_tensors="pt", padding=True)).logits.softmax(-1).numpy()
    got = np.array([[dict(scores)[name] for name in ("no", "yes", "perhaps")] for scores in found])
    np.testing.assert_allclose(got, out, rtol=1e-11)
    assert dict(model.classify(first[1], second[1])) == pytest.approx(dict(found[1]), rel=1e-12)
    assert model.classify(first[1]) != found[1]


@pytest.mark.parametrize("windows", [None, True])
@pytest.mark.parametrize("problem", ["single_label_classification", "regression"])
def test_many_texts_keep_their_order_and_share_parts_by_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str, windows: bool | None
) -> None:
    """Each text is answered as by itself, whatever stands beside it; none is padded to a much longer one."""
    make(tmp_path / "m", "BertForSequenceClassification", problem_type=problem, **labels("bad", "good"))
    model = bertref.load(tmp_path / "m", dtype="float64")
    random = np.random.default_rng(3)
    words = "it rained who wrote the book".split()
    texts = [" ".join(random.choice(words, n)) for n in random.integers(0, 50 if windows else 20, 150)]
    alone = [dict(model.classify(text, windows=windows)) for text in texts]
    shapes: list[tuple[int, int]] = []
    pooled = loaded.pooled

    def watched(own: Any, encodings: Any) -> Any:
        lengths = [len(encoding.input_ids) for encoding in encodings]
        shapes.append((min(lengths), max(lengths)))
        assert sum(lengths) <= 2 * loaded.PART
        return pooled(own, encodings)

    monkeypatch.setattr(loaded, "PART", 300)
    monkeypatch.setattr(sequence_classification, "pooled", watched)
    for found, want in zip(model.classify_batch(texts, windows=windows), alone, strict=True):
        assert dict(found) == pytest.approx(want, rel=1e-12, abs=1e-14)
    assert len(shapes) > 4
    shapes.sort(reverse=True)
    assert all(longest <= below[0] for (_, longest), below in zip(shapes[1:], shapes, strict=False))
    assert model.classify_batch([], windows=windows) == []


def test_sigmoid_neither_overflows_nor_loses_small_values() -> None:
    x = np.array([-1e4, -700.0, -30.0, 0.0, 2.0, 1e4])
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(x)
    want = torch.sigmoid(torch.tensor(x)).numpy()
    np.testing.assert_allclose(found, want, rtol=1e-14, atol=0)


@pytest.mark.parametrize("count", [2, 4, 40])
def test_choices_are_transformers(tmp_path: Path, count: int) -> None:
    network = make(tmp_path / "m", "BertForMultipleChoice")
    model = bertref.load(tmp_path / "m", dtype="float64")
    assert model.heads == ("multiple_choice",)
    context, choices = "He went in.", [f"{text} {i}" for i, text in zip(range(count), TEXTS * 10, strict=False)]
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tmp_path / "m")
    given = tokenizer([context] * count, choices, return_tensors="pt", padding=True)
    with torch.no_grad():
        want = network(**{k: v[None] for k, v in given.items()}).logits.softmax(-1).numpy()[0]
    found = model.choose(context, choices)
    assert sorted(s.number for s in found) == list(range(count))
    assert [s.text for s in found] == [choices[s.number] for s in found]
    np.testing.assert_allclose([s.probability for s in found], want[[s.number for s in found]], rtol=1e-11)
    assert [s.probability for s in found] == sorted((s.probability for s in found), reverse=True)
    several = model.choose_batch([context, "It rained."], [choices[:2], choices])
    assert several[1] == model.choose("It rained.", choices)
    assert [len(some) for some in several] == [2, count]


def test_what_can_not_be_done_is_said(tmp_path: Path) -> None:
    make(tmp_path / "c", "BertForSequenceClassification", **labels("a", "b"))
    make(tmp_path / "m", "BertForMultipleChoice")
    make(tmp_path / "e", "BertModel")
    classifier, chooser, encoder = (bertref.load(tmp_path / name) for name in "cme")

    def fails(message: str, function: Any, *arguments: Any) -> None:
        with pytest.raises(bertref.InputError, match=message):
            function(*arguments)

    fails("no head for multiple-choice; it does sequence-classification", classifier.choose, "a", ["b", "c"])
    fails("no head for question-answering; it does multiple-choice", chooser.answer, "a", "b")
    fails("no head for fill-mask; it is an encoder alone", encoder.predict, "[MASK]")
    fails("no head for sequence-classification", encoder.classify, "a")
    fails("no head for token-classification", encoder.tag, "a")
    fails("no head for next-sentence", encoder.next_sentence, "a", "b")
    fails("1 choices for 'a'; give at least two", chooser.choose, "a", ["b"])
    fails("1 contexts and 2 lists", chooser.choose_batch, ["a"], [["b", "c"]] * 2)
    fails(r"text 2 has \d+ tokens; this model reads at most 48", classifier.classify_batch, ["a", TEXT])
