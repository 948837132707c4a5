"""The way back of a forward pass that is right: derivatives of the norm, of the softmax and of the activation."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ....row import TensorRow
from ...graph.contribution import Contribution
from ..hypothesis import Possibility
from ..scene import Back, Scene
from .activations import CUBIC, FUNCTIONS, ROOT_2_PI, own, slope_of
from .backward import back, back_of, names_of
from .tools import number_of_rows, rows_of

Values = Any

# -- activations -------------------------------------------------------------------------------------------------------

Slope = Callable[[Values, Values, Values], Values]
"""A derivative, of an activation's input and output, and of the gradient that is multiplied by it."""
SLOPES = {
    "GELU's tanh form": "gelu_tanh", "the exact GELU": "gelu_erf", "ReLU": "relu", "GELU's sigmoid form": "quick_gelu",
}  # fmt: skip
UNDER_DENSITY = math.sqrt(2 * math.pi)
"""What the normal density divides exp(-x^2 / 2) by."""


def _density(x: Values) -> Values:
    return np.exp(-x * x / 2) / UNDER_DENSITY


def _share(x: Values) -> Values:
    """Φ(x): GELU(x) / x, with its limit at 0."""
    x = np.where(x == 0, 1e-12, x)
    return FUNCTIONS["gelu_erf"](x) / x


def _by_density(second: Callable[[Values], Values]) -> Slope:
    """Φ(x), and something else in the place of x times the normal density."""
    return lambda x, y, d: _share(x) + second(x)


EXACT: dict[str, Slope] = {
    "GELU's with half of the product rule, without x times the normal density": lambda x, y, d: _share(x),
    "GELU's with half of the product rule, x times the normal density alone": lambda x, y, d: x * _density(x),
    "GELU's with a normal density that isn't divided by sqrt(2 pi)": _by_density(
        lambda x: x * UNDER_DENSITY * _density(x)),
    "GELU's with a normal density that is divided by sqrt(2) pi": _by_density(
        lambda x: x * _density(x) / math.sqrt(math.pi)),
    "GELU's with a normal density that is divided by 2 pi": _by_density(lambda x: x * _density(x) / UNDER_DENSITY),
    "GELU's with a normal density that is divided by sqrt(pi)": _by_density(lambda x: x * _density(x) * math.sqrt(2)),
    "GELU's with a normal density that is divided by sqrt(2)": _by_density(
        lambda x: x * _density(x) * math.sqrt(math.pi)),
    "GELU's with x times the normal density taken off, not added": _by_density(lambda x: -x * _density(x)),
    "GELU's with the normal density, without x": _by_density(_density),
    "GELU's with x^2 times the normal density": _by_density(lambda x: x * x * _density(x)),
    "GELU's with exp(-x^2) in the normal density; that is exp(-x^2 / 2)": _by_density(
        lambda x: x * np.exp(-x * x) / UNDER_DENSITY),
    "GELU's with exp(x^2 / 2) in the normal density; that is exp(-x^2 / 2)": _by_density(
        lambda x: x * np.exp(x * x / 2) / UNDER_DENSITY),
    "GELU's with exp(-x / 2) in the normal density; that is exp(-x^2 / 2)": _by_density(
        lambda x: x * np.exp(-x / 2) / UNDER_DENSITY),
    "GELU's with the normal density of the gradient, where that of x belongs":
        lambda x, y, d: _share(x) + x * _density(d),
    "GELU's with the output in the place of x before the normal density":
        lambda x, y, d: _share(x) + y * _density(x),
    "GELU's with the output in the place of x in x times the normal density (x has been overwritten)":
        lambda x, y, d: _share(x) + y * _density(y),
    "GELU's with 1 + erf, without the factor 1/2": lambda x, y, d: 2 * _share(x) + x * _density(x),
    "GELU's with erf / 2, without the 1": lambda x, y, d: _share(x) - 0.5 + x * _density(x),
}  # fmt: skip
"""Of the exact GELU, Φ(x) + x times the normal density, as they are written by mistake."""


def _inner(x: Values) -> Values:
    return np.tanh(ROOT_2_PI * (x + CUBIC * x * x * x))


def _by_tanh(second: Callable[[Values, Values], Values]) -> Slope:
    """(1 + t) / 2, and a second term made of x and t."""
    return lambda x, y, d: 0.5 * (1 + _inner(x)) + second(x, _inner(x))


