"""The weights that a run begins with where it goes on from a model: the model's own, and what it lacks newly made."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checkpoint import SavedModel
from ..heads.parts import named_parts
from ..init import initial_parameter

Arrays = dict[str, npt.NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]


def starting_params(model: SavedModel, shapes: Shapes, seed: int) -> Arrays:
    """Parameters of these shapes: the model's, where it has one of that name and shape; else as in a new model, at the
    address of random numbers that it has there."""
    return {
        name: model.params[name] if _has(model, name, shape)
        else initial_parameter(name, shape, model.config, model.numerics, seed)
        for name, shape in shapes.items()
    }  # fmt: skip


def differences(model: SavedModel, shapes: Shapes, master: str, left_out_by: str) -> list[str]:
    """What of the model is not what the run begins with, a sentence each. `left_out_by` says why a part is not."""
    found = []
    made = named_parts(name for name, shape in shapes.items() if not _has(model, name, shape))
    if made:
        found.append(f"has no {' and no '.join(made)}{' of this size' if _resized(model, shapes) else ''}; newly made.")
    left = named_parts(name for name in model.params if name not in shapes)
    if left:
        found.append(f"its {' and '.join(left)} {'is' if len(left) == 1 else 'are'} left out: {left_out_by}.")
    wider = [array for array in model.params.values() if array.dtype == np.float64]
    if wider and master != "float64":
        found.append("its float64 weights are rounded to float32; --precision float64 keeps them.")
    return found


def _has(model: SavedModel, name: str, shape: tuple[int, ...]) -> bool:
    return name in model.params and model.params[name].shape == shape


def _resized(model: SavedModel, shapes: Shapes) -> bool:
    return any(name in model.params and not _has(model, name, shape) for name, shape in shapes.items())


def recorded_model(name: str, model: SavedModel) -> dict[str, str]:
    """A model as `run.json` has it: its name among the options, and a digest of its weights."""
    return {"path": name, "sha256": weights_digest(model.params)}


def weights_digest(params: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and values, whatever file they were in."""
    total = hashlib.sha256()
    for name in sorted(params):
        array = np.ascontiguousarray(params[name])
        total.update(f"{name} {array.dtype.name} {params[name].shape}\n".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()
