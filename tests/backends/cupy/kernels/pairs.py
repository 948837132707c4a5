"""The kernels on the CPU, and how far their results may be from the truth."""

from functools import cache
from typing import Any

import numpy as np

from bertref import backends
from bertref.backends.cupy.kernels import kernels
from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import OPS, Op
from bertref.ops.op import Kernel

from ....ops.harness import solve
from ...numpy.kernels.pairs import FACTOR, as_op, changed, check_error, truth_of
from .on_cpu import Cpu

XP = backends.get("numpy").xp
DTYPES = ("float32", "float16", "bfloat16")
UNITS = {"float32": 8, "float16": 2, "bfloat16": 2}
"""In the last place. What is computed in float32 and rounded to a half type once is off by half a unit, and sums of
such numbers by a little more; in float32 digits cancel, as they do in the reference pair."""
EPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def on_cpu(device: Cpu | None = None) -> dict[str, Kernel]:
    """All kernels, on a new device unless one is given."""
    return kernels(device or Cpu())


@cache
def at(place: str) -> tuple[dict[str, Kernel], Any]:
    """The kernels, and the namespace of their arrays: on the "cpu", or of a backend."""
    if place == "cpu":
        return on_cpu(), XP
    gpu = backends.get(place)
    return dict(gpu.kernels), gpu.xp


def in_dtype(case: OpCase, upstream: Any, dtype: str) -> tuple[OpCase, Any]:
    """The case with its real numbers rounded to `dtype`, in float64; what losses divide by stays in float32."""

    def narrow(x: Any) -> Any:
        return np.asarray(x).astype(XP.dtype(dtype)).astype(np.float64)

    rounded = changed(case, narrow)
    for name in ("weights", "denominator"):
        if case.inputs.get(name) is not None:
            rounded.inputs[name] = np.asarray(case.inputs[name]).astype(np.float32)
    return rounded, narrow(upstream)


def errors(op: Op, case: OpCase, upstream: Any, dtype: str, truth: dict[str, Any], xp: Any) -> dict[str, float]:
    """The largest error of the output and of every gradient, in units of the true array's largest element."""
    y, gradients = solve(op, Losses(xp), case, upstream, dtype)
    found = {"output": y, **gradients}
    assert found.keys() == truth.keys()
    largest = max(float(np.max(np.abs(true), initial=0.0)) for true in truth.values())
    worst = {}
    for name, true in truth.items():
        assert found[name].shape == true.shape, name
        scale = float(np.max(np.abs(true), initial=0.0)) or 1.0
        if "norm" in op.name and case.inputs["x"].shape[-1] == 2:
            scale = max(scale, largest)  # it makes -1 and 1 of them: what is left of its gradient is rounding
        worst[name] = float(np.max(np.abs(found[name].astype(np.float64) - true), initial=0.0)) / scale
    return worst


class Losses:
    """A namespace in which the arrays of losses stay float32: the harness brings all real numbers to one type."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self.xp, name)

    def from_numpy(self, array: Any, dtype: Any = None) -> Any:
        return self.xp.from_numpy(array, "float32" if np.asarray(array).dtype == np.float32 else dtype)


def check(kernel: Kernel, case: OpCase, upstream: Any, dtype: str, xp: Any = XP) -> None:
    """The kernel's error against float64 is at most `FACTOR` times the reference pair's own in the same type, or
    `UNITS` in the last place."""
    if dtype == "float32" and xp is XP:
        check_error(kernel, case, upstream, dtype)
        return
    case, upstream = in_dtype(case, upstream, dtype)
    reference = OPS[kernel.name]
    with np.errstate(all="ignore"):
        wide = OpCase({n: _float64(a) for n, a in case.inputs.items()}, case.options)
        truth = truth_of(reference, wide, upstream)
        own = errors(reference, case, upstream, dtype, truth, XP)
        got = errors(as_op(kernel), case, upstream, dtype, truth, xp)
    for name, error in got.items():
        limit = max(FACTOR * own[name], UNITS[dtype] * EPS[dtype])
        assert error <= limit, f"{kernel.name}, {name}: off by {error:.3g}, the reference pair by {own[name]:.3g}"


def _float64(a: Any) -> Any:
    return a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a


def small(name: str) -> dict[str, int]:
    """Sizes of a case, none a multiple of what a thread moves at once."""
    return dict(SMALL[name])


def wide(name: str) -> dict[str, int]:
    """Sizes of a case whose rows are moved several elements at a time, by several warps where a block has a row."""
    times = 40 if "norm" in name else 8
    return {letter: times * size if letter in "HIDVO" or (name == "attention" and letter == "S") else size
            for letter, size in SMALL[name].items()}  # fmt: skip


def many(name: str) -> dict[str, int]:
    """Sizes of a case whose rows are shared out among more parts than a block adds at once."""
    letters = "" if name == "attention" else "SN"
    return {letter: 30 * size if letter in letters else size for letter, size in SMALL[name].items()}


SMALL = {
    "attention": {"B": 3, "S": 5, "A": 3, "D": 4},
    "bias_activation": {"B": 2, "S": 9, "I": 7},
    "decoder_cross_entropy": {"N": 9, "V": 11, "H": 5},
    "dense": {"B": 2, "S": 5, "I": 6, "O": 7},
    "dropout_add_norm": {"B": 2, "S": 5, "H": 7},
    "embedding": {"V": 9, "H": 5, "N": 12},
    "gather": {"T": 9, "H": 5, "N": 12},
    "layer_norm": {"B": 2, "S": 5, "H": 7},
    "pack": {"B": 3, "S": 5, "H": 4},
    "unpack": {"B": 3, "S": 5, "H": 4},
}
