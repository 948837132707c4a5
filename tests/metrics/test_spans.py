"""Against the official scripts' results (`squad_golden.json` says how they were made)."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.metrics.spans import SquadScores, figures, normalise, score_v1, score_v2

from .oracles import same, undefined

GOLDEN = json.loads(Path(__file__).with_name("squad_golden.json").read_text(encoding="utf-8"))
CASES = {version: [case for case in GOLDEN["cases"] if case["version"] == version] for version in ("1.1", "2.0")}


def agree(found: dict[str, float], wanted: dict[str, float]) -> None:
    assert list(found) == list(wanted)
    same(list(found.values()), list(wanted.values()))


@pytest.mark.parametrize("case", CASES["1.1"])
def test_version_1(case: dict[str, Any]) -> None:
    found = score_v1(case["answers"], case["predictions"])
    same(found.overall.exact, case["result"]["exact_match"])
    same(found.overall.f1, case["result"]["f1"])
    assert found.overall.total == len(case["answers"])
    assert found.missing == len(case["answers"]) - len(case["predictions"])


@pytest.mark.parametrize("case", CASES["2.0"])
def test_version_2(case: dict[str, Any]) -> None:
    answers, predictions = case["answers"], case["predictions"]
    found = score_v2(answers, predictions, case["no_answer_scores"], case["threshold"])
    agree(figures(found), case["result"])
    assert found.missing == len(answers) - len(predictions)
    assert list(found.questions) == [name for name in answers if name in predictions]
    raw = score_v2(answers, predictions).overall
    same([raw.exact.value, raw.f1.value, raw.total], list(case["raw"].values()))


def read(path: Path) -> tuple[dict[str, list[str]], dict[str, str], dict[str, float]]:
    """Gold texts, predictions and no-answer scores by a rule: every fifth one right, changed in form only, cut, empty,
    or the beginning of the context."""
    answers: dict[str, list[str]] = {}
    predictions, no_answer = {}, {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    questions = (
        (part["context"].split(" "), qa) for art in articles for part in art["paragraphs"] for qa in part["qas"]
    )
    for n, (words, question) in enumerate(questions):
        name = question["id"]
        answers[name] = [answer["text"] for answer in question["answers"]]
        texts = answers[name] or [" ".join(words[n % 7 : n % 7 + 3])]
        said = (texts[-1], f"the {texts[0].upper()}.", " ".join(texts[-1].split(" ")[:2]), "", " ".join(words[: n % 5]))
        predictions[name] = said[n % 5]
        no_answer[name] = n * 7919 % 1009 / 1009 - (0.3 if answers[name] else 0)
    return answers, predictions, no_answer


def test_the_development_sets(data_dir: Path) -> None:
    answers, predictions, _ = read(data_dir / "data" / "squad" / "dev-v1.1.json.gz")
    predictions = {name: text for n, (name, text) in enumerate(predictions.items()) if n % 7}
    first = score_v1(answers, predictions)
    assert first.missing == 1510
    same([first.overall.exact.value, first.overall.f1.value], list(GOLDEN["real"]["dev-v1.1.json.gz"].values()))
    answers, predictions, no_answer = read(data_dir / "data" / "squad" / "dev-v2.0.cs224n.json.gz")
    second = score_v2(answers, predictions, no_answer, threshold=0.4)
    agree(figures(second), GOLDEN["real"]["dev-v2.0.cs224n.json.gz"])


@given(st.text())
def test_normalised_text_stays_as_it_is(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert not {"a", "an", "the"} & set(once.split())
    assert normalise(f" T.HE {text}\n(a)") == once


def test_a_missing_prediction() -> None:
    answers = {"1": ["Paris"], "2": ["in 1066"]}
    predictions = {"1": "Paris!", "3": "Rome"}
    counted, left_out = score_v1(answers, predictions), score_v2(answers, predictions)
    assert (counted.overall.exact.value, counted.overall.total) == (50.0, 2)
    assert (left_out.overall.exact.value, left_out.overall.total) == (100.0, 1)
    assert left_out.has_answer == left_out.overall
    for scores in (counted, left_out):
        assert (scores.missing, scores.unknown) == (1, 1)


def test_an_answer_without_words() -> None:
    assert score_v1({"1": ["the"]}, {"1": "..."}).questions["1"] == (1.0, 0.0)
    assert score_v2({"1": ["the"]}, {"1": "..."}).questions["1"] == (1.0, 1.0)
    assert score_v2({"1": ["the", "sea"]}, {"1": "..."}).questions["1"] == (0.0, 0.0)


def test_the_threshold() -> None:
    answers: dict[str, list[str]] = {"has": ["x"], "none": []}
    predictions = {"has": "x", "none": "y"}
    odds = {"has": -3.0, "none": 2.0}
    assert score_v2(answers, predictions, odds, threshold=2.0).overall.exact.value == 50.0  # not above it
    assert score_v2(answers, predictions, odds, threshold=1.9).overall.exact.value == 100.0
    best = score_v2(answers, predictions, odds).best
    assert best == (100.0, -3.0, 100.0, -3.0)


def test_undefined() -> None:
    for scores in (score_v1({}, {}), score_v2({"1": ["x"]}, {}), score_v2({"1": ["x"]}, {}, {})):
        assert isinstance(scores, SquadScores)
        undefined(scores.overall.exact, float("nan"))
        undefined(scores.overall.f1, float("nan"))
        assert scores.best is None


def test_refused() -> None:
    with pytest.raises(InputError, match=r"question 7 has no answer.*is this version 2\.0"):
        score_v1({"7": []}, {"7": ""})
    for score in (score_v1, score_v2):
        with pytest.raises(InputError, match=r"question 7 is \['a'\]; it must be a text"):
            score({"7": ["a"]}, {"7": ["a"]})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="question 7 has a prediction but no no-answer score"):
        score_v2({"7": ["a"]}, {"7": "a"}, {})
    with pytest.raises(InputError, match="no-answer score of question 7 is nan"):
        score_v2({"7": ["a"]}, {"7": "a"}, {"7": float("nan")})
