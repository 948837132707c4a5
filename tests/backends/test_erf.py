"""erf against mpmath, in units in the last place, on every backend; and where its polynomials come from."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import hypothesis.strategies as st
import mpmath
import numpy as np
import pytest
from hypothesis import given

from bertref.backends import Backend, erf

EDGES = [0.0, 1e-45, 1e-40, 1e-38, 1e-30, 1e-8, 1e-4, 0.4769, 0.8, 0.9999999, 1.0, 1.0000001, 1.5, 2.0, 3.0, 3.9,
         3.9999, 4.0, 4.1, 5.0, 5.86, 5.92, 6.0, 6.1, 27.0, 1e10, 1e30, 3e38]  # fmt: skip
TINY = [5e-324, 1e-320, 2.3e-308, 1e300, 1.7e308]

ULPS = {"float32": 2.0, "float64": 2.0}


def _ulps(x: np.ndarray, got: np.ndarray) -> np.ndarray:
    """Distance to the true value in units in the last place of the dtype."""
    with mpmath.workprec(200):
        true = [mpmath.erf(mpmath.mpf(float(v))) for v in x]
        rounded = np.array([float(t) for t in true]).astype(x.dtype)
        unit = np.spacing(np.abs(rounded))
        return np.array([float(abs(mpmath.mpf(float(g)) - t) / mpmath.mpf(float(u)))
                         for g, t, u in zip(got, true, unit, strict=True)])  # fmt: skip


def _normal(backend: Backend, x: np.ndarray) -> np.ndarray:
    """x as the backend sees it: XLA flushes denormal numbers to zero, CuPy those of float32 (it compiles all kernels
    with -ftz=true)."""
    flushes = backend.device.startswith("xla") or (backend.name == "cupy" and x.dtype == np.float32)
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, np.copysign(0, x), x).astype(x.dtype) if flushes else x


def _erf(backend: Backend, x: np.ndarray) -> np.ndarray:
    got = backend.xp.to_numpy(backend.xp.erf(backend.xp.from_numpy(x)))
    assert got.dtype == x.dtype
    assert got.shape == x.shape
    return got


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_edges(backend: Backend, dtype: str) -> None:
    x = np.array([s * v for v in EDGES + (TINY if dtype == "float64" else []) for s in (1, -1)]).astype(dtype)
    x = _normal(backend, x)
    got = _erf(backend, x)
    assert _ulps(x, got).max() <= ULPS[dtype]
    np.testing.assert_array_equal(np.signbit(got), np.signbit(x))
    np.testing.assert_array_equal(got[np.abs(x) >= 6], np.sign(x[np.abs(x) >= 6]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-6, 6), min_size=1, max_size=40))
def test_anywhere(backend: Backend, dtype: str, values: list[float]) -> None:
    x = _normal(backend, np.clip(values, -3e38, 3e38).astype(dtype))
    assert _ulps(x, _erf(backend, x)).max() <= ULPS[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_the_two_formulas_meet(backend: Backend, dtype: str) -> None:
    x = np.linspace(0.9, 1.1, 2001).astype(dtype)
    assert _ulps(x, _erf(backend, x)).max() <= ULPS[dtype]


def test_every_exponent_of_float32() -> None:
    """A hundred floats in every binade from the smallest normal number on, against the C library in float64."""
    from bertref.backends import get

    x = np.ldexp(1 + np.linspace(0, 1, 100, endpoint=False), np.arange(-126, 6)[:, None]).astype(np.float32).reshape(-1)
    close = np.linspace(2.0**-3, 4.2, 200_001).astype(np.float32)  # where erf bends
    for values in (x, -x, close):
        true = np.array([math.erf(v) for v in values.tolist()])
        got = get("numpy").xp.erf(values)
        unit = np.spacing(np.abs(true).astype(np.float32)).astype(np.float64)
        assert (np.abs(got - true) / unit).max() <= ULPS["float32"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinities_and_nan(backend: Backend, dtype: str) -> None:
    np.testing.assert_array_equal(_erf(backend, np.array([np.inf, -np.inf, np.nan], dtype)), [1, -1, np.nan])


def test_agrees_with_scipy_over_many_blocks() -> None:
    special = pytest.importorskip("scipy.special", reason="scipy is not installed")
    x = np.random.default_rng(3).standard_normal(300_001) * 2
    assert x.nbytes > 2 * erf.BLOCK_BYTES
    np.testing.assert_allclose(erf.erf_numpy(x), special.erf(x), rtol=1e-15)
    x = x.astype(np.float32)
    np.testing.assert_allclose(erf.erf_numpy(x), special.erf(x), rtol=2.5e-7)


def test_numpy_and_the_standard_version_are_bit_equal() -> None:
    from bertref.backends import get

    x = np.random.default_rng(4).standard_normal((50, 70)) * 2
    for dtype in ("float32", "float64"):
        host = x.astype(dtype)
        np.testing.assert_array_equal(_erf(get("strict"), host), erf.erf_numpy(host))


@pytest.mark.parametrize("view", [np.s_[::2, ::-3], np.s_[1], np.s_[0, 0], np.s_[:0]])
def test_any_layout_and_shape(backend: Backend, view: tuple[slice, ...]) -> None:
    whole = np.random.default_rng(5).standard_normal((6, 9))
    np.testing.assert_array_equal(_erf(backend, np.asarray(whole[view])), np.asarray(_erf(backend, whole)[view]))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precisions_are_rounded_once(half_backend: Backend, dtype: str) -> None:
    xp = half_backend.xp
    x = xp.from_numpy(np.linspace(-4, 4, 301), dtype=dtype)
    wide = xp.erf(xp.astype(x, xp.float32))
    np.testing.assert_array_equal(xp.to_numpy(xp.erf(x)), xp.to_numpy(xp.astype(wide, x.dtype)))


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="not int64"):
        erf.erf_numpy(np.arange(3))


def test_no_warning_for_extreme_values() -> None:
    with np.errstate(all="raise"):
        erf.erf_numpy(np.array([5e-324, 1.7e308, -np.inf, np.nan, 0.0]))


def _generator() -> ModuleType:
    path = Path(__file__).parents[2] / "golden" / "generate" / "erf_coefficients.py"
    spec = importlib.util.spec_from_file_location("erf_coefficients", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["NEAR_32", "FAR_32", "NEAR_64", pytest.param("FAR_64", marks=pytest.mark.slow)])
def test_the_generator_reproduces_the_coefficients(name: str) -> None:
    coefficients, error = _generator().fit(name)
    np.testing.assert_allclose([float(c) for c in coefficients], getattr(erf, name), rtol=1e-9)
    assert error < 2.0 ** -(28 if name.endswith("32") else 56)
