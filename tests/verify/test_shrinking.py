"""The smallest case that still fails is one in which the same thing is wrong, and right code isn't."""

from collections.abc import Collection
from typing import Any

import pytest

from bertref.verify import shrinking
from bertref.verify.cases.case import generate
from bertref.verify.cases.shrink import reduce_case, shrink
from bertref.verify.checking import check
from bertref.verify.records import Answers, Case
from tests.verify.mistakes import MISTAKES
from tests.verify.mistakes.measure import subject

from .test_checking import Subject


def test_a_case_keeps_a_prediction() -> None:
    """A loss that is wrong whatever the case is, also where nothing is predicted."""
    case = generate(5)
    assert shrink(case, lambda smaller: True).batch.masked_lm_weights.sum() == 1
    silent = reduce_case(case, rows=[1])
    silent = Case(**{**vars(silent), "origin": {}})
    assert shrink(silent, lambda smaller: True).batch.masked_lm_weights.sum() == 0


def test_a_case_keeps_a_label_and_an_answer() -> None:
    tokens = shrink(generate(5, head="token_classification"), lambda smaller: True)
    assert (tokens.targets["labels"] >= 0).sum() == 1
    spans = shrink(generate(5, head="question_answering"), lambda smaller: True)
    inside = spans.targets["end_positions"] < spans.batch.input_ids.shape[1]
    assert (len(spans.batch), inside.sum()) == (1, 1)
    plain = shrink(generate(5, head="sequence_classification"), lambda smaller: True)
    assert (len(plain.batch), plain.batch.input_ids.shape[1]) == (1, 1), "predictions are nothing to it"


def test_a_wrong_loss_of_tokens_shrinks_to_a_case_with_a_label() -> None:
    """Divided by all tokens instead of by those with labels."""
    case = generate(5, head="token_classification", optimizer=None, L=1)

    class Wrong(Subject):
        def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
            values = dict(super().answer(case, wanted).values)
            share = (case.targets["labels"] >= 0).sum() / case.batch.attention_mask.sum()
            return Answers(values | {name: values[name] * share for name in ("loss.total",) if name in values})

    report = check(Wrong(), case, only="forward", repeat=False)
    assert report.first == "loss.total"
    small = shrinking.smallest(Wrong(), case, report, only="forward")
    assert (small.targets["labels"] >= 0).any()
    assert small.batch.attention_mask.sum() < case.batch.attention_mask.sum()
    assert check(Wrong(), small, only="forward", repeat=False).first == report.first
    assert check(Subject(), small, only="forward").verdict == "right"


def test_label_smoothing_shrinks_to_a_case_that_right_code_passes() -> None:
    [mistake] = [one for one in MISTAKES if one.name == "labels-smoothed"]
    case = generate(5, optimizer=None)
    wrong = subject(mistake)
    report = check(wrong, case, only="forward", repeat=False)
    small = shrinking.smallest(wrong, case, report, only="forward")
    assert len(small.batch) == 1
    assert small.batch.masked_lm_weights.sum() == 1
    assert check(wrong, small, only="forward", repeat=False).first == "loss.mlm" == report.first
    assert check(Subject(), small, only="forward").verdict == "right"


class Spoilt(Subject):
    """Wrong in layer 0's context, which is not even a number if there is a single row."""

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        values = dict(super().answer(case, wanted).values)
        if "layer.0.context" in values:
            values["layer.0.context"] = values["layer.0.context"] * (1.01 if len(case.batch) > 1 else float("nan"))
        return Answers(values)


def test_the_way_in_which_it_fails_stays_the_same() -> None:
    case = generate(5, optimizer=None)
    report = check(Spoilt(), case, only="forward", repeat=False)
    small = shrinking.smallest(Spoilt(), case, report, only="forward")
    assert len(small.batch) == 2
    assert check(Spoilt(), small, only="forward", repeat=False).first == "layer.0.context"


@pytest.mark.slow
def test_a_case_on_which_right_code_fails_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    case = generate(5, optimizer=None)
    report = check(Spoilt(), case, only="forward", repeat=False)
    asked: list[int] = []

    def simulate(smaller: Case, *_: Any) -> dict[str, Any]:
        asked.append(smaller.config.num_hidden_layers)
        return dict(Subject().answer(smaller).values) | ({} if smaller.config.num_hidden_layers > 1 else {"pooled": 0})

    monkeypatch.setattr(shrinking, "simulate", simulate)
    small = shrinking.smallest(Spoilt(), case, report, only="forward")
    assert small.config.num_hidden_layers == 2
    assert 1 in asked
