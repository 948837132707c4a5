"""Activations: another function than the model's."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ....backends import get
from ....layers import Settings
from ....ops.bias_activation import ACTIVATIONS
from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Possibility, Told, of_op
from ..scene import Scene
from ..tape import Traced
from .tools import HALF, formula, held, in_half, is_fine, reads_what_is_right

Values = Any
ACTIVATED = of_op("activation", "tanh", "relu")
"""Rows whose op is one elementwise function."""
STEP = 1e-5
"""Of the differences by which a slope is taken, in float64: its error is about 1e-10."""
ROOT = math.sqrt(2)
CUBIC, ROOT_2_PI = 0.044715, math.sqrt(2 / math.pi)
"""Of GELU's tanh form, tanh(ROOT_2_PI (x + CUBIC x^3))."""
WORDS = {"gelu_erf": "the exact GELU (erf)", "gelu_tanh": "GELU's tanh form", "relu": "ReLU", "tanh": "tanh"}
WHERE = {
    "torch": "F.gelu(x), which is exact, or F.gelu(x, approximate='tanh')",
    "JAX": "jax.nn.gelu(x), which is the tanh form unless approximate=False",
    "NumPy": "0.5 * x * (1 + erf(x / np.sqrt(2)))",
    "C": "0.5f * x * (1.0f + erff(x * 0.70710678f))",
}


def own(scene: Scene, row: TensorRow) -> str:
    """The reference's function there."""
    return row.op if row.op != "activation" else Settings(scene.case.config, scene.case.numerics).activation


def _op(name: str) -> Callable[[Values], Values]:
    return lambda x: ACTIVATIONS[name].forward(get("numpy").xp, x)[0]


def _sigmoid(x: Values) -> Values:
    return 0.5 * (1 + np.tanh(x / 2))


def _normal(x: Values) -> Values:
    """The normal distribution function, by which GELU multiplies x."""
    return 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / ROOT))


FUNCTIONS: dict[str, Callable[[Values], Values]] = {
    **{name: _op(name) for name in ("gelu_erf", "gelu_tanh", "relu")},
    "tanh": np.tanh, "quick_gelu": lambda x: x * _sigmoid(1.702 * x), "silu": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid, "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
}  # fmt: skip


HARD_TANH = "the hard tanh, min(max(x, -1), 1)"
OTHERS: dict[str, Callable[[Values], Values]] = {
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "SELU": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "Mish, x tanh(softplus(x))": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "softsign, x / (1 + |x|)": lambda x: x / (1 + np.abs(x)),
    "the square of ReLU": lambda x: np.maximum(x, 0) ** 2,
    "hard swish, x min(max(x + 3, 0), 6) / 6": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "the hard sigmoid, min(max(x + 3, 0), 6) / 6": lambda x: np.clip(x + 3, 0, 6) / 6,
    HARD_TANH: lambda x: np.clip(x, -1, 1),
    "the exact GELU without the factor 1/2": lambda x: 2 * FUNCTIONS["gelu_erf"](x),
    "erf(x / sqrt(2)) / 2 + 1/2, GELU without the factor x": lambda x: _normal(x),
    "x erf(x / sqrt(2)) / 2, GELU without the 1": lambda x: x * (_normal(x) - 0.5),
    "x (1/2 + erf(x / sqrt(2))), GELU of which 1/2 multiplies the 1 alone": lambda x: x * (2 * _normal(x) - 0.5),
    "x / 2 + erf(x / sqrt(2)), GELU of which x / 2 multiplies the 1 alone": lambda x: x / 2 + 2 * _normal(x) - 1,
    "x (1 + erf(x) / sqrt(2)) / 2, GELU that divides by the root after erf":
        lambda x: x * (1 + (2 * _normal(ROOT * x) - 1) / ROOT) / 2,
    "x (1 - erf(x / sqrt(2))) / 2, GELU with another sign": lambda x: x * (1 - _normal(x)),
    "x (1/2 + t), where GELU's tanh form is x (1 + t) / 2": lambda x: 2 * _tanh_form()(x) - x / 2,
    "GELU's tanh form of which sqrt(2 / pi) multiplies x alone":
        lambda x: 0.5 * x * (1 + np.tanh(ROOT_2_PI * x + CUBIC * x * x * x)),
    "GELU's tanh form without the cube": lambda x: 0.5 * x * (1 + np.tanh(ROOT_2_PI * x)),
    "GELU's tanh form without the factor 1/2": lambda x: 2 * _tanh_form()(x),
    "GELU's tanh form with x^2 for x^3": lambda x: 0.5 * x * (1 + np.tanh(ROOT_2_PI * (x + CUBIC * x * x))),
}
"""By what they are called in a sentence."""
OF_OWN: dict[str, Callable[[Values, Callable[[Values], Values]], Values]] = {
    "that, applied twice": lambda x, own: own(own(x)),
    "that, times its input once more": lambda x, own: x * own(x),
    "its derivative": lambda x, own: slope_of(own)(x),
}
"""Made of the model's own function."""


