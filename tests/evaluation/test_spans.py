"""Answers of a part are the predictor's, scored by SQuAD's two rules, and written as the original writes them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertref
from bertref.api import AnswerOptions
from bertref.data.tasks.examples import Answer, Part, SpanExample
from bertref.data.tasks.squad import squad_part
from bertref.errors import InputError
from bertref.evaluation import SpanAnswersOfPart, check_metrics, evaluate_part, spans
from bertref.evaluation.span_metrics import span_metrics
from bertref.evaluation.squad_files import nbest, write_squad_files
from bertref.metrics.spans import figures, score_v1, score_v2
from bertref.tasks.span_search import N_BEST, Candidate, Candidates
from bertref.tasks.spans import SpanSettings

from ..inference.saved import TEXT, make

KIND = "question-answering"
SETTINGS = SpanSettings(max_length=40, stride=9, max_answer_length=6)
QUESTIONS = ["Who?", "Who wrote the book?", "Where was it?", "When did she live in London?", "What rained?"]
EXAMPLES = [
    SpanExample(f"q{i}", question, TEXT[i:], answers, answerable=bool(answers))
    for i, question in enumerate(QUESTIONS)
    for answers in [(Answer("London", 26 - i), Answer("in London", 23 - i)) if i % 2 else ()]
]


def part_of(*examples: SpanExample) -> Part:
    return Part("dev", (), lambda: iter(examples))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    make(folder, "BertForQuestionAnswering", positions=48, seed=3)
    return bertref.load(folder, dtype="float64")


def answers(model: Any, threshold: float | None = None) -> SpanAnswersOfPart:
    return spans.answer_spans(model, KIND, part_of(*EXAMPLES), replace(SETTINGS, null_threshold=threshold))


def middle(model: Any) -> float:
    """A threshold that some questions' null odds are above."""
    return float(np.median([*answers(model).null_odds.values()]))


@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize("above", [None, -99.0, 0.0, 99.0])
def test_answers_are_the_predictors(
    model: Any, above: float | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "BLOCK", block)
    threshold = None if above is None else middle(model) + above + 1e-9
    found = answers(model, threshold)
    assert list(found.predictions) == [example.place for example in EXAMPLES]
    for example in EXAMPLES:
        options = AnswerOptions(
            top_k=N_BEST, max_answer_length=6, max_seq_length=40, doc_stride=9, null_threshold=threshold
        )
        single = model.answer(example.question, example.context, options)
        assert found.predictions[example.place] == single.best[0].text
        assert found.null_odds[example.place] == pytest.approx(single.no_answer_score, rel=1e-11)
        texts = [candidate.text for candidate in found.candidates[example.place].spans]
        assert texts[: N_BEST - 1] == [best.text for best in single.best if best.text][: N_BEST - 1]
    answered = sum(map(bool, found.predictions.values()))
    assert answered == {None: 5, -99.0: 0, 0.0: 3, 99.0: 5}[above]


def test_metrics_of_version_1(model: Any) -> None:
    some = [example for example in EXAMPLES if example.answerable]
    found = evaluate_part(model, KIND, part_of(*some), SETTINGS)
    golds = {example.place: [answer.text for answer in example.answers] for example in some}
    wanted = figures(score_v1(golds, found.answers.predictions))
    assert {name: value.value for name, value in found.metrics.items()} == {
        "exact_match": wanted["exact"], "f1": wanted["f1"]
    }  # fmt: skip
    assert (found.examples, found.part) == (2, "dev")


@pytest.mark.parametrize("above", [-99.0, 0.0, 99.0])
def test_metrics_of_version_2_are_those_of_the_predictions(model: Any, above: float) -> None:
    """The three questions that the model answers most gladly have the right answers that it gives, the others none."""
    found = answers(model)
    sure = sorted(found.null_odds, key=lambda name: found.null_odds[name])[:3]
    golds = {name: [found.predictions[name]] if name in sure else [] for name in found.predictions}
    truth = [
        replace(e, answers=tuple(Answer(text, 0) for text in golds[e.place]), answerable=e.place in sure)
        for e in EXAMPLES
    ]
    settings = replace(SETTINGS, null_threshold=middle(model) + above - 1e-9)
    evaluation = evaluate_part(model, KIND, part_of(*truth), settings, metrics=("best_f1",))
    got = {name: value.value for name, value in evaluation.metrics.items()}
    wanted = figures(score_v2(golds, evaluation.answers.predictions))
    assert (got["exact_match"], got["f1"]) == (wanted["exact"], wanted["f1"])
    for name in ("HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1"):
        assert got[name] == wanted[name]
    assert got["f1"] == pytest.approx({-99.0: 40, 0.0: 80, 99.0: 60}[above])
    assert (got["best_f1"], got["best_f1_thresh"]) == (100, found.null_odds[sure[-1]])


def test_a_threshold_counts_as_its_predictions_do() -> None:
    """An answer without words is right if nothing is predicted: the script's own threshold calls that wrong."""
    span = Candidates([Candidate("city", 0, 4, 1.0, 1.0)], Candidate("", 0, 0, 2.0, 2.0))
    found = span_metrics(KIND, SpanAnswersOfPart({"q": span}, {"q": ("the",)}, 0.0))
    assert found["f1"].value == figures(score_v2({"q": ["the"]}, {"q": ""}))["f1"] == 100