def _cube(x: Values, times: float = 3.0) -> Values:
    """The derivative of what the tanh is taken of."""
    return ROOT_2_PI * (1 + times * CUBIC * x * x)


TANH_FORM: dict[str, Slope] = {
    "GELU's tanh form's with half of the product rule, (1 + t) / 2": _by_tanh(lambda x, t: 0 * x),
    "GELU's tanh form's with half of the product rule, without (1 + t) / 2":
        lambda x, y, d: 0.5 * x * (1 - _inner(x) ** 2) * _cube(x),
    "GELU's tanh form's without the derivative of what the tanh is taken of": _by_tanh(
        lambda x, t: 0.5 * x * (1 - t * t)),
    "GELU's tanh form's with 1 + 0.044715 x^2; that is 1 + 3 * 0.044715 x^2": _by_tanh(
        lambda x, t: 0.5 * x * (1 - t * t) * _cube(x, 1.0)),
    "GELU's tanh form's without the derivative of the cube": _by_tanh(
        lambda x, t: 0.5 * x * (1 - t * t) * ROOT_2_PI),
    "GELU's tanh form's without the factor sqrt(2 / pi)": _by_tanh(
        lambda x, t: 0.5 * x * (1 - t * t) * _cube(x) / ROOT_2_PI),
    "GELU's tanh form's with 1 - t; that is 1 - t^2": _by_tanh(lambda x, t: 0.5 * x * (1 - t) * _cube(x)),
    "GELU's tanh form's with 1 + t^2; that is 1 - t^2": _by_tanh(lambda x, t: 0.5 * x * (1 + t * t) * _cube(x)),
    "GELU's tanh form's without the factor 1/2 of the second term": _by_tanh(
        lambda x, t: x * (1 - t * t) * _cube(x)),
    "GELU's tanh form's without x in the second term": _by_tanh(lambda x, t: 0.5 * (1 - t * t) * _cube(x)),
    "GELU's tanh form's with the second term taken off, not added": _by_tanh(
        lambda x, t: -0.5 * x * (1 - t * t) * _cube(x)),
}  # fmt: skip
"""Of GELU's tanh form, x (1 + t) / 2 with t = tanh(sqrt(2 / pi) (x + 0.044715 x^3))."""
EXACT_OR_TANH = {"gelu_erf": EXACT, "gelu_tanh": TANH_FORM}
NOTHING, AT_OUTPUT = "1, as if there were no activation", "the right function, taken at its output (x is overwritten)"


def _slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    function = own(scene, scene.rows[scene.made_by(row)])
    others = [words for words, name in SLOPES.items() if name != function]
    for words in (*others, *EXACT_OR_TANH.get(function, {}), NOTHING, AT_OUTPUT):
        yield Possibility(words, words)


def _by_slope(scene: Scene, row: TensorRow, words: str) -> Back:
    x, y = row.inputs[0], scene.made_by(row)
    name = own(scene, scene.rows[y])
    function = FUNCTIONS[name]

    def slope(x: Values, d: Values) -> Values:
        if words == NOTHING:
            return np.ones_like(x)
        if words in SLOPES:
            return slope_of(FUNCTIONS[SLOPES[words]])(x)
        if words == AT_OUTPUT:
            return slope_of(function)(function(x))
        return EXACT_OR_TANH[name][words](x, function(x), d)

    return Back((Contribution((f"grad:{y}", x), lambda d, x: d * slope(x, d), x),))


# -- norms -------------------------------------------------------------------------------------------------------------


class Normed(NamedTuple):
    """What a norm's way back is made of: its input x, that centred, the normalised input, 1 / the standard deviation,
    its output y, gamma, the gradient of the output, and that times gamma."""

    x: Values
    centred: Values
    normalised: Values
    inverse: Values
    y: Values
    gamma: Values
    dy: Values
    d: Values

    def of(self, first: Values, mean: Values, along: Values) -> Values:
        """The first term, less the mean of it, less the part along the normalised input, over the deviation."""
        return self.inverse * (first - mean - along)

    @property
    def mean(self) -> Values:
        return mean(self.d)

    @property
    def along(self) -> Values:
        return self.normalised * mean(self.d * self.normalised)

    @property
    def right(self) -> Values:
        return self.of(self.d, self.mean, self.along)


