"""By-products of an op for whoever shows progress: their values, and that asking for them changes nothing."""

from typing import Any

import numpy as np
import pytest

from bertref.ops import OPS

from .checks import random_case
from .harness import arguments

WITH_FIGURES = [name for name, op in OPS.items() if op.figures]


def test_only_the_decoder_has_figures() -> None:
    assert WITH_FIGURES == ["decoder_cross_entropy"], "say below what the figures of the new op are"


def test_the_decoder_predicts_the_label_of_the_largest_logit(xp: Any) -> None:
    case, _, _ = random_case("decoder_cross_entropy", 5, {"N": 6, "V": 9, "H": 4})
    case.inputs["table"][7], case.inputs["bias"][7] = case.inputs["table"][2], case.inputs["bias"][2]  # equal logits
    seen: dict[str, Any] = {}
    OPS["decoder_cross_entropy"].forward(xp, **arguments(xp, case, "float64"), figure=seen.__setitem__)
    logits = case.inputs["x"] @ case.inputs["table"].T + case.inputs["bias"]
    logits[:, 7] = -np.inf  # of equal ones the first
    assert list(seen) == ["predicted"]
    assert np.asarray(xp.to_numpy(seen["predicted"])).tolist() == logits.argmax(axis=1).tolist()


@pytest.mark.parametrize("op", WITH_FIGURES)
def test_asking_for_figures_changes_no_bit(op: str, xp: Any) -> None:
    case, _, _ = random_case(op, 5, {"N": 6, "V": 9, "H": 4})
    given = arguments(xp, case, "float64")
    (plain, _), (y, _) = OPS[op].forward(xp, **given), OPS[op].forward(xp, **given, figure=lambda *_: None)
    assert np.array_equal(xp.to_numpy(y), xp.to_numpy(plain))
