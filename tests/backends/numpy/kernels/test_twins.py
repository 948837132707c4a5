"""The checks of kernels reject wrong ones: a thousandth off, wrong at an edge, a term left out."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from bertref.golden.generate.op_inputs import INPUTS, OpCase
from bertref.ops import OPS
from bertref.ops.op import Kernel

from ....ops import checks
from .pairs import KERNELS, check_error, in_pieces, narrow, rounded, typical

SIZES = {
    "add": {"B": 5, "H": 7},
    "attention": {"B": 2, "S": 5, "A": 2, "D": 4},
    "bias_activation": {"B": 2, "S": 5, "I": 7},
    "decoder_cross_entropy": {"N": 9, "V": 11, "H": 5},
    "dense": {"B": 2, "S": 5, "I": 6, "O": 7},
    "dropout_add_norm": {"B": 2, "S": 5, "H": 7},
    "embedding": {"V": 9, "H": 5, "N": 12},
    "layer_norm": {"B": 2, "S": 5, "H": 7},
    "pack": {"B": 3, "S": 5, "H": 4},
    "unpack": {"B": 3, "S": 5, "H": 4},
}
Change = Callable[[np.ndarray], np.ndarray]


def scaled(x: np.ndarray) -> np.ndarray:
    return x * x.dtype.type(1.001)


def wrong_at_the_end(x: np.ndarray) -> np.ndarray:
    """The last element only, as if the last block had been cut off by one."""
    y = np.array(x)
    y[(-1,) * y.ndim] = y[(-1,) * y.ndim] * 2 + 1
    return y


def without_a_term(x: np.ndarray) -> np.ndarray:
    """Each element short by a small part of another's size, as when one row is left out of a sum."""
    return x - x.dtype.type(0.01) * np.flip(x, axis=-1)


CHANGES: tuple[Change, ...] = (scaled, wrong_at_the_end, without_a_term)


def wrong_forward(kernel: Kernel, change: Change) -> Kernel:
    def forward(xp: Any, **arguments: Any) -> Any:
        y, cache = kernel.forward(xp, **arguments)
        return change(np.asarray(y)), cache

    return Kernel(kernel.name, forward, kernel.backward, kernel.serves)


def wrong_backward(kernel: Kernel, gradient: str, change: Change) -> Kernel:
    def backward(xp: Any, dy: Any, cache: Any) -> Any:
        right = kernel.backward(xp, dy, cache)
        return right._replace(**{gradient: change(getattr(right, gradient))})

    return Kernel(kernel.name, kernel.forward, backward, kernel.serves)


def gradients(name: str) -> list[str]:
    return list(INPUTS[name].differentiable)


TWINS = [
    *[pytest.param(wrong_forward(KERNELS[n], change), id=f"{n}-output-{change.__name__}")
      for n in KERNELS for change in CHANGES[:2]],
    *[pytest.param(wrong_backward(KERNELS[n], g, change), id=f"{n}-{g}-{change.__name__}")
      for n in KERNELS for g in gradients(n) for change in CHANGES],
]  # fmt: skip


@cache
def case_of(name: str, dtype: str) -> tuple[OpCase, Any, dict[str, float]]:
    """A case on which the kernel is right, the gradient from above, and the reference pair's typical errors."""
    case, upstream, _ = checks.random_case(name, 7, SIZES[name])
    if name == "bias_activation" and dtype == "float64":
        case.options["activation"] = "gelu_tanh"  # the form that is served
    check_error(KERNELS[name], case, upstream, dtype)
    return case, upstream, typical(OPS[name], rounded(case, dtype), narrow(upstream, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_is_rejected(twin: Kernel, dtype: str) -> None:
    case, upstream, usual = case_of(twin.name, dtype)
    with pytest.raises(AssertionError, match="off by"):
        check_error(twin, case, upstream, dtype, usual)
    with in_pieces(workers=2), pytest.raises(AssertionError, match="off by"):
        check_error(twin, case, upstream, dtype, usual)


def test_every_kernel_has_sizes() -> None:
    assert SIZES.keys() == KERNELS.keys()
