"""Kernels as the ops' own checks see them, and how far they may be from the truth."""

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest

from bertref import backends
from bertref.backends.numpy import threads
from bertref.backends.numpy.blas import mkl, products
from bertref.backends.numpy.kernels import attention, dense, rows, tiles
from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import OPS, Op
from bertref.ops.op import Kernel

from ....ops.harness import Arrays, solve

XP = backends.get("numpy").xp
KERNELS: dict[str, Kernel] = dict(backends.get("numpy").kernels)

FACTOR = 4
"""How much larger a kernel's error may be than the reference pair's in the same precision, both against float64."""
UNITS = 8
"""An error of so many units in the last place of an array's largest element is one that the reference pair has on
other inputs: by chance, or because the result is exact, it may have less on these."""
NEIGHBOURS = 16
"""So many cases beside one say how large the reference pair's error is there."""


def as_op(kernel: Kernel) -> Op:
    """What an `OpSet` would run, as an op: the kernel where it serves, else the reference pair."""
    reference = OPS[kernel.name]

    def forward(xp: Any, **arguments: Any) -> tuple[Any, Any]:
        pair: Any = kernel if kernel.serves(**arguments) else reference
        y, cache = pair.forward(xp, **arguments)
        return y, (Pair(pair), cache)

    def backward(xp: Any, dy: Any, cache: Any) -> Any:
        return cache[0].pair.backward(xp, dy, cache[1])

    return Op(kernel.name, forward, backward)


@dataclass(frozen=True)
class Pair:
    """Keeps a pair from being taken for a part of its cache."""

    pair: Any


def errors(op: Op, case: OpCase, upstream: Any, dtype: str, truth: Arrays) -> dict[str, float]:
    """The largest error of the output and of every gradient, in units of the true array's largest element."""
    y, gradients = solve(op, XP, case, upstream, dtype)
    found = {"output": y, **gradients}
    assert found.keys() == truth.keys()
    worst = {}
    largest = max(float(np.max(np.abs(true), initial=0.0)) for true in truth.values())
    for name, true in truth.items():
        assert found[name].shape == true.shape, name
        assert found[name].dtype == np.dtype(dtype), name
        scale = float(np.max(np.abs(true), initial=0.0)) or 1.0
        if _norm_of_two(op, case):
            scale = max(scale, largest)
        worst[name] = float(np.max(np.abs(found[name] - true), initial=0.0)) / scale
    return worst


def _norm_of_two(op: Op, case: OpCase) -> bool:
    """Of two numbers a norm makes -1 and 1 whatever they are: all that is left of its gradient is what ε does."""
    return op.name in ("layer_norm", "dropout_add_norm") and case.inputs["x"].shape[-1] == 2


def changed(case: OpCase, change: Callable[[Any], Any]) -> OpCase:
    """The case with its real numbers changed."""

    def maybe(value: Any) -> Any:
        real = isinstance(value, np.ndarray) and value.dtype.kind == "f"
        return change(value) if real else value

    return OpCase({name: maybe(value) for name, value in case.inputs.items()}, case.options)


def narrow(x: Any, dtype: str) -> Any:
    return np.asarray(x).astype(dtype).astype(np.float64)


def rounded(case: OpCase, dtype: str) -> OpCase:
    """The case with its real numbers rounded to `dtype`: what both pairs are given, and float64 as well."""
    return changed(case, lambda x: narrow(x, dtype))


def neighbours(case: OpCase, upstream: Any) -> Iterator[tuple[OpCase, Any]]:
    """Cases and gradients from above that differ from these by a hundred-thousandth: so little that as many digits
    cancel, and so much that each is rounded in its own way."""
    rng = np.random.default_rng(0)

    def moved(x: Any) -> Any:
        return narrow(x * (1 + rng.uniform(-1e-5, 1e-5, x.shape)), "float32")

    for _ in range(NEIGHBOURS):
        yield changed(case, moved), moved(upstream)


def truth_of(op: Op, case: OpCase, upstream: Any) -> Arrays:
    y, gradients = solve(op, XP, case, upstream, "float64")
    return {"output": y, **gradients}


def typical(op: Op, case: OpCase, upstream: Any) -> dict[str, float]:
    """The largest error of the reference pair on the neighbours of a case, in units in the last place. On one case
    alone it may be right by chance: then it does not show that digits cancel."""
    worst: dict[str, float] = {}
    for near, from_above in neighbours(case, upstream):
        for name, error in errors(op, near, from_above, "float32", truth_of(op, near, from_above)).items():
            worst[name] = max(worst.get(name, 0.0), error / float(np.finfo("float32").eps))
    return worst


def check_error(
    kernel: Kernel, case: OpCase, upstream: Any, dtype: str, usual: dict[str, float] | None = None
) -> None:
    """The kernel's error against float64 is at most `FACTOR` times the reference pair's own.

    In float64, where the reference pair is what it is measured against, that one's error is taken to be as many units
    in the last place as in float32: so many digits cancel. Who checks many kernels on one case gives the reference
    pair's `typical` errors there, so that they are measured once.
    """
    case, upstream = rounded(case, dtype), narrow(upstream, dtype)
    reference, unit = OPS[kernel.name], float(np.finfo(dtype).eps)

    def limit(name: str) -> float:
        return max(FACTOR * own[name], UNITS * unit)

    with np.errstate(all="ignore"):
        truth = truth_of(reference, case, upstream)
        own = errors(reference, case, upstream, dtype, truth)
        got = errors(as_op(kernel), case, upstream, dtype, truth)
        if any(error > limit(name) for name, error in got.items()):
            usual = usual or typical(reference, case, upstream)
            own = {name: max(own[name], units * unit) for name, units in usual.items()}
    for name, error in got.items():
        assert error <= limit(name), f"{kernel.name}, {name}: off by {error:.3g}, the reference pair by {own[name]:.3g}"


@contextmanager
def products_by(library: str) -> Iterator[None]:
    """Products by "numpy", or by "mkl", however small they are. Skips the test where MKL is not made for the system, or
    not installed."""
    if library == "mkl" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("MKL is made for Linux on x86-64")
    if library == "mkl" and mkl.path() is None:
        pytest.skip("MKL is not installed: pip install 'bertref[mkl]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(mkl.VARIABLE, "on" if library == "mkl" else "off")
        if library == "mkl":
            patch.setattr(dense, "SMALL", 0)
            patch.setattr(products, "SMALL", 0)
        mkl._decided.cache_clear()
        yield
    mkl._decided.cache_clear()


@contextmanager
def in_pieces(workers: int) -> Iterator[None]:
    """Cuts even the smallest arrays into many blocks and tiles, and shares them among so many threads."""
    settings = {
        rows: {"BLOCK_ELEMENTS": 6, "FEW": 0},
        tiles: {"TILE_ROWS": 2, "TILE_COLUMNS": 2, "FEW": 0},
        dense: {"TILE_ROWS": 2, "SMALL": 0},
        products: {"SMALL": 0},
        attention: {"TILE_ELEMENTS": 8},
    }
    with threads.using(workers):
        patches = [mock.patch.multiple(module, **values) for module, values in settings.items()]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()