def test_without_questions_of_one_sort_its_metrics_are_undefined(model: Any) -> None:
    found = evaluate_part(model, KIND, part_of(*EXAMPLES[::2]), replace(SETTINGS, null_threshold=0.0)).metrics
    assert math.isnan(found["HasAns_f1"].value)
    assert found["HasAns_f1"].undefined
    assert not found["NoAns_f1"].undefined


def test_unknown_answers_and_a_limit(model: Any) -> None:
    unknown = [replace(example, answers=(), answerable=None) for example in EXAMPLES]
    found = evaluate_part(model, KIND, part_of(*unknown), SETTINGS, limit=2)
    assert (found.examples, dict(found.metrics)) == (2, {})


def test_wrong_use_is_said(model: Any) -> None:
    with pytest.raises(InputError, match="there is no metric 'bleu' for these questions; choose from exact_match, f1,"):
        check_metrics(KIND, ("bleu",))
    check_metrics(KIND, ("exact_match", "best_f1"))
    with pytest.raises(InputError, match="there is no metric 'best_f1'"):
        evaluate_part(model, KIND, part_of(EXAMPLES[1]), SETTINGS, metrics=("best_f1",))
    with pytest.raises(InputError, match=r"q0 has no answer, but SQuAD 1\.1 has one"):
        evaluate_part(model, KIND, part_of(*EXAMPLES), SETTINGS)
    with pytest.raises(InputError, match="q9: can't be answered: the question ' ' has no words"):
        evaluate_part(model, KIND, part_of(SpanExample("q9", " ", TEXT)), SETTINGS)


def by_the_original(found: Candidates) -> list[tuple[str, float, float]]:
    """The second half of `write_predictions`: all candidates by their scores, the first `N_BEST` of them, and "no
    answer" at the end if it is not among these."""
    listed = sorted([*found.spans, found.null], key=lambda c: c.start_logit + c.end_logit, reverse=True)[:N_BEST]
    if "" not in [c.text for c in listed]:
        listed.append(found.null)
    return [(c.text, c.start_logit, c.end_logit) for c in listed]


@pytest.mark.parametrize("count", [1, 2, 19, 20])
@pytest.mark.parametrize("null", [-1, 0, 3, 18, 19, 99])
def test_no_answer_stands_where_the_original_has_it(count: int, null: int) -> None:
    options = [Candidate(f"w{i}", i, i + 1, 10.0 - i, -0.25 * i) for i in range(count)]
    found = Candidates(options, Candidate("", 0, 0, 10.0 - null, -0.25 * null))
    rows = nbest(found, unanswerable=True)
    assert [(r["text"], r["start_logit"], r["end_logit"]) for r in rows] == by_the_original(found)
    weights = np.exp([start + end for _, start, end in by_the_original(found)])
    assert [r["probability"] for r in rows] == pytest.approx(weights / weights.sum(), rel=1e-12)
    assert [r["text"] for r in nbest(found, unanswerable=False)] == [c.text for c in options]


def test_files(model: Any, tmp_path: Path) -> None:
    plain = answers(model)
    assert [path.name for path in write_squad_files(tmp_path, plain)] == ["predictions.json", "nbest_predictions.json"]
    assert json.loads((tmp_path / "predictions.json").read_text()) == plain.predictions
    found = answers(model, middle(model))
    names = [path.name for path in write_squad_files(tmp_path, found)]
    assert names == ["predictions.json", "nbest_predictions.json", "null_odds.json"]
    read = {name: (tmp_path / name).read_text() for name in names}
    assert read["predictions.json"] == json.dumps(found.predictions, indent=4) + "\n"
    assert json.loads(read["null_odds.json"]) == found.null_odds
    lists = json.loads(read["nbest_predictions.json"])
    for name, rows in lists.items():
        assert list(rows[0]) == ["text", "probability", "start_logit", "end_logit"]
        assert sum(row["probability"] for row in rows) == pytest.approx(1, rel=1e-12)
        scores = {row["text"]: row["start_logit"] + row["end_logit"] for row in rows}
        best = max(score for text, score in scores.items() if text)
        assert scores[""] - best == pytest.approx(found.null_odds[name], rel=1e-12)


def test_real_questions_in_both_layouts(model: Any, data_dir: Path) -> None:
    """Of real data: padded and packed agree, and every answer stands in its context."""
    part = squad_part("dev", data_dir / "data/squad/dev-v1.1.json.gz", training=False)
    settings = SpanSettings(max_length=48, stride=32, max_query_length=12)
    packed, padded = (
        evaluate_part(replace(model, packed=packed), KIND, part, settings, limit=6) for packed in (True, False)
    )
    assert packed.answers.predictions == padded.answers.predictions
    assert packed.metrics == padded.metrics
    for example, text in zip(part.read(), packed.answers.predictions.values(), strict=False):
        assert text in example.context
