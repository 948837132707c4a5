"""The GELU kernel over the whole range of float32, and where its polynomial comes from."""

import numpy as np
import pytest

from bertref.backends.numpy.kernels import gelu
from bertref.golden.generate import gelu_coefficients
from bertref.ops import OPS

from .pairs import FACTOR, XP, products_by

SIGNS = (1, -1)


def every_exponent(per_binade: int) -> np.ndarray:
    """Floats of both signs: so many in each binade from the smallest normal number to the largest, and the edges."""
    exponents = np.arange(-126, 128)
    mantissas = 1 + np.linspace(0, 1, per_binade, endpoint=False)
    with np.errstate(over="ignore"):
        x = np.ldexp(mantissas[None, :], exponents[:, None]).astype(np.float32).reshape(-1)
    edges = np.array([0, 1e-45, 1e-40, 5.5, 13.2], np.float32)
    return np.concatenate([sign * a for a in (x, edges) for sign in SIGNS])


def both(x: np.ndarray, activation: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Value and derivative: the truth (the reference in float64), the reference's in float32, the kernel's."""
    found = []
    for dtype, pair in ((np.float64, OPS["bias_activation"]), (np.float32, OPS["bias_activation"]),
                        (np.float32, gelu.bias_activation)):  # fmt: skip
        rows = x.astype(dtype).reshape(1, -1)
        with np.errstate(all="ignore"):
            y, cache = pair.forward(XP, rows, np.zeros(x.size, dtype), activation=activation)
            slope = pair.backward(XP, np.ones_like(rows), cache).x
        found.append({"value": y[0], "derivative": slope[0]})
    return found[0], found[1], found[2]


@pytest.mark.parametrize("activation", ["gelu_erf", "gelu_tanh"])
def test_every_exponent(activation: str) -> None:
    """Binade by binade, in units of the largest true value there, the error is at most `FACTOR` times the reference's.

    Half a last place of 1 is granted to Φ wherever it is: what 1 + erf costs the reference depends on luck.
    """
    x = every_exponent(200)
    x = x[np.abs(x) < 1e18]  # x² overflows beyond, see the edge cases
    true, reference, kernel = both(x, activation)
    _, binade = np.frexp(np.abs(x))
    for name, values in true.items():
        size = np.abs(x.astype(np.float64)) if name == "value" else np.ones(x.shape)
        for group in np.unique(binade):
            for sign in SIGNS:
                here = (binade == group) & (np.sign(x) == sign)
                if not here.any():
                    continue
                unit = np.maximum(2.0**-24 * size[here], 2.0**-149)
                own = np.max(np.abs(reference[name][here] - values[here]) / unit)
                error = np.max(np.abs(kernel[name][here] - values[here]) / unit)
                assert error <= FACTOR * max(own, 0.5), (name, group, sign)


@pytest.mark.parametrize("activation", ["gelu_erf", "gelu_tanh"])
def test_nothing_is_lost_far_out(activation: str) -> None:
    x = np.array([20.0, 1e4, 1e10, 3e38], np.float32)
    _, _, kernel = both(x, activation)
    np.testing.assert_array_equal(kernel["value"], x)
    _, _, kernel = both(-x, activation)
    np.testing.assert_array_equal(kernel["value"], np.zeros(4))


@pytest.mark.parametrize(("number", "factor"), [(0, 1.001), (1, 1.001), (2, 1.1), (3, 1.01), (4, 1.01), (6, 1.1)])
def test_a_wrong_coefficient_shows(monkeypatch: pytest.MonkeyPatch, number: int, factor: float) -> None:
    wrong = [c * (factor if number == k else 1) for k, c in enumerate(gelu.NORMAL)]
    monkeypatch.setattr(gelu, "NORMAL", tuple(wrong))
    with products_by("numpy"), pytest.raises(AssertionError):
        test_every_exponent("gelu_erf")


def test_the_generator_reproduces_the_coefficients() -> None:
    coefficients, error = gelu_coefficients.fit()
    np.testing.assert_allclose([float(c) for c in coefficients], gelu.NORMAL, rtol=1e-9)
    assert error < 2.0**-25


def test_beyond_the_fitted_range_the_tanh_grows_on() -> None:
    h = np.linspace(0, 100, 100_001)
    argument = np.polyval(gelu.NORMAL[::-1], h * h) * h
    assert (np.diff(argument) > 0).all()
    assert gelu.NORMAL[-1] > 0
