"""Activations: another function than the model's."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ....backends import get
from ....layers import Settings
from ....ops.bias_activation import ACTIVATIONS
from ....row import TensorRow
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Told, of_op
from ..scene import Scene
from .tools import HALF, formula, held, in_half, is_fine

Values = Any
ACTIVATED = of_op("activation", "tanh", "relu")
"""Rows whose op is one elementwise function."""
STEP = 1e-5
"""Of the differences by which a slope is taken, in float64: its error is about 1e-10."""
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


FUNCTIONS: dict[str, Callable[[Values], Values]] = {
    **{name: _op(name) for name in ("gelu_erf", "gelu_tanh", "relu")},
    "tanh": np.tanh, "quick_gelu": lambda x: x * _sigmoid(1.702 * x), "silu": lambda x: x * _sigmoid(x),
}  # fmt: skip


def slope_of(function: Callable[[Values], Values]) -> Callable[[Values], Values]:
    """Its derivative, by differences."""
    return lambda x: (function(x + STEP) - function(x - STEP)) / (2 * STEP)


def _function(row: TensorRow, function: Callable[[Values], Values]) -> Rewritten:
    """The row by another function, and the gradient by that one's slope."""

    x, slope = row.inputs[0], slope_of(function)
    back = Contribution((f"grad:{row.name}", x), lambda d, x: d * slope(x), x, lambda d, _: d)
    return Rewritten(Contribution(row.inputs, function, x), (back,))


def _other(name: str) -> Callable[[Scene, TensorRow, Any], Rewritten | None]:
    def make(scene: Scene, row: TensorRow, _: Any) -> Rewritten | None:
        return None if own(scene, row) == name else _function(row, FUNCTIONS[name])

    return make


def _said(what: str) -> Callable[[Told], str]:
    def sentence(told: Told) -> str:
        right = own(told.scene, told.scene.rows[told.names[0]])
        return f"the activation at {told.at} is {what}; the model's is {WORDS[right]}"

    return sentence


ROOT = math.sqrt(2)


def _rounded_root(scene: Scene, row: TensorRow, root: float) -> Rewritten | None:
    """Half of x, (1 + erf(x / root))."""
    if own(scene, row) != "gelu_erf":
        return None
    exact = FUNCTIONS["gelu_erf"]
    return _function(row, lambda x: root / ROOT * exact(x * (ROOT / root)))


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
    Hypothesis(
        "activation.half_table", of_op("activation"), _table,
        _said("GELU's tanh form out of a table of float16 numbers, looked up by float16 numbers"),
        {**WHERE, "C": "ggml's GGML_GELU_FP16"}, "compute the function in float32", way_back=False,
    ),
    Hypothesis(
        "activation.rounded_constant", ACTIVATED, _rounded_root,
        lambda told: f"GELU at {told.at} divides by {told.number} for the root of 2",
        {**WHERE, "C": "0.5f * x * (1.0f + erff(x / 1.41421f))"}, "write constants with all digits of the type",
        number=Number("root of 2", 1.3, 1.55, lambda scene: {"1.41421": 1.41421, "1.4142": 1.4142, "1.414": 1.414},
                      own=lambda scene: ROOT),
    ),
    Hypothesis(
        "activation.missing", ACTIVATED,
        lambda scene, row, _: _function(row, lambda x: x),
        lambda told: f"there is no activation at {told.at}; the model's is "
                     f"{WORDS[own(told.scene, told.scene.rows[told.names[0]])]}",
        WHERE, "apply the activation there",
    ),
)  # fmt: skip
