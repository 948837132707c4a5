"""Calling an op as every test does: on strided arrays, watched for changes, NumPy arrays in and out."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertref import golden
from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import OPS, Op

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Expected:
    """A case with what should come out; `relative` is allowed, in units of an array's largest element."""

    name: str
    case: OpCase
    upstream: np.ndarray
    output: np.ndarray
    gradients: Arrays
    relative: float


@dataclass(frozen=True)
class Call:
    """A forward call that has been made: what it was given and what it returned."""

    arguments: dict[str, Any]
    y: Any
    cache: Any


def golden_cases(op: str, dtype: str) -> list[Expected]:
    """The golden cases of an op that can be tried in `dtype`."""
    arrays = golden.load(f"ops/{op}")
    limit = golden.entry(f"ops/{op}").tolerances[dtype].relative
    cases = []
    for name, about in golden.details(f"ops/{op}")["cases"].items():
        if dtype not in about["dtypes"]:
            continue

        def under(folder: str, case: str = name) -> Arrays:
            prefix = f"{case}/{folder}/"
            return {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)}

        options = {key: float(value) if value == "-inf" else value for key, value in about["options"].items()}
        case = OpCase({**under("input"), **dict.fromkeys(about["absent"])}, options)
        upstream, output = arrays[f"{name}/upstream"], arrays[f"{name}/output"]
        cases.append(Expected(name, case, upstream, output, under("gradient"), limit * about["amplification"]))
    return cases


def place(xp: Any, array: Any, dtype: str) -> Any:
    """The array on the backend, real numbers in `dtype`, and not contiguous where its shape allows."""
    if array is None:
        return None
    array = np.asarray(array)
    wanted = dtype if array.dtype.kind == "f" else None
    if array.ndim == 0:
        return xp.from_numpy(array, wanted)
    if array.ndim == 1:
        return xp.from_numpy(np.repeat(array, 2), wanted)[::2]
    axes = tuple(reversed(range(array.ndim)))
    return xp.permute_dims(xp.from_numpy(np.ascontiguousarray(array.transpose(axes)), wanted), axes)


def arguments(xp: Any, case: OpCase, dtype: str) -> dict[str, Any]:
    return {**{name: place(xp, array, dtype) for name, array in case.inputs.items()}, **case.options}


def untouched(xp: Any, given: dict[str, Any], call: Callable[[], Any]) -> Any:
    """The call's result, after a proof that it left the bits of the given arrays alone."""
    arrays = {name: array for name, array in given.items() if hasattr(array, "shape")}
    before = {name: xp.to_numpy(array).tobytes() for name, array in arrays.items()}
    result = call()
    for name, array in arrays.items():
        assert xp.to_numpy(array).tobytes() == before[name], f"{name} was modified"
    return result


def forward(op: Op, xp: Any, case: OpCase, dtype: str = "float64") -> Call:
    given = arguments(xp, case, dtype)
    y, cache = untouched(xp, given, lambda: op.forward(xp, **given))
    return Call(given, y, cache)


def backward(op: Op, xp: Any, call: Call, upstream: Any) -> dict[str, Any]:
    """The gradients by name, computed twice and bit-equal: what the first pass did, the second can't see."""
    dy = place(xp, upstream, xp.dtype_name(call.y.dtype))
    given = {**call.arguments, "dy": dy, "y": call.y, **_leaves(call.cache)}
    first = untouched(xp, given, lambda: op.backward(xp, dy, call.cache))._asdict()
    second = op.backward(xp, dy, call.cache)._asdict()
    for name, gradient in first.items():
        if gradient is not None:
            same = xp.to_numpy(gradient).tobytes() == xp.to_numpy(second[name]).tobytes()
            assert same, f"gradient of {name} differs when backward runs again"
    return first


def _leaves(cache: Any, path: str = "cache") -> dict[str, Any]:
    if isinstance(cache, tuple):
        return {name: leaf for i, part in enumerate(cache) for name, leaf in _leaves(part, f"{path}.{i}").items()}
    return {path: cache}


def solve(
    op: Op, xp: Any, case: OpCase, upstream: Any, dtype: str = "float64"
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Output and gradients as NumPy arrays; gradients that the op leaves out (None) are left out."""
    call = forward(op, xp, case, dtype)
    gradients = backward(op, xp, call, upstream)
    return xp.to_numpy(call.y), {n: xp.to_numpy(g) for n, g in gradients.items() if g is not None}


def close(got: np.ndarray, expected: np.ndarray, relative: float, where: str, floor: float = 0) -> None:
    """|got - expected| <= relative max |expected|, everywhere; so NaN is never close, and 0 only to 0.

    A maximum below `floor` counts as `floor`.
    """
    assert got.shape == expected.shape, f"{where}: shape {got.shape}, expected {expected.shape}"
    if not expected.size:
        return
    scale = max(float(np.max(np.abs(expected))), floor)
    error = np.max(np.abs(got.astype(np.float64) - expected))
    assert error <= relative * scale, f"{where}: off by {error:.3g}, {error / (relative * scale or 1):.3g} of the limit"


def same_bits(got: np.ndarray, expected: np.ndarray) -> bool:
    return got.dtype == expected.dtype and got.shape == expected.shape and got.tobytes() == expected.tobytes()


def parameters(op: str) -> tuple[str, ...]:
    """The names of forward's arguments, after xp."""
    return tuple(inspect.signature(OPS[op].forward).parameters)[1:]
