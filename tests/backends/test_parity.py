"""Every function of the standard does the same on every library: values, shape and dtype."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from bertref.backends import Backend, contract, get
from bertref.errors import InputError

ROWS, COLUMNS = 3, 4


class Inputs:
    """Arrays of one backend: x, y (3, 4) and z (4, 5) of a floating dtype, ids (6,) below 3, columns (3, 2) below 4."""

    def __init__(self, backend: Backend, dtype: str, seed: int, special: bool) -> None:
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((2, ROWS, COLUMNS)) * 3
        if special:
            x.flat[rng.choice(x.size, 5, replace=False)] = [np.inf, -np.inf, np.nan, -0.0, 1e-30]
        host = {"x": x, "y": y, "z": rng.standard_normal((COLUMNS, 5)), "positive": np.abs(y)}
        for name, array in host.items():
            setattr(self, name, backend.xp.from_numpy(array, dtype=dtype))
        self.ids = backend.xp.from_numpy(rng.integers(0, ROWS, 6))
        self.columns = backend.xp.from_numpy(rng.integers(0, COLUMNS, (ROWS, 2)))
        self.dtype = backend.xp.dtype(dtype)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


Call = Callable[[Any, Inputs], Any]
CALLS: dict[str, list[Call]] = {
    "abs": [lambda xp, a: xp.abs(a.x)],
    "all": [lambda xp, a: xp.all(a.x > 0), lambda xp, a: xp.all(a.x > 0, axis=-1, keepdims=True)],
    "any": [lambda xp, a: xp.any(a.x > 0), lambda xp, a: xp.any(a.x > 0, axis=(0, 1))],
    "arange": [lambda xp, a: xp.arange(5), lambda xp, a: xp.arange(2, 9, 3, dtype=xp.int32),
               lambda xp, a: xp.arange(0)],
    "argmax": [lambda xp, a: xp.argmax(a.y, axis=-1), lambda xp, a: xp.argmax(a.y)],
    "argsort": [lambda xp, a: xp.argsort(a.y, axis=-1), lambda xp, a: xp.argsort(a.ids, stable=True)],
    "astype": [lambda xp, a: xp.astype(a.y, xp.float64), lambda xp, a: xp.astype(a.y, xp.int32),
               lambda xp, a: xp.astype(a.x > 0, xp.float32), lambda xp, a: xp.astype(a.ids, a.dtype)],
    "broadcast_to": [lambda xp, a: xp.broadcast_to(a.x, (2, ROWS, COLUMNS))],
    "clip": [lambda xp, a: xp.clip(a.x, -1.0, 2.0)],
    "concat": [lambda xp, a: xp.concat([a.x, a.y], axis=-1), lambda xp, a: xp.concat([a.x, a.y], axis=0)],
    "cumulative_sum": [lambda xp, a: xp.cumulative_sum(a.y, axis=1), lambda xp, a: xp.cumulative_sum(a.ids, axis=0)],
    "equal": [lambda xp, a: xp.equal(a.x, a.x)],
    "exp": [lambda xp, a: xp.exp(a.x)],
    "expand_dims": [lambda xp, a: xp.expand_dims(a.x, axis=1), lambda xp, a: xp.expand_dims(a.x, axis=-1)],
    "finfo": [lambda xp, a: xp.full((1,), xp.finfo(a.dtype).bits, dtype=xp.int32),
              lambda xp, a: xp.full((1,), float(xp.finfo(a.dtype).min), dtype=a.dtype)],
    "full": [lambda xp, a: xp.full((2, 3), -1.5, dtype=a.dtype), lambda xp, a: xp.full((0, 3), 7, dtype=xp.int64)],
    "full_like": [lambda xp, a: xp.full_like(a.x, 0.25)],
    "isfinite": [lambda xp, a: xp.isfinite(a.x)],
    "log": [lambda xp, a: xp.log(a.positive)],
    "log1p": [lambda xp, a: xp.log1p(a.positive)],
    "matmul": [lambda xp, a: xp.matmul(a.y, a.z), lambda xp, a: xp.matmul(xp.stack([a.y, a.y]), a.z)],
    "matrix_transpose": [lambda xp, a: xp.matrix_transpose(a.x)],
    "max": [lambda xp, a: xp.max(a.x, axis=-1, keepdims=True), lambda xp, a: xp.max(a.x), lambda xp, a: xp.max(a.ids)],
    "maximum": [lambda xp, a: xp.maximum(a.x, a.y), lambda xp, a: xp.maximum(a.x, 0.0)],
    "mean": [lambda xp, a: xp.mean(a.y, axis=-1, keepdims=True), lambda xp, a: xp.mean(a.y)],
    "minimum": [lambda xp, a: xp.minimum(a.x, a.y), lambda xp, a: xp.minimum(a.x, 0.5)],
    "ones": [lambda xp, a: xp.ones((2, 0), dtype=a.dtype), lambda xp, a: xp.ones((3,), dtype=xp.bool)],
    "ones_like": [lambda xp, a: xp.ones_like(a.x)],
    "permute_dims": [lambda xp, a: xp.permute_dims(xp.stack([a.x, a.y]), (2, 0, 1))],
    "pow": [lambda xp, a: xp.pow(a.positive, a.y), lambda xp, a: xp.pow(a.x, 2.0)],
    "reshape": [lambda xp, a: xp.reshape(a.x, (2, -1)), lambda xp, a: xp.reshape(xp.matrix_transpose(a.x), (-1,))],
    "sqrt": [lambda xp, a: xp.sqrt(a.positive)],
    "square": [lambda xp, a: xp.square(a.x)],
    "squeeze": [lambda xp, a: xp.squeeze(xp.expand_dims(a.x, axis=1), axis=1)],
    "stack": [lambda xp, a: xp.stack([a.x, a.y], axis=1)],
    "sum": [lambda xp, a: xp.sum(a.y, axis=-1), lambda xp, a: xp.sum(a.y, axis=(0, 1), keepdims=True),
            lambda xp, a: xp.sum(a.y), lambda xp, a: xp.sum(a.ids), lambda xp, a: xp.sum(a.y, dtype=xp.float64)],
    "take": [lambda xp, a: xp.take(a.x, a.ids, axis=0), lambda xp, a: xp.take(a.x, a.ids[:0], axis=0),
             lambda xp, a: xp.take(a.x, xp.astype(a.ids, xp.int32), axis=1)],
    "take_along_axis": [lambda xp, a: xp.take_along_axis(a.x, a.columns, axis=1),
                        lambda xp, a: xp.take_along_axis(a.x, xp.astype(a.columns, xp.int32), axis=-1)],
    "tanh": [lambda xp, a: xp.tanh(a.x)],
    "where": [lambda xp, a: xp.where(a.x > 0, a.x, a.y), lambda xp, a: xp.where(a.x > 0, a.x, 0.0),
              lambda xp, a: xp.where(a.x > 0, -1e9, a.y)],
    "zeros": [lambda xp, a: xp.zeros((2, 3), dtype=a.dtype)],
    "zeros_like": [lambda xp, a: xp.zeros_like(a.x)],
}  # fmt: skip

ROUNDS_DIFFERENTLY = ("cumulative_sum", "exp", "log", "log1p", "matmul", "mean", "pow", "sqrt", "sum", "tanh")
"""The standard leaves their last bits open (torch's sqrt is one ulp off); everything else must agree bit for bit."""

SUMS = ("cumulative_sum", "matmul", "mean", "sum")
"""Whose terms may cancel: what is left has the rounding of the terms."""

ZEROS_DIFFER = ("max", "maximum", "minimum")
"""Which of 0 and -0 is the larger is left open as well."""

TOLERANCES = {"float32": 1e-6, "float64": 1e-14}


def test_every_name_has_a_call() -> None:
    assert set(CALLS) == set(contract.STANDARD)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", contract.STANDARD)
@given(seed=st.integers(0, 2**32 - 1), special=st.booleans())
@settings(max_examples=settings.default.max_examples // 2)  # of which each has several calls
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # infinities and NaN are among the inputs
def test_equal_to_numpy(other_backend: Backend, name: str, dtype: str, seed: int, special: bool) -> None:
    backend, numpy = other_backend, get("numpy")
    for number, call in enumerate(CALLS[name]):
        ours = call(backend.xp, Inputs(backend, dtype, seed, special))
        expected = call(numpy.xp, Inputs(numpy, dtype, seed, special))
        assert backend.xp.dtype_name(ours.dtype) == numpy.xp.dtype_name(expected.dtype), number
        got, expected = backend.xp.to_numpy(ours), np.asarray(expected)
        assert got.shape == expected.shape, number
        if name in ROUNDS_DIFFERENTLY:
            scale = TOLERANCES[dtype]
            np.testing.assert_allclose(
                got, expected, rtol=scale, atol=10 * scale if name in SUMS else 0
            )
        else:
            np.testing.assert_array_equal(got, expected)
            if name not in ZEROS_DIFFER and got.dtype.kind == "f":
                known = ~np.isnan(expected)
                np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))