def mean(x: Values) -> Values:
    return x.mean(axis=-1, keepdims=True)


def _normed(scene: Scene, row: TensorRow, x: Values, dy: Values) -> Normed:
    gamma, beta = (scene.params[name] for name, _ in row.parameters)
    centred = x - mean(x)
    inverse = 1 / np.sqrt(mean(centred**2) + scene.case.numerics.layer_norm_eps)
    normalised = centred * inverse
    return Normed(x, centred, normalised, inverse, gamma * normalised + beta, gamma, dy, dy * gamma)


NORM_SLOPES: dict[str, Callable[[Normed], Values]] = {
    "mean and variance are taken for constants; they depend on the input": lambda n: n.inverse * n.d,
    "the mean of the gradient isn't taken off": lambda n: n.of(n.d, 0, n.along),
    "the part of the gradient along the normalised input isn't taken off": lambda n: n.of(n.d, n.mean, 0),
    "the gradient is handed on as it is": lambda n: n.dy,
    "gamma is left out": lambda n: n._replace(d=n.dy).right,
    "gamma is left out of the mean of the gradient": lambda n: n.of(n.d, mean(n.dy), n.along),
    "gamma is left out of the part along the normalised input":
        lambda n: n.of(n.d, n.mean, n.normalised * mean(n.dy * n.normalised)),
    "gamma is left out of both means": lambda n: n.of(n.d, mean(n.dy), n.normalised * mean(n.dy * n.normalised)),
    "gamma stands in both means alone": lambda n: n.of(n.dy, n.mean, n.along),
    "gamma is multiplied with in the end; it belongs to the gradient that means are taken of":
        lambda n: n.gamma * n._replace(d=n.dy).right,
    "gamma is multiplied with twice": lambda n: n._replace(d=n.d * n.gamma).right,
    "sums over the elements are taken off, where means belong":
        lambda n: n.of(n.d, n.x.shape[-1] * n.mean, n.x.shape[-1] * n.along),
    "the gradient's sum over the elements is taken off, where its mean belongs":
        lambda n: n.of(n.d, n.x.shape[-1] * n.mean, n.along),
    "the part along the normalised input is made of a sum, where a mean belongs":
        lambda n: n.of(n.d, n.mean, n.x.shape[-1] * n.along),
    "the mean of the gradient is added; it is taken off": lambda n: n.of(n.d, -n.mean, n.along),
    "the part of the gradient along the normalised input is added; it is taken off":
        lambda n: n.of(n.d, n.mean, -n.along),
    "both the mean and the part along the normalised input are added; they are taken off":
        lambda n: n.of(n.d, -n.mean, -n.along),
    "the standard deviation isn't divided by": lambda n: n.right / n.inverse,
    "it is divided by the variance; the standard deviation is its root": lambda n: n.right * n.inverse,
    "it is multiplied with the standard deviation; that is divided by": lambda n: n.right / n.inverse**2,
    "the gradient alone is divided by the standard deviation, and what is taken off isn't":
        lambda n: n.inverse * n.d - n.mean - n.along,
    "the part along the normalised input, or one of the two normalised inputs in it, isn't divided by the standard "
    "deviation": lambda n: n.of(n.d, n.mean, n.along / n.inverse),
    "the mean of the gradient isn't divided by the standard deviation":
        lambda n: n.inverse * (n.d - n.along) - n.mean,
    "both normalised inputs aren't divided by the standard deviation":
        lambda n: n.of(n.d, n.mean, n.along / n.inverse**2),
    "the part along the normalised input is divided by the standard deviation once too often":
        lambda n: n.of(n.d, n.mean, n.along * n.inverse),
    "the norm's output stands for the normalised input": lambda n: n.of(n.d, n.mean, n.y * mean(n.d * n.y)),
    "the norm's input stands for the normalised input": lambda n: n.of(n.d, n.mean, n.x * mean(n.d * n.x)),
    "the part along the normalised input is taken off twice": lambda n: n.of(n.d, n.mean, 2 * n.along),
    "half of the part along the normalised input is taken off": lambda n: n.of(n.d, n.mean, n.along / 2),
}  # fmt: skip
"""(d - mean(d) - normalised * mean(d * normalised)) / deviation, with d = dy * gamma, as it is written by mistake."""

