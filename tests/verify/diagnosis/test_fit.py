"""Free numbers: what is fitted, its interval, and when a listed constant is taken for it."""

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.diagnosis.families import HYPOTHESES
from bertref.verify.diagnosis.fit import SCANNED, fitted
from bertref.verify.diagnosis.hypothesis import Hypothesis
from bertref.verify.diagnosis.scene import Scene
from bertref.verify.diagnosis.trials import rewritten
from bertref.verify.graph.contribution import Contribution
from bertref.verify.graph.steps import Rewritten
from bertref.verify.records import Fitted

from .applied import scene_of, wrong

EPSILON, MASK = (next(one for one in HYPOTHESES if one.id == id) for id in ("norm.epsilon", "attention.mask_value"))


def fit(one: Hypothesis, value: float, name: str) -> Fitted | None:
    """What is found for a subject whose number is `value`, at one answer."""
    case = generate(31)
    _, scene = scene_of(case, wrong(case, one, value))

    def changed(at: float) -> Scene:
        return scene.changed(rewritten(scene, one, [name], at))

    assert one.number is not None
    return fitted(one.number, changed, scene, name)


@pytest.mark.parametrize("value", [1e-5, 4e-7])
def test_an_epsilon(value: float) -> None:
    found = fit(EPSILON, value, "embeddings.norm")
    assert found is not None
    assert found.value == pytest.approx(value, rel=1e-3)
    assert found.low < value < found.high
    assert found.high - found.low < 0.01 * value
    assert found.known == ("1e-05" if value == 1e-5 else "")


def test_where_the_data_say_less_the_interval_is_wider() -> None:
    """The variance of embeddings is small, and so they tell more of epsilon than a later layer."""
    narrow, wide = (fit(EPSILON, 1e-5, name) for name in ("embeddings.norm", "layer.0.attention_norm"))
    assert narrow is not None
    assert wide is not None
    assert wide.high - wide.low > 10 * (narrow.high - narrow.low)
    assert wide.known == "1e-05"


def test_a_negative_number() -> None:
    found = fit(MASK, -7.0, "layer.0.probs")
    assert found is not None
    assert found.value == pytest.approx(-7, rel=1e-4)
    assert found.low < -7 < found.high < 0
    assert found.known == ""


@pytest.mark.parametrize(("id", "most"), [("norm.unbiased", SCANNED + 80), ("norm.rms", SCANNED + 30)])
def test_no_number_explains_another_formula(id: str, most: int) -> None:
    """Where even the best one explains little, that is seen early."""
    case, formula = generate(31), next(one for one in HYPOTHESES if one.id == id)
    _, scene = scene_of(case, wrong(case, formula, None))
    assert EPSILON.number is not None
    tried: list[float] = []

    def changed(at: float) -> Scene:
        tried.append(at)
        return scene.changed(rewritten(scene, EPSILON, ["embeddings.norm"], at))

    assert fitted(EPSILON.number, changed, scene, "embeddings.norm") is None
    assert len(tried) < most


def test_what_is_no_number_is_infinitely_wrong() -> None:
    """A hypothesis that makes NaN explains nothing."""
    case = generate(31)
    _, scene = scene_of(case, wrong(case, EPSILON, 1e-5))
    row = scene.rows["embeddings.norm"]
    nothing = Rewritten(Contribution(row.inputs, lambda x: np.full_like(x, np.nan)))
    assert scene.ratio(row.name) > 1000
    assert np.isinf(scene.changed({row.name: nothing}).ratio(row.name))