def test_zeros_are_on_the_backends_device(backend: Backend) -> None:
    xp = backend.xp
    x = xp.from_numpy(np.ones(3, np.float32))
    for made in (xp.zeros((3,), dtype=xp.float32), xp.full((3,), 1.0, dtype=xp.float32), xp.arange(3)):
        assert made.device == x.device


def _round_trip(backend: Backend, dtype: str) -> None:
    xp = backend.xp
    host = np.array([[0, 1, 2], [3, 0, 100]])
    x = xp.from_numpy(host, dtype=dtype)
    assert xp.dtype_name(x.dtype) == dtype
    assert x.dtype == xp.dtype(dtype) == xp.from_numpy(host, dtype=xp.dtype(dtype)).dtype
    back = xp.to_numpy(x)
    assert back.dtype.name == ("float32" if dtype == "bfloat16" else dtype)
    np.testing.assert_array_equal(back, host != 0 if dtype == "bool" else host)


HALVES = ("float16", "bfloat16")


@pytest.mark.parametrize("dtype", [name for name in contract.DTYPES if name not in HALVES])
def test_host_and_back(backend: Backend, dtype: str) -> None:
    _round_trip(backend, dtype)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precisions_to_the_host_and_back(half_backend: Backend, dtype: str) -> None:
    _round_trip(half_backend, dtype)


