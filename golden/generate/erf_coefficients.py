"""Derives the polynomials of `bertref/backends/erf.py`; prints them as that file holds them.

    python golden/generate/erf_coefficients.py          (needs mpmath, half a minute)

erf(t) for t >= 0 is approximated by two formulas that meet at t = 1:

    t <= 1:  t + t P(t²)            P fits erf(t)/t - 1, a smooth function of t²
    t >= 1:  1 - exp(Q(t - 1))      Q fits log erfc(t)

Each polynomial is the best of its degree: the weighted maximum of its error, where the weight turns an error
of the polynomial into a relative error of erf, is as small as it can be (Remez's exchange algorithm). The
degrees are the smallest whose error stays under a tenth of half an ulp; the rest of the error budget belongs
to rounding.
"""

from collections.abc import Callable

from mpmath import mp, mpf

Function = Callable[[mpf], mpf]

FITS = {
    # name: (formula, degree, where erf has rounded to 1)
    "NEAR_32": ("near", 6, None),
    "FAR_32": ("far", 6, 4),
    "NEAR_64": ("near", 11, None),
    "FAR_64": ("far", 18, 6),
}


def near(s: mpf) -> mpf:
    """P(s) at s = t², with its limit at 0."""
    if s == 0:
        return 2 / mp.sqrt(mp.pi) - 1
    t = mp.sqrt(s)
    return mp.erf(t) / t - 1


def near_weight(s: mpf) -> mpf:
    """erf(t) = t (1 + P), so an error of P counts by 1 / (1 + P)."""
    return 1 / (1 + near(s))


def far(d: mpf) -> mpf:
    """Q(d) at d = t - 1."""
    return mp.log(mp.erfc(1 + d))


def far_weight(d: mpf) -> mpf:
    """erf(t) = 1 - exp(Q), so an error of Q counts by erfc / erf."""
    q = mp.erfc(1 + d)
    return q / (1 - q)


def horner(coefficients: list[mpf], x: mpf) -> mpf:
    """The polynomial with these coefficients, lowest first, at x."""
    total = mpf(0)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total


def remez(f: Function, weight: Function, a: mpf, b: mpf, degree: int) -> tuple[list[mpf], mpf]:
    """Coefficients (lowest first) of the polynomial that minimises max |weight (f - p)| on [a, b], and that
    maximum.

    The best polynomial's error has degree + 2 extrema of equal size and alternating sign. Start from
    Chebyshev's points, solve for a polynomial whose error alternates there, move the points to the extrema of
    its error, repeat.
    """
    count = degree + 2
    points = chebyshev_points(a, b, count)
    values: dict[mpf, tuple[mpf, mpf]] = {}
    grid = chebyshev_points(a, b, 40 * count)
    for _ in range(40):
        system, right = mp.matrix(count, count), mp.matrix(count, 1)
        for row, x in enumerate(points):
            w = weight(x)
            for column in range(degree + 1):
                system[row, column] = w * x**column
            system[row, degree + 1] = (-1) ** row
            right[row] = w * f(x)
        solution = mp.lu_solve(system, right)
        coefficients, level = [solution[i] for i in range(degree + 1)], abs(solution[degree + 1])
        for x in grid:
            values.setdefault(x, (f(x), weight(x)))
        errors = [(values[x][1] * (values[x][0] - horner(coefficients, x)), x) for x in grid]
        worst = max(abs(error) for error, _ in errors)
        if worst < level * mpf("1.0001"):
            return coefficients, worst
        points = alternating_extrema(errors, count)
    raise ArithmeticError(
        f"no convergence for degree {degree}: error {mp.nstr(worst, 3)}, level {mp.nstr(level, 3)}"
    )


def chebyshev_points(a: mpf, b: mpf, count: int) -> list[mpf]:
    """`count` points from a to b, denser at the ends."""
    middle, half = (a + b) / 2, (b - a) / 2
    inner = [middle - half * mp.cos(mp.pi * k / (count - 1)) for k in range(1, count - 1)]
    return [a, *inner, b]


def alternating_extrema(errors: list[tuple[mpf, mpf]], count: int) -> list[mpf]:
    """The largest error of each run of one sign, reduced to `count` runs by dropping the smaller end."""
    peaks = [errors[0]]
    for error in errors[1:]:
        if (error[0] > 0) != (peaks[-1][0] > 0):
            peaks.append(error)
        elif abs(error[0]) > abs(peaks[-1][0]):
            peaks[-1] = error
    while len(peaks) > count:
        peaks.pop(0 if abs(peaks[0][0]) < abs(peaks[-1][0]) else -1)
    if len(peaks) < count:
        raise ArithmeticError(f"the error alternates {len(peaks)} times instead of {count}: raise mp.dps")
    return [x for _, x in peaks]


def fit(name: str) -> tuple[list[mpf], mpf]:
    """The polynomial called `name`, lowest coefficient first, and the relative error of erf it causes."""
    formula, degree, end = FITS[name]
    with mp.workdps(80):
        if formula == "near":
            return remez(near, near_weight, mpf(0), mpf(1), degree)
        return remez(far, far_weight, mpf(0), mpf(end) - 1, degree)


if __name__ == "__main__":
    for name in FITS:
        coefficients, error = fit(name)
        print(f"{name} = (  # relative error of erf below 2**{mp.nstr(mp.log(error, 2), 4)}")
        for coefficient in coefficients:
            print(f"    {float(coefficient)!r},")
        print(")")
