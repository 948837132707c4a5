"""The state of a run on the disk: from the device into a checkpoint, and back."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..arrays import Array, Namespace
from ..checkpoint import training as states
from ..errors import CheckpointError
from ..precision import loss_scale_from_dict
from .step import State


def to_host(xp: Namespace, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The arrays as NumPy's."""
    return {name: xp.to_numpy(array) for name, array in arrays.items()}


def save(
    xp: Namespace,
    state: State,
    out: Path,
    describe: Callable[[Path], None],
    *,
    keep: int,
    pass_counts: Sequence[int] = (),
) -> Path:
    """Writes a checkpoint into the run's folder and returns its path; see `checkpoint.training.save`."""
    scale = state.loss_scale.to_dict() if state.loss_scale else None
    params, moments = to_host(xp, state.params), to_host(xp, state.moments)
    saved = states.TrainingState(params, moments, state.step, scale, tuple(pass_counts))
    return states.save(out, saved, describe, keep=keep)


def restored(
    xp: Namespace, saved: states.TrainingState, path: Path, shapes: Mapping[str, tuple[int, ...]]
) -> State:
    """The state of a model with parameters of these shapes that was saved at `path`, on the device.

    Raises `CheckpointError` if it is another model's.
    """
    if {name: array.shape for name, array in saved.params.items()} != shapes:
        raise CheckpointError(
            f"{path}: holds the parameters of another config; resume with the run's own, or another --out"
        )
    return State(
        {name: xp.from_numpy(saved.params[name]) for name in shapes},
        {name: xp.from_numpy(array) for name, array in saved.moments.items()},
        saved.step,
        loss_scale_from_dict(saved.loss_scale) if saved.loss_scale else None,
    )
