"""Bias and GELU in one sweep: x + b, the activation and its derivative, block by block.

Forward computes the derivative as well, because all that it is made of is at hand; what backward needs is then one
array of the size of x, as in the reference, and one multiplication.

The exact GELU needs Φ, the normal distribution. It is one half plus half a tanh of a polynomial:

    Φ(h) = (1 + tanh(h R(h²))) / 2         R(s) = artanh(erf(√(s/2))) / √s

so the two GELUs are one formula with two polynomials (that of the tanh form is R(s) = C (1 + A s)), and NumPy's fast
tanh does most of the work. `golden/generate/gelu_coefficients.py` derives R for float32; what its error does to Φ is
what rounding a number between 1/2 and 1 does. h R(h²) keeps growing beyond the range that was fitted, to infinity, and
tanh makes 1 of it. Where MKL is at hand it makes Φ of its erf, several times faster; its own Φ takes twice as long.

`given=True` says that the caller has no further use for x: y is then written in its place.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ....arrays import Namespace
from ....ops.bias_activation import BiasActivationGrads
from ....ops.gelu_tanh import A, C
from ....ops.op import Kernel
from ..blas import mkl
from ..threads import available
from .buffers import HostArray, empty, in_place_of, scratch
from .rows import as_rows, over_rows, reals, row_blocks

NORMAL = (  # error of Φ below 2**-25.05
    0.7978849413621428,
    0.03633308434168091,
    -3.259458047482625e-05,
    -5.530643708861995e-05,
    3.964802554955102e-06,
    -1.322688787524037e-07,
    1.7563459030851219e-09,
)
SQRT_HALF = math.sqrt(0.5)
DENSITY = 1 / math.sqrt(2 * math.pi)


class Cache(NamedTuple):
    """The derivative at every element, (..., I)."""

    slope: HostArray


def serves(x: Any, bias: Any, *, activation: str) -> bool:
    """The exact GELU in float32, the tanh form in float32 and float64."""
    if activation not in ("gelu_erf", "gelu_tanh") or not reals(x, bias) or x.ndim < 2:
        return False
    return activation == "gelu_tanh" or x.dtype == np.float32


def forward(
    xp: Namespace, x: HostArray, bias: HostArray, *, activation: str, gradients: bool = True, given: bool = False
) -> tuple[HostArray, Cache | None]:
    """x (..., I), bias (I) -> y (..., I). Without `gradients` there is no derivative, and no cache."""
    y = in_place_of(x) if given else empty(x.shape, x.dtype)
    slope = empty(x.shape, x.dtype) if gradients else None
    rows, y_rows, slope_rows = as_rows(x), as_rows(y), None if slope is None else as_rows(slope)
    compute = _exact if activation == "gelu_erf" else _tanh_form

    def block(_: int, r: slice) -> None:
        h = y_rows[r]
        np.add(rows[r], bias, out=h)
        compute(h, None if slope_rows is None else slope_rows[r])

    over_rows(block, *rows.shape)
    return y, None if slope is None else Cache(slope)


def _exact(h: HostArray, slope: HostArray | None) -> None:
    """h Φ(h) in the place of h and, where it is wanted, the derivative Φ(h) + h φ(h)."""
    square, cdf = scratch(1, h.shape, h.dtype), scratch(2, h.shape, h.dtype)
    np.multiply(h, SQRT_HALF, out=cdf)
    if mkl.erf(cdf, cdf, available()):
        _half_plus_half(cdf)
    else:
        _normal_cdf(h, cdf, square)
    if slope is None:
        np.multiply(h, cdf, out=h)
        return
    np.multiply(h, h, out=square)
    np.multiply(square, -0.5, out=square)
    np.exp(square, out=square)
    np.multiply(square, DENSITY, out=square)
    np.multiply(square, h, out=square)
    np.add(square, cdf, out=slope)
    np.multiply(h, cdf, out=h)


def _normal_cdf(h: HostArray, cdf: HostArray, square: HostArray) -> None:
    """cdf = Φ(h), by the polynomial above; `square` is where it works."""
    np.multiply(h, h, out=square)
    np.multiply(square, NORMAL[-1], out=cdf)
    for coefficient in NORMAL[-2:0:-1]:
        np.add(cdf, coefficient, out=cdf)
        np.multiply(cdf, square, out=cdf)
    np.add(cdf, NORMAL[0], out=cdf)
    np.multiply(cdf, h, out=cdf)
    np.tanh(cdf, out=cdf)
    _half_plus_half(cdf)


def _tanh_form(h: HostArray, slope: HostArray | None) -> None:
    """h (1 + t)/2 in the place of h, with t = tanh(C (h + A h³)), and the derivative
    (1 + t)/2 + h/2 (1 - t²) C (1 + 3A h²).

    With f = (1 + t)/2 the product (1 - t²)/2 is 2 f (1 - f), exact where f is near 0 and 1.
    """
    square, share = scratch(1, h.shape, h.dtype), scratch(2, h.shape, h.dtype)
    np.multiply(h, h, out=square)
    np.multiply(square, C * A, out=share)
    np.add(share, C, out=share)
    np.multiply(share, h, out=share)
    np.tanh(share, out=share)
    _half_plus_half(share)
    if slope is None:
        np.multiply(h, share, out=h)
        return
    np.multiply(square, 6 * C * A, out=square)
    np.add(square, 2 * C, out=square)
    np.subtract(1, share, out=slope)
    np.multiply(slope, share, out=slope)
    np.multiply(slope, square, out=slope)
    np.multiply(slope, h, out=slope)
    np.add(slope, share, out=slope)
    np.multiply(h, share, out=h)


def _half_plus_half(x: HostArray) -> None:
    """(1 + x)/2 in the place of x."""
    np.multiply(x, 0.5, out=x)
    np.add(x, 0.5, out=x)


def backward(xp: Namespace, dy: HostArray, cache: Cache) -> BiasActivationGrads:
    """dy (..., I) -> gradients of x and bias."""
    slope = cache.slope
    dx = empty(slope.shape, slope.dtype)
    dy_rows, slope_rows, dx_rows = as_rows(dy), as_rows(slope), as_rows(dx)
    N, I = slope_rows.shape  # noqa: E741
    parts = np.empty((len(row_blocks(N, I)), I), slope.dtype)

    def block(i: int, r: slice) -> None:
        np.multiply(dy_rows[r], slope_rows[r], out=dx_rows[r])
        np.add.reduce(dx_rows[r], axis=0, out=parts[i])

    over_rows(block, N, I)
    return BiasActivationGrads(dx, np.add.reduce(parts, axis=0))


bias_activation = Kernel("bias_activation", forward, backward, serves, hints=("gradients", "given"))
