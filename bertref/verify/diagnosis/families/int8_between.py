"""Integers between the steps of a quantised graph: read with another scale or zero than they were made with."""

from collections.abc import Callable, Iterator
from typing import Any

from ....row import TensorRow
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Possibility, Told
from ..scene import Scene
from .int8 import QUANTISERS
from .tools import formula


def _misread(kind: str) -> Callable[[Scene, TensorRow], Iterator[Possibility]]:
    def choices(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
        found = (one.words for one in scene.misread.get(row.name, ()) if one.kind == kind)
        yield from (Possibility(words, words) for words in found)

    return choices


def _read_otherwise(kind: str) -> Callable[[Scene, TensorRow, Any], Rewritten | None]:
    """The step, and with it what reading the integers so adds."""

    def make(scene: Scene, row: TensorRow, words: str) -> Rewritten | None:
        found = scene.misread.get(row.name, ())
        effect = next((one.effect for one in found if (one.kind, one.words) == (kind, words)), None)
        if effect is None:
            return None
        made = scene.forward(row)
        return formula(row, lambda *inputs: made.compute(*inputs) + effect)

    return make


def _between(id: str, kind: str, sentence: Callable[[Told], str], patch: str, exporter: str) -> Hypothesis:
    return Hypothesis(
        f"int8.{id}", lambda row: True, _read_otherwise(kind), sentence,
        {"onnxruntime": QUANTISERS, "an exporter": exporter}, patch, _misread(kind), way_back=False, integers=True,
    )  # fmt: skip


HYPOTHESES = (
    _between(
        "input_scale", "scale", lambda told: f"the scale with which integers are read at {told.at} is {told.choice}",
        "read them with the scale by which they were made",
        "one scale for QuantizeLinear, DequantizeLinear and the product: the name by which it is looked up",
    ),
    _between(
        "input_zero", "zero", lambda told: f"the zero point with which integers are read at {told.at} is {told.choice}",
        "read them with the zero point that was added to them",
        "the zero points of QuantizeLinear and DequantizeLinear; a_zero_point of MatMulInteger",
    ),
    _between(
        "infinite_scale", "infinite",
        lambda told: f"the scale of what is quantised at {told.at} is infinite: infinities are in it (a mask's)",
        "leave the sum with the mask in floating point, or use a mask of -30",
        "op_types_to_quantize=['MatMul', 'Gemm', 'Gather']: without Add and Softmax",
    ),
)  # fmt: skip
