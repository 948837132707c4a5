"""The state of a run on the disk: from the device into a checkpoint, and back."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..arrays import Array, Namespace
from ..checkpoint import training as states
from ..errors import CheckpointError
from ..opset import OpSet
from ..precision import loss_scale_from_dict
from .parallel.agreement import must_hold_the_same
from .parallel.world import World
from .report import Report
from .step import State, TrainingRecipe, laid_out


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
    recipe: TrainingRecipe,
) -> Path | None:
    """Writes a checkpoint into the run's folder and returns its path; see `checkpoint.training.save`. Of several
    processes the first one writes; None in the others. Raises `InputError` if their weights have come apart."""
    world, shards, kinds = recipe.world, recipe.shards, recipe.optimizer.rule.moments
    params = to_host(xp, state.params)
    must_hold_the_same(world, params, state.step)
    moments = shards.whole(xp, state.moments, kinds) if shards else state.moments
    if world.rank:
        return None
    scale = state.loss_scale.to_dict() if state.loss_scale else None
    saved = states.TrainingState(params, to_host(xp, moments), state.step, scale, tuple(pass_counts), world.size)
    return states.save(out, saved, describe, keep=keep)


def tell(report: Report, path: Path, saved: states.TrainingState, world: World) -> None:
    """Reports that a run goes on from the state saved at `path`, and whether that is by as many processes."""
    report("message", {"text": f"Resuming after step {saved.step} from {path}."})
    if saved.processes != world.size:
        before = f"{saved.processes} process{'es' * (saved.processes > 1)}"
        same = "the same batches, whose sums are rounded otherwise"
        report("message", {"text": f"Before it was {before}, now it is {world.size}: {same}."})


def restored(
    ops: OpSet, recipe: TrainingRecipe, saved: states.TrainingState, path: Path,
    shapes: Mapping[str, tuple[int, ...]],
) -> State:  # fmt: skip
    """The state of a model with parameters of these shapes that was saved at `path`, on the device.

    Raises `CheckpointError` if it is another model's.
    """
    if {name: array.shape for name, array in saved.params.items()} != shapes:
        raise CheckpointError(
            f"{path}: holds the parameters of another config; resume with the run's own, or another --out"
        )
    xp = ops.xp
    missing = [name for name in recipe.optimizer.names(shapes) if name not in saved.moments]
    if missing:
        raise CheckpointError(f"{path}: holds no {missing[0]}, of the optimiser's state; use another --out")
    state = State(
        {name: xp.from_numpy(saved.params[name]) for name in shapes},
        {name: xp.from_numpy(array) for name, array in saved.moments.items()},
        saved.step,
        loss_scale_from_dict(saved.loss_scale) if saved.loss_scale else None,
    )
    return laid_out(ops, recipe, state)
