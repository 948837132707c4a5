"""Weights that are rounded to a narrower format than the computation's: all of them, or the matrices alone."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ....row import TensorRow
from ...emulation.formats import FORMATS, Format
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Possibility, Told, row_by_row
from ..scene import Scene
from .tools import held, is_way_back, with_parameters

Values = Any
Choice = tuple[Format, bool]
"""What is rounded to, and whether it is the matrices alone."""
STORED = (FORMATS["float16"], FORMATS["bfloat16"])
"""In which weights are stored to halve a file."""
WHERE = {
    "torch": "model.half() or .bfloat16() before save_pretrained, loaded as float32; a converter's own default",
    "JAX": "a tree that is cast to bfloat16 before it is saved", "NumPy": "astype(np.float16) before np.savez",
    "C": "a file of half-precision numbers that are widened when it is read",
}  # fmt: skip
PATCH = ("store the weights in the format of the computation (OpenVINO: save_model(model, path, "
         "compress_to_fp16=False)), or, if the rounding is meant, verify beside weights that are stored so "
         "(--model)")  # fmt: skip


def _formats(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    for to in STORED:
        yield Possibility(to.name, (to, False))
        yield Possibility(f"{to.name} (biases and norms excepted)", (to, True))


def _held(scene: Scene, names: Iterable[str], choice: Choice) -> dict[str, Values]:
    """Those of these parameters that are rounded, as numbers of the format."""
    to, matrices = choice
    return {name: held(scene.params[name], to) for name in names if not matrices or scene.params[name].ndim > 1}


def _all_held(scene: Scene, choice: Choice) -> dict[str, Values]:
    return _held(scene, scene.params, choice)


def _rounded(scene: Scene, row: TensorRow, choice: Choice) -> Rewritten | None:
    """The gradients of a row's parameters don't depend on what these are."""
    own = FORMATS.get(scene.precision, FORMATS["float32"])  # of TF32 and mixed precision, too
    values = _held(scene, (name for name, _ in row.parameters), choice) if own.bits > choice[0].bits else {}
    return replace(with_parameters(scene, row, values), parameters=scene.parameters(row)) if values else None


def _sentence(told: Told) -> str:
    own = told.scene.precision
    which = "all weights" if told.everywhere else f"the weights of {told.at}"
    return f"{which} are rounded to {told.choice}, as in a file of half the size; the computation is in {own}"


HYPOTHESES = (
    Hypothesis(
        "weights.rounded", lambda row: bool(row.parameters) and not is_way_back(row), _rounded, _sentence, WHERE, PATCH,
        choices=_formats, together=row_by_row, parameters=_all_held,
    ),
)  # fmt: skip