def test_unknown_dtypes_are_refused(backend: Backend) -> None:
    with pytest.raises(InputError, match="dtype 'float8' does not exist on this backend; it has bool, "):
        backend.xp.dtype("float8")


@pytest.mark.parametrize("view", [lambda a: a[::-1], lambda a: a.T, lambda a: a[:, ::2], lambda a: a.astype(">f4"),
                                  lambda a: a[1, 1], lambda a: a[:0]])  # fmt: skip
def test_from_numpy_takes_any_layout(backend: Backend, view: Callable[..., Any]) -> None:
    host = np.arange(12, dtype=np.float32).reshape(3, 4)
    host.flags.writeable = False
    host = np.asarray(view(host))
    got = backend.xp.to_numpy(backend.xp.from_numpy(host))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, host)


def test_bfloat16_from_the_host(half_backend: Backend) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    host = np.array([1.5, -3.25, np.inf], dtype=ml_dtypes.bfloat16)
    x = half_backend.xp.from_numpy(host)
    assert half_backend.xp.dtype_name(x.dtype) == "bfloat16"
    assert half_backend.xp.finfo(x.dtype).bits == 16
    np.testing.assert_array_equal(half_backend.xp.to_numpy(x), host.astype(np.float32))


def test_gradient_tracking_arrays_come_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    np.testing.assert_array_equal(get("torch").xp.to_numpy(torch.nn.Parameter(torch.ones(2))), [1, 1])


@pytest.mark.parametrize("axis", [None, -1, (0, 1), ()])
def test_max_where_nothing_is_finite(backend: Backend, axis: int | tuple[int, ...] | None) -> None:
    """Rows of -inf are the scores of a sequence without keys; a NaN among them must not get lost."""
    low, high, nan = -np.inf, np.inf, np.nan
    for rows in ([[low, low], [low, low]], [[low, nan], [nan, high]], [[low, high], [low, 1]], [[low, low], [-3, low]]):
        host = np.array(rows, np.float32)
        x = backend.xp.from_numpy(host)
        for keepdims in (False, True):
            got = backend.xp.to_numpy(backend.xp.max(x, axis=axis, keepdims=keepdims))
            np.testing.assert_array_equal(got, np.max(host, axis=axis, keepdims=keepdims))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tanh_reaches_one(backend: Backend, dtype: str) -> None:
    host = np.array([0.0, -0.0, 1e-30, -1e-8, 0.3, -1.5, 8.0, 40.0, -1e30, np.inf, -np.inf, np.nan], dtype)
    got = backend.xp.to_numpy(backend.xp.tanh(backend.xp.from_numpy(host)))
    expected = np.array([math.tanh(v) for v in host.astype(np.float64)]).astype(dtype)
    np.testing.assert_array_max_ulp(got[:7], expected[:7], maxulp=4)
    np.testing.assert_array_equal(got[7:], expected[7:])
    np.testing.assert_array_equal(np.signbit(got[:-1]), np.signbit(host[:-1]))


@pytest.mark.parametrize(("shape", "wanted"), [((0, 3), (0, 1)), ((0, 3), (0, 0)), ((2, 3), (2, 0))])
def test_nothing_to_take(backend: Backend, shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    xp = backend.xp
    x, indices = xp.zeros(shape, dtype=xp.float32), xp.zeros(wanted, dtype=xp.int64)
    assert tuple(xp.take_along_axis(x, indices, axis=-1).shape) == wanted
    assert tuple(xp.take(x, xp.zeros((0,), dtype=xp.int64), axis=0).shape) == (0, 3)


def test_synchronize_returns(backend: Backend) -> None:
    assert backend.xp.synchronize() is None
