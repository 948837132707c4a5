"""What rounding to a few bits does, and that no more is excused by it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bertref.verify.cases.case import generate
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.few_bits import bits_of, coarsely, rounded, times_rounding
from bertref.verify.judgement.judge import compare
from bertref.verify.judgement.limit import LIMIT
from bertref.verify.judgement.reference import reference
from bertref.verify.records import Answers

WHY = "made by QGemm, whose integers aren't replayed"


@given(arrays(np.float64, (3, 4), elements=st.floats(-100, 100)), st.sampled_from([4, 8]))
def test_every_number_is_rounded_to_the_nearest_of_the_scale(value, bits) -> None:
    step = np.abs(value).max() / (2 ** (bits - 1) - 1)
    found = rounded(value, bits)
    assert (np.abs(found - value) <= step / 2 * (1 + 1e-9)).all()
    np.testing.assert_allclose(rounded(found, bits), found, rtol=1e-12)


def test_infinities_leave_the_others_as_they_are() -> None:
    np.testing.assert_allclose(rounded(np.array([-np.inf, 127.0, 2.2]), 8), [-np.inf, 127.0, 2.0])


@pytest.mark.parametrize("name", ["layer.0.query", "layer.0.scores", "layer.1.ffn_act", "mlm.logits"])
def test_rounding_is_excused_and_a_mistake_is_not(name: str) -> None:
    """The first is rounded in another way: on a scale a row."""
    case = generate(5)
    values = reference(case, list(Graph(case).rows)).values
    replay, right = Replay(Graph(case), values), values[name]
    steps = np.abs(right).max(axis=-1, keepdims=True) / 127
    by_row = np.rint(right / np.where(steps, steps, 1)) * steps
    eight, four = (coarsely(replay, bits_of(why)) for why in (WHY, "made by MatMulNBits"))
    assert times_rounding(replay, name, by_row, eight) < 2
    assert times_rounding(replay, name, right * 1.3, eight) > LIMIT
    assert times_rounding(replay, name, right * 1.3, four) < LIMIT


def test_an_answer_of_integers_is_wrong_or_not_judged() -> None:
    case = generate(5)
    right = reference(case, list(Graph(case).rows)).values
    unjudged = {"layer.0.query": WHY}
    report = compare(case, Answers(right, unjudged=unjudged), "float32")
    found = {finding.name: finding for finding in report.findings}
    assert (report.verdict, found["layer.0.query"].status, found["layer.0.query"].note) == ("right", "unjudged", WHY)
    wrong = {**right, "layer.0.query": right["layer.0.query"] * 1.3}
    report = compare(case, Answers(wrong, unjudged=unjudged), "float32")
    assert (report.verdict, report.first) == ("diverges", "layer.0.query")
    note = next(finding.note for finding in report.findings if finding.name == "layer.0.query")
    assert note == f"{WHY}; more than rounding to integers does"
