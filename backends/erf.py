"""The error function, which NumPy and the array API standard lack, to about one ulp in float32 and in
float64.

For t = |x|, with polynomials P and Q of best fit (`golden/generate/erf_coefficients.py` derives them):

    t <= 1:  erf(t) = t + t P(t²)          the second term is small, so its rounding errors hardly count
    t > 1:   erf(t) = 1 - exp(Q(t - 1))    exp(Q) = erfc(t) < 0.16, and the same holds

erf(-x) = -erf(x), erf(-0) = -0. Above t = 4 (float32) or 6 (float64) erf has rounded to 1. NaN stays NaN.

Two versions of the same formulas: `erf_numpy`, for speed, and `erf_standard` for any namespace of the
standard.
"""

from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, Namespace

NEAR_32 = (  # relative error of erf below 2**-29.62
    0.128379165726872,
    -0.37612625824816276,
    0.11283585153369902,
    -0.026853812085788287,
    0.005188327878799885,
    -0.0008010194522548241,
    7.853861868366878e-05,
)
FAR_32 = (  # relative error of erf below 2**-29.8
    -1.849605515652859,
    -2.638966879526875,
    -0.8431176106617599,
    -0.04150348656309185,
    0.00989544206363096,
    -0.0018293696190417846,
    0.00018637559805061382,
)
NEAR_64 = (  # relative error of erf below 2**-56.93
    0.12837916709551256,
    -0.3761263890318352,
    0.11283791670944185,
    -0.026866170643111406,
    0.00522397760611795,
    -0.0008548325929289371,
    0.00012055293576159022,
    -1.4924712288067329e-05,
    1.6447131403673695e-06,
    -1.6206312510252814e-07,
    1.3710975148745214e-08,
    -7.779458955545839e-10,
)
FAR_64 = (  # relative error of erf below 2**-59.48
    -1.8496055099332482,
    -2.6389675142347886,
    -0.8431072563586589,
    -0.04156109804218362,
    0.010033825378471223,
    -0.001977902594114725,
    0.0002373225910387978,
    2.62775612888411e-05,
    -2.715847405268873e-05,
    9.607955840438102e-06,
    -2.058738805556437e-06,
    1.4203318503291538e-07,
    9.805932541245606e-08,
    -5.226837568518502e-08,
    1.498705703593785e-08,
    -2.88155877344795e-09,
    3.709596065821097e-10,
    -2.9066648360150674e-11,
    1.0496013357537925e-12,
)


class Fit(NamedTuple):
    """The polynomials of one dtype, lowest coefficient first, and the t above which erf has rounded to 1."""

    near: tuple[float, ...]
    far: tuple[float, ...]
    end: float


FITS = {"float32": Fit(NEAR_32, FAR_32, 4.0), "float64": Fit(NEAR_64, FAR_64, 6.0)}

BLOCK_BYTES = 1 << 18
"""Size of a block: it and its buffers stay in the level-2 cache over the thirty passes."""


def erf_numpy(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """erf of a NumPy array of any shape, in its dtype; half precisions go through float32.

    Integers raise `TypeError`.
    """
    name = x.dtype.name
    if name in ("float16", "bfloat16"):
        return erf_numpy(x.astype(np.float32)).astype(x.dtype)
    if name not in FITS:
        raise TypeError(f"erf takes floating-point arrays, not {name}")
    source = x.reshape(-1)
    out = np.empty(source.shape, x.dtype)
    block = BLOCK_BYTES // x.dtype.itemsize
    scratch = np.empty((2, min(block, source.size)), x.dtype)
    with np.errstate(all="ignore"):  # the smallest numbers underflow on the way, harmlessly
        for start in range(0, source.size, block):
            piece = source[start : start + block]
            _erf_block(piece, out[start : start + block], scratch[:, : piece.size], FITS[name])
    return out.reshape(x.shape)


def _erf_block(x: np.ndarray[Any, Any], out: np.ndarray[Any, Any], scratch: np.ndarray[Any, Any], fit: Fit) -> None:
    """erf of a cache-sized block, into `out`; only the elements with |x| > 1 pay for the second formula."""
    y, square = scratch
    np.maximum(x, -fit.end, out=y)
    np.minimum(y, fit.end, out=y)
    np.multiply(y, y, out=square)
    _horner(fit.near, square, out)
    np.multiply(out, y, out=out)
    np.add(out, y, out=out)
    far = np.flatnonzero(square > 1)
    if far.size:
        signed = y[far]
        d = np.abs(signed)
        np.subtract(d, 1, out=d)
        q = np.empty_like(d)
        _horner(fit.far, d, q)
        np.exp(q, out=q)
        np.subtract(1, q, out=q)
        out[far] = np.copysign(q, signed, out=q)


def _horner(coefficients: tuple[float, ...], x: np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> None:
    """The polynomial at x, into `out`."""
    np.multiply(x, coefficients[-1], out=out)
    for coefficient in coefficients[-2:0:-1]:
        np.add(out, coefficient, out=out)
        np.multiply(out, x, out=out)
    np.add(out, coefficients[0], out=out)


def erf_standard(xp: Namespace, x: Array, name: str) -> Array:
    """The same for a float32 or float64 array (`name`) of any namespace of the array API standard."""
    fit = FITS[name]
    t = xp.minimum(xp.abs(x), fit.end)
    near = _polynomial(fit.near, t * t) * t + t
    d = xp.maximum(t - 1.0, 0.0)
    beyond = 1.0 - xp.exp(_polynomial(fit.far, d))
    y = xp.where(t * t > 1.0, beyond, near)
    return xp.where(x < 0, -y, xp.where(x == 0, x, y))  # the middle case keeps the sign of -0


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    total = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total = (total + coefficient) * x
    return total + coefficients[0]
