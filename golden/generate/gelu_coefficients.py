"""Derives the polynomial of `backends/numpy/kernels/gelu.py`; prints it as that file holds it.

    python -m bertref.golden.generate.gelu_coefficients          (needs mpmath, some seconds)

The normal distribution is Φ(h) = (1 + tanh(h R(h²))) / 2 with R(s) = artanh(erf(√(s/2))) / √s, which is smooth
in s. R is replaced by the polynomial of best fit: the largest error of Φ that it causes is as small as it can be. An
error of R counts in Φ by h (1 - erf²(h/√2)) / 2.
"""

from mpmath import mp, mpf

from .erf_coefficients import remez

DEGREE = 6
"""The smallest whose error is no larger than that of rounding Φ; its highest coefficient is positive, too, so that
h R(h²) grows beyond the fitted range as well."""
END = "5.5"
"""Where Φ has rounded to 1 in float32."""


def normal(s: mpf) -> mpf:
    """R(s), with its limit at 0."""
    if s == 0:
        return mp.sqrt(2 / mp.pi)
    h = mp.sqrt(s)
    return mp.atanh(mp.erf(h / mp.sqrt(2))) / h


def weight(s: mpf) -> mpf:
    """What an error of R(s) does to Φ."""
    h = mp.sqrt(s)
    e = mp.erf(h / mp.sqrt(2))
    return h * (1 - e * e) / 2


def fit() -> tuple[list[mpf], mpf]:
    """The coefficients, lowest first, and the largest error of Φ."""
    with mp.workdps(80):
        return remez(normal, weight, mpf(0), mpf(END) ** 2, DEGREE)


if __name__ == "__main__":
    coefficients, error = fit()
    print(f"NORMAL = (  # error of Φ below 2**{mp.nstr(mp.log(error, 2), 4)}")
    for coefficient in coefficients:
        print(f"    {float(coefficient)!r},")
    print(")")
