"""A kernel has the figures of its op, the same as the reference, and asking for them changes no bit."""

from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.golden.generate.op_inputs import INPUTS
from bertref.ops import OPS

KERNELS = backends.get("numpy").kernels
XP = backends.get("numpy").xp
NAMES = [name for name in KERNELS if OPS[name].figures]


def inputs_of(op: str, rows: int) -> dict[str, Any]:
    case = INPUTS[op].sampler(np.random.default_rng(3), rows, 41, 5)
    return {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in case.inputs.items()}


def figures_of(pair: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    with np.errstate(all="ignore"):
        pair.forward(XP, **inputs, figure=seen.__setitem__)
    return seen


@pytest.mark.parametrize("op", NAMES)
@pytest.mark.parametrize("rows", [1, 23])
def test_a_kernel_s_figures_are_the_reference_s(op: str, rows: int) -> None:
    inputs = inputs_of(op, rows)
    inputs["table"][11], inputs["bias"][11] = inputs["table"][4], inputs["bias"][4]  # two equal logits in every row
    if rows > 2:
        inputs["x"][2, 1] = np.nan
    want, got = figures_of(OPS[op], inputs), figures_of(KERNELS[op], inputs)
    assert got.keys() == want.keys() == set(OPS[op].figures)
    for name, value in want.items():
        assert got[name].tolist() == value.tolist(), name


@pytest.mark.parametrize("op", NAMES)
def test_asking_for_figures_changes_no_bit(op: str) -> None:
    kernel, inputs = KERNELS[op], inputs_of(op, 23)
    (plain, cache), (y, other) = kernel.forward(XP, **inputs), kernel.forward(XP, **inputs, figure=lambda *_: None)
    assert y.tobytes() == plain.tobytes()
    for one, two in zip(kernel.backward(XP, y, cache), kernel.backward(XP, y, other), strict=True):
        assert one.tobytes() == two.tobytes()