Mean = Callable[[Scene, str, Values], Values]
"""Of a tensor of a row, a mean over something else than its last axis."""


def _over_rows(*, padding: bool) -> Mean:
    return lambda scene, name, z: rows_of(z).sum(axis=0) / number_of_rows(scene, name, padding=padding)


def _over_all(*, padding: bool) -> Mean:
    return lambda scene, name, z: z.sum() / (number_of_rows(scene, name, padding=padding) * z.shape[-1])


MEANS: dict[str, Mean] = {
    "over all rows": _over_rows(padding=False), "over all rows, padding as well": _over_rows(padding=True),
    "over the texts": lambda scene, name, z: z.mean(axis=0, keepdims=True),
    "over the positions of a text": lambda scene, name, z: z.mean(axis=-2, keepdims=True),
    "over everything": _over_all(padding=False), "over everything, padding as well": _over_all(padding=True),
}  # fmt: skip


def _norm_slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words in NORM_SLOPES:
        yield Possibility(words, words)
    for words in MEANS:
        for both, of in enumerate(("the mean of the gradient is", "the mean behind the part along the normalised input "
                                   "is", "both means are")):  # fmt: skip
            yield Possibility(f"{of} taken {words}; a mean is over the elements of a row", (words, both))


def _by_norm_slope(scene: Scene, row: TensorRow, value: str | tuple[str, int]) -> Back:
    made_by = scene.made_by(row)
    inputs = (f"grad:{made_by}", row.inputs[0])
    if isinstance(value, str):
        return Back((Contribution(inputs, lambda d, x: NORM_SLOPES[value](_normed(scene, row, x, d))),))
    words, which = value

    def found(d: Values, x: Values) -> Values:
        n = _normed(scene, row, x, d)
        first = n.mean if which == 1 else MEANS[words](scene, made_by, n.d)
        second = n.along if which == 0 else n.normalised * MEANS[words](scene, made_by, n.d * n.normalised)
        return n.of(n.d, first, second)

    return Back((Contribution(inputs, found),), padding=True, slots=True)  # which get a gradient so


WEIGHT_SLOPES: Mapping[str, tuple[int, Callable[[Normed], Values]]] = {
    "the gradient of gamma is made of the normalised input times gamma; it is made of the normalised input":
        (0, lambda n: n.d * n.normalised),
    "the gradient of gamma is made of the norm's output; it is made of the normalised input": (0, lambda n: n.dy * n.y),
    "the gradient of gamma is made of the norm's input; it is made of the normalised input": (0, lambda n: n.dy * n.x),
    "the gradient of gamma is made of the centred input; it is made of the normalised input":
        (0, lambda n: n.dy * n.centred),
    "the gradient of gamma is the sum of dy; it is the sum of dy times the normalised input": (0, lambda n: n.dy),
    "the gradient of beta is the sum of dy times gamma; it is the sum of dy": (1, lambda n: n.d),
    "the gradient of beta is the sum of dy times the normalised input; it is the sum of dy":
        (1, lambda n: n.dy * n.normalised),
    "the gradient of beta is the sum of what goes back to the norm's input; it is the sum of dy":
        (1, lambda n: n.right),
}  # fmt: skip


def _weight_slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words in WEIGHT_SLOPES:
        yield Possibility(words, words)


def _by_weight_slope(scene: Scene, row: TensorRow, words: str) -> Back | None:
    (i, terms), parts = WEIGHT_SLOPES[words], scene.parameters(row)
    if row.parameters[i].name not in parts:
        return None  # with another norm's weights
    inputs = (f"grad:{scene.made_by(row)}", row.inputs[0])
    made = Contribution(inputs, lambda d, x: rows_of(terms(_normed(scene, row, x, d))).sum(axis=0))
    return Back((), {**parts, row.parameters[i].name: made})


# -- softmax -----------------------------------------------------------------------------------------------------------


class Softmaxed(NamedTuple):
    """What the softmax's way back is made of: its output y, the gradient of that, the same with what stands on padding,
    and (B, 1, 1, 1) the number of tokens of each text."""

    y: Values
    d: Values
    every: Values
    tokens: Values

    def less(self, of: Values) -> Values:
        """y dy less y times this."""
        return self.y * (self.d - of)

    @property
    def product(self) -> Values:
        return self.y * self.d

    @property
    def total(self) -> Values:
        return self.product.sum(axis=-1, keepdims=True)

    @property
    def right(self) -> Values:
        return self.less(self.total)