def slope_of(function: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """Its derivative, by differences."""
    return lambda x: (function(x + STEP) - function(x - STEP)) / (2 * STEP)


def elementwise(function: Callable[[Values], Values], x: Any) -> Any:
    """The function of x, which can be gone back through by its slope."""
    if not isinstance(x, Traced):
        return function(x)
    return Traced(function(x.value), [(x, lambda d: d * slope_of(function)(x.value))])


def _function(row: TensorRow, function: Callable[[Values], Values]) -> Rewritten:
    """The row by another function, and the gradient by that one's slope."""

    x, slope = row.inputs[0], slope_of(function)
    back = Contribution((f"grad:{row.name}", x), lambda d, x: d * slope(x), x, lambda d, _: d)
    return Rewritten(Contribution(row.inputs, function, x), (back,))


def _other(name: str) -> Callable[[Scene, TensorRow, Any], Rewritten | None]:
    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
        return None if own(scene, row) == name else _function(row, FUNCTIONS[name])

    return make


def _names(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for name in (*OTHERS, *OF_OWN):
        yield Possibility(name, name)


def _listed(scene: Scene, row: TensorRow, name: str) -> Rewritten | None:
    """The hard tanh of what lies between -1 and 1 is no activation at all."""
    if name == HARD_TANH and not reads_what_is_right(scene, row):
        return None
    if name in OTHERS:
        return _function(row, OTHERS[name])
    of, right = OF_OWN[name], FUNCTIONS[own(scene, row)]
    return _function(row, lambda x: of(x, right))


def _said(what: str) -> Callable[[Told], str]:
    def sentence(told: Told) -> str:
        right = own(told.scene, told.scene.rows[told.names[0]])
        return f"the activation at {told.at} is {what}; the model's is {WORDS[right]}"

    return sentence


def _rounded_root(scene: Scene, row: TensorRow, root: float) -> Rewritten | None:
    """Half of x, (1 + erf(x / root))."""
    if own(scene, row) != "gelu_erf":
        return None
    exact = FUNCTIONS["gelu_erf"]
    return _function(row, lambda x: root / ROOT * exact(x * (ROOT / root)))


def _tanh_form(cubic: float = CUBIC, factor: float = ROOT_2_PI) -> Callable[[Values], Values]:
    return lambda x: 0.5 * x * (1 + np.tanh(factor * (x + cubic * x * x * x)))


def _of_gelu(function: Callable[[float], Callable[[Values], Values]]) -> Callable[[Scene, TensorRow, Any], Any]:
    """In the place of either form of GELU, a function that has a number."""

    def make(scene: Scene, row: TensorRow, value: float) -> Rewritten | None:
        return _function(row, function(value)) if own(scene, row) in ("gelu_erf", "gelu_tanh") else None

    return make


def _table(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
    """Looked up by the input's float16 number, in a table of float16 numbers."""
    if own(scene, row) not in ("gelu_erf", "gelu_tanh") or not is_fine(scene):
        return None
    seen, gelu = scene.values.get(row.name), FUNCTIONS["gelu_tanh"]
    return formula(row, lambda x: in_half(gelu(held(x, HALF)), seen))


def _hypothesis(name: str, words: str, id: str | None = None) -> Hypothesis:
    return Hypothesis(
        f"activation.{id or name}", ACTIVATED, _other(name), _said(words), WHERE,
        "use the function that the config's hidden_act and dialect name",
    )  # fmt: skip


HYPOTHESES = (
    _hypothesis("gelu_tanh", WORDS["gelu_tanh"], "tanh_gelu"),
    _hypothesis("gelu_erf", WORDS["gelu_erf"], "erf_gelu"),
    _hypothesis("quick_gelu", "GELU's sigmoid form, x sigmoid(1.702 x)"),
    _hypothesis("relu", WORDS["relu"]),
    _hypothesis("silu", "SiLU, x sigmoid(x)"),
    _hypothesis("tanh", WORDS["tanh"]),
    _hypothesis("sigmoid", "the sigmoid"),
    _hypothesis("leaky_relu", "ReLU with a slope of 0.01 below 0"),
    Hypothesis(
        "activation.other", ACTIVATED, _listed,
        lambda told: f"the activation at {told.at} should be {WORDS[own(told.scene, told.scene.rows[told.names[0]])]}, "
                     f"and is {told.choice}",
        WHERE, "use the function that the config's hidden_act and dialect name", choices=_names,
    ),
    Hypothesis(
        "activation.half_table", of_op("activation"), _table,
        _said("GELU's tanh form out of a table of float16 numbers, looked up by float16 numbers"),
        {**WHERE, "C": "ggml's GGML_GELU_FP16"}, "compute the function in float32", way_back=False,
    ),
    Hypothesis(
        "activation.rounded_constant", ACTIVATED, _rounded_root,
        lambda told: f"GELU at {told.at} divides by {told.number} for the root of 2",
        {**WHERE, "C": "0.5f * x * (1.0f + erff(x / 1.41421f))"},
        "divide by the root of 2, with all digits of the type",
        number=Number("root of 2", 0.3, 3.0, lambda scene: {
            "1.41421": 1.41421, "1.4142": 1.4142, "1.414": 1.414, "1: there is no such division": 1.0, "2": 2.0,
        }, own=lambda scene: ROOT),
    ),
    Hypothesis(
        "activation.tanh_cubic", ACTIVATED, _of_gelu(lambda c: _tanh_form(cubic=c)),
        lambda told: f"GELU's tanh form at {told.at} multiplies the cube by {told.number}; that is {CUBIC}",
        {**WHERE, "C": "0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)))"},
        "write the constant as 0.044715",
        number=Number("factor of the cube", 1e-4, 1.0, lambda scene: {
            "0.44715": 0.44715, "0.0044715": 0.0044715, "0.0447": 0.0447, "0.04471": 0.04471, "0.045": 0.045,
            "0.04475": 0.04475, "0.047715": 0.047715, "0.44": 0.44,
        }, own=lambda scene: CUBIC),
    ),
    Hypothesis(
        "activation.tanh_factor", ACTIVATED, _of_gelu(lambda c: _tanh_form(factor=c)),
        lambda told: f"GELU's tanh form at {told.at} multiplies by {told.number}; that is sqrt(2 / pi), "
                     f"{ROOT_2_PI:.7g}",
        {**WHERE, "C": "0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)))"},
        "write the constant as sqrt(2 / pi)",
        number=Number("factor", 0.05, 5.0, lambda scene: {
            "sqrt(2)/pi": math.sqrt(2) / math.pi, "2/pi": 2 / math.pi, "sqrt(pi/2)": math.sqrt(math.pi / 2), "0.8": 0.8,
            "0.7978": 0.7978, "0.797885": 0.797885, "0.79788": 0.79788, "0.798": 0.798, "1": 1.0,
            "sqrt(2 * pi)": math.sqrt(2 * math.pi), "2/sqrt(pi)": 2 / math.sqrt(math.pi),
        }, own=lambda scene: ROOT_2_PI),
    ),
    Hypothesis(
        "activation.sigmoid_factor", ACTIVATED, _of_gelu(lambda c: lambda x: x * _sigmoid(c * x)),
        lambda told: f"the activation at {told.at} is x sigmoid(c x) with c = {told.number}; the model's is "
                     f"{WORDS[own(told.scene, told.scene.rows[told.names[0]])]}",
        WHERE, "use the function that the config's hidden_act and dialect name",
        number=Number("c", 0.1, 10.0, lambda scene: {"1.7": 1.7, "sqrt(2)": ROOT, "2": 2.0},
                      right=lambda scene: (1.0, 1.702)),
    ),
    Hypothesis(
        "activation.missing", ACTIVATED,
        lambda scene, row, _: _function(row, lambda x: x) if reads_what_is_right(scene, row) else None,
        lambda told: f"there is no activation at {told.at}; the model's is "
                     f"{WORDS[own(told.scene, told.scene.rows[told.names[0]])]}",
        WHERE, "apply the activation there",
    ),
)  # fmt: skip