SOFTMAX_SLOPES: dict[str, Callable[[Softmaxed], Values]] = {
    "y dy alone; the row's sum of it, times y, belongs off it": lambda s: s.product,
    "y dy less twice the row's sum of it, times y; it is once": lambda s: s.less(2 * s.total),
    "y dy and the row's sum of it, times y; that is taken off": lambda s: s.less(-s.total),
    "the right one less y times the row's sum of its absolute values":
        lambda s: s.right - s.y * np.abs(s.right).sum(axis=-1, keepdims=True),
    "y dy less y times the row's mean of it; it is the sum": lambda s: s.less(s.product.mean(axis=-1, keepdims=True)),
    "y dy less y times the mean of it over the row's tokens; it is the sum": lambda s: s.less(s.total / s.tokens),
    "y (1 - y) dy, the diagonal of the Jacobian alone": lambda s: s.product * (1 - s.y),
    "y dy less y times the row's sum of dy; it is the sum of y dy":
        lambda s: s.less(s.every.sum(axis=-1, keepdims=True)),
    "dy less the row's sum of y dy; it is y times that": lambda s: s.d - s.total,
    "y dy less the row's sum of it; it is y times the sum": lambda s: s.product - s.total,
    "dy, as if there were no softmax": lambda s: s.d,
    "y dy less y times the sum of it over the queries; it is the sum over the keys":
        lambda s: s.less(s.product.sum(axis=-2, keepdims=True)),
    "y dy less y times the sum of it over a head's queries and keys; it is the sum over the keys":
        lambda s: s.less(s.product.sum(axis=(-1, -2), keepdims=True)),
    "y dy less y times the sum of it over heads, queries and keys; it is the sum over the keys":
        lambda s: s.less(s.product.sum(axis=(-1, -2, -3), keepdims=True)),
    "y dy less y times the sum of it over heads; it is the sum over the keys":
        lambda s: s.less(s.product.sum(axis=1, keepdims=True)),
    "y dy less y times the sum of it over everything; it is the sum over the keys":
        lambda s: s.less(s.product.sum()),
}  # fmt: skip
"""y (dy - the row's sum of y dy), as it is written by mistake."""
WITH_PADDING = ("the row's sum of dy", "over the queries", "over heads", "over a head's", "over everything")
"""Words of those under which padding has a gradient."""


def _softmax_slopes(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for words in SOFTMAX_SLOPES:
        yield Possibility(words, words)


def _by_softmax(scene: Scene, row: TensorRow, words: str) -> Back:
    y, tokens = scene.made_by(row), scene.case.batch.attention_mask.astype(bool).sum(axis=1).reshape(-1, 1, 1, 1)

    def found(d: Values, y_: Values) -> Values:
        return SOFTMAX_SLOPES[words](Softmaxed(y_, d, scene.raw(f"grad:{y}", d), np.maximum(tokens, 1)))

    padding = any(part in words for part in WITH_PADDING)
    return Back((Contribution((f"grad:{y}", y), found),), padding=padding)


HYPOTHESES = (
    back("activation_slope", back_of("activation"), _by_slope,
         lambda told: f"the derivative of the activation at {names_of(told)} is that of {told.choice}",
         "use the derivative of the function that the forward pass applies", choices=_slopes),
    back("softmax", back_of("masked_softmax"), _by_softmax,
         lambda told: f"the gradient of the softmax at {names_of(told)} is {told.choice}", "y * (dy - sum(y * dy))",
         choices=_softmax_slopes),
    back("norm_statistics", back_of("layer_norm"), _by_norm_slope,
         lambda told: f"the way back of {names_of(told)}: {told.choice}",
         "(d - mean(d) - xhat * mean(d * xhat)) / deviation, with d = dy * gamma", choices=_norm_slopes),
    back("gamma_from_output", back_of("layer_norm"), _by_weight_slope,
         lambda told: f"the way back of {names_of(told)}: {told.choice}",
         "sum dy times the normalised input for gamma, and dy for beta", choices=_weight_slopes),
)  # fmt: skip
