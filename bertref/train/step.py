"""One training step: losses and gradients of a batch, in chunks if wanted, then the update, clipped.

A step is a pure function of the state and the batch. What is learnt is the business of the recipe's objective
(`bertref.objectives`), which may be any. A chunk divides by the whole batch's denominators, so accumulating N chunks is
the big batch up to the order of summation. So do processes: each computes the chunks of its share, and what they find
is added up (`parallel`), once a step.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import Array, Namespace
from ..data.batch import Batch
from ..dropout import Dropout
from ..errors import InputError
from ..layers import Settings
from ..mixed import mixed
from ..objectives import Denominators, Objective, Outcome, added, losses_and_gradients
from ..opset import OpSet
from ..optim import Optimizer, Schedule, clipping_factor, global_norm
from ..optim.flat import Flat, FlatLayout, buffers, shapes_of, with_buffers, with_joined
from ..params import Shape
from ..precision import LossScale, Precision, cast, unscale
from ..probes import Recorder
from .gathering import Gathering, InBuffers, OneByOne
from .parallel.shards import Shards
from .parallel.sums import Buckets, nothing, summed, summed_outcome
from .parallel.world import ALONE, World
from .results import IssuedStep, StepResult


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything that a step needs to know and that does not change."""

    objective: Objective
    settings: Settings
    optimizer: Optimizer
    schedule: Schedule
    precision: Precision = field(default_factory=Precision)
    clip_norm: float | None = 1.0
    chunks: int = 1
    packed: bool = False
    seed: int = 0
    rng: str = "reference"
    """Whose random numbers dropout takes (`bertref.dropout.RNGS`)."""
    rate_scales: Mapping[str, float] = field(default_factory=dict)
    """Parameter -> what its rate is multiplied by; 1 for those that are not named. 0 freezes one: its gradient counts
    for no norm and it stays as it is, without decay."""
    world: World = ALONE
    """The processes that share the work of a step."""
    shards: Shards | None = None
    """Which part of the parameters each process updates, where they share the update, too."""


@dataclass(frozen=True)
class State:
    """Master weights and moments on the device, how many updates are done, and the loss scale. Weights and moments are
    laid out in buffers (`optim.flat`) where `lays_out`. `made` is of a state to which an asynchronous device may not
    come: whether it has, a 0-d bool there; if not, no step is made from it."""

    params: dict[str, Array]
    moments: dict[str, Array]
    step: int
    loss_scale: LossScale | None
    made: Array | None = None


def initial_state(ops: OpSet, recipe: TrainingRecipe, params: dict[str, np.ndarray[Any, Any]]) -> State:
    """The state before the first step, from host parameters."""
    xp = ops.xp
    master = {name: xp.from_numpy(array.astype(recipe.precision.master)) for name, array in params.items()}
    if lays_out(ops, recipe):
        master = layout_of(recipe, shapes_of(master)).laid(xp, master)
    own = recipe.shards.own(xp, master) if recipe.shards else master
    return State(master, recipe.optimizer.init_state(xp, own), 0, recipe.precision.initial_loss_scale())


def lays_out(ops: OpSet, recipe: TrainingRecipe) -> bool:
    """Whether parameters are laid out in buffers. To XLA, which compiles programs, the views of a buffer would be so
    many more results of one; and some optimisers need each parameter by itself."""
    return not (getattr(ops.backend, "static_shapes", False) or recipe.optimizer.rule.whole)


def layout_of(recipe: TrainingRecipe, shapes: Mapping[str, Shape]) -> FlatLayout:
    """Where parameters of these shapes lie: in a buffer what is updated alike."""
    return recipe.optimizer.layout(shapes, recipe.rate_scales, recipe.world.size)


def laid_out(ops: OpSet, recipe: TrainingRecipe, state: State) -> State:
    """The state with its arrays copied into buffers, if they are to be."""
    if not lays_out(ops, recipe):
        return state
    layout = layout_of(recipe, shapes_of(state.params))
    moments = layout.times(recipe.optimizer.rule.moments).laid(ops.xp, state.moments)
    return replace(state, params=layout.laid(ops.xp, state.params), moments=moments)


def shared_out(recipe: TrainingRecipe, xp: Namespace, state: State) -> tuple[TrainingRecipe, State]:
    """The recipe under which each of several processes updates its part, and the state without the others' moments."""
    if recipe.world.size == 1:
        return recipe, state
    shards = Shards(recipe.world, layout_of(recipe, shapes_of(state.params)))
    own = shards.own(xp, state.moments, recipe.optimizer.rule.moments)
    copies = {name: xp.concat([piece]) for name, piece in own.items()}  # a view would keep the others', too
    return replace(recipe, shards=shards), replace(state, moments=copies)


def working_params(ops: OpSet, recipe: TrainingRecipe, state: State) -> dict[str, Array]:
    """The weights that the model computes with: the master weights, rounded as the policy says. In mixed precision the
    ops round them further (`working_ops`)."""
    xp, precision = ops.xp, recipe.precision
    rounded = cast(xp, buffers(state.params), precision.parameter)
    working = rounded if precision.mixed else cast(xp, rounded, precision.compute)
    return with_buffers(xp, state.params, working)


def working_ops(ops: OpSet, recipe: TrainingRecipe) -> OpSet:
    """The ops that the model computes with: in mixed precision those that compute in halves where autocast does."""
    return mixed(ops, recipe.precision.compute) if recipe.precision.mixed else ops


def dropout_of(ops: OpSet, recipe: TrainingRecipe, batch: Batch, step: int) -> Dropout | None:
    """The dropout of a batch in a step (counted from 0), None if the config drops nothing."""
    config = recipe.settings.config
    if not config.drops:
        return None
    mask = np.asarray(batch.attention_mask) != 0
    return Dropout(  # an example of several sequences, a multiple choice, is as many rows
        ops.xp, recipe.seed, step, np.asarray(batch.example).reshape(-1), mask.reshape(-1, mask.shape[-1]),
        recipe.packed, config.hidden_dropout_prob, config.attention_probs_dropout_prob, ops.share,
        ops.drawing(recipe.rng),
    )  # fmt: skip


def gradients(
    ops: OpSet, recipe: TrainingRecipe, state: State, batch: Batch, recorder: Recorder | None = None
) -> tuple[Outcome, dict[str, Array]]:
    """Losses and figures of the batch, and the gradients of the master weights, but for the frozen ones, unscaled,
    before clipping: with shards the pieces that belong to this process. `recorder` sees the share of this process."""
    xp, world, precision = ops.xp, recipe.world, recipe.precision
    share = slices(len(batch), world.size)[world.rank]
    counted = share.start < share.stop  # else zeros are, under the names of another's
    examples = batch[share if counted else slice(0, 1)]
    chunks = [examples[rows] for rows in chunk_slices(len(examples), max(1, min(recipe.chunks, len(examples))))]
    divided = recipe.chunks > 1 or len(examples) < len(batch)
    divide_by = recipe.objective.denominators(batch, recipe.settings.numerics) if divided else None
    dtype = precision.accumulate if divided else precision.master
    learning = [name for name in state.params if recipe.rate_scales.get(name) != 0]
    gathering: Gathering = OneByOne(xp, learning, dtype, counted=counted)
    buckets: Buckets | None = None
    if isinstance(state.params, Flat):
        flat = state.params.layout.only(set(learning).__contains__).blank(xp, dtype, ops.updates)
        buckets = Buckets(world, xp, flat) if world.size > 1 and not recipe.shards else None
        gathering = InBuffers(flat, len(chunks), buckets.complete if buckets else None, counted=counted)
        ops = ops.taking(gathering.take)
    outcome = _gathered(ops, recipe, state, chunks, divide_by, gathering, recorder if counted else None)
    if world.size > 1:
        outcome = summed_outcome(world, xp, outcome if counted else nothing(xp, outcome))
    grads = gathering.all()
    if recipe.shards:
        grads = recipe.shards.summed(xp, grads)
    elif buckets:
        grads = buckets.wait()
    elif world.size > 1:
        grads = summed(world, xp, grads)
    scale = state.loss_scale.scale if state.loss_scale else None
    return outcome, with_buffers(xp, grads, unscale(xp, buffers(grads), scale, precision.master))


def _gathered(
    ops: OpSet, recipe: TrainingRecipe, state: State, chunks: Sequence[Batch], divide_by: Denominators | None,
    gathering: Gathering, recorder: Recorder | None,
) -> Outcome:  # fmt: skip
    """What chunks of a batch add to its losses and figures; their gradients gather."""
    params = with_joined(ops.xp, working_params(ops, recipe, state))
    ops = working_ops(ops, recipe)
    scale = state.loss_scale.scale if state.loss_scale else 1.0
    sums: Outcome | None = None
    for chunk in chunks:
        outcome, grads = losses_and_gradients(
            recipe.objective, ops, params, chunk, recipe.settings, packed=recipe.packed, divide_by=divide_by,
            dropout=dropout_of(ops, recipe, chunk, state.step), loss_scale=scale, recorder=recorder, figures=True,
        )  # fmt: skip
        gathering.take(grads)
        sums = added(sums, outcome)
    assert sums is not None  # there is at least one chunk
    return sums


def chunk_slices(rows: int, chunks: int) -> list[slice]:
    """`chunks` slices of nearly equal size, together `rows`. Raises `InputError` for fewer rows than chunks."""
    if not 1 <= chunks <= max(rows, 1):
        raise InputError(f"a batch of {rows} can't be split into {chunks} chunks; use --accumulate 1 to {rows}")
    return slices(rows, chunks)


def slices(rows: int, count: int) -> list[slice]:
    """`count` slices of nearly equal size, together `rows`; some are empty if there are fewer rows."""
    ends = [rows * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def train_step(
    ops: OpSet, recipe: TrainingRecipe, state: State, batch: Batch, recorder: Recorder | None = None,
    *, donate: bool = False,
) -> tuple[State, StepResult]:  # fmt: skip
    """The state after one step, and what it reports. Not-finite gradients skip the update under a dynamic loss scale;
    else they are reported in `StepResult` (the caller stops) and the state does not change.

    `donate` gives `state` away if an update is made: its arrays may become the next state's, which saves memory.
    """
    after, issued = issue_step(ops, recipe, state, batch, recorder, donate=donate)
    return after if issued.result.updated else not_updated(state, after), issued.result


def issue_step(
    ops: OpSet, recipe: TrainingRecipe, state: State, batch: Batch, recorder: Recorder | None = None,
    *, donate: bool = False,
) -> tuple[State, IssuedStep]:  # fmt: skip
    """As `train_step`, but an asynchronous device decides by itself whether an update is made, and isn't waited for.
    The state is the one after an update; where the result is that none was made, `not_updated` tells the right one."""
    xp = ops.xp
    with np.errstate(all="ignore"):  # overflow and NaN are looked for, and reported with their name
        outcome, grads = gradients(ops, recipe, state, batch, recorder)
        flat = buffers(grads)
        norm = global_norm(xp, flat, ops.updates)
        if recipe.shards:
            norm = recipe.shards.norm(xp, norm, recipe.precision.master)
        factor = None
        if recipe.clip_norm is not None:
            factor = clipping_factor(xp, norm, recipe.clip_norm, epsilon=recipe.settings.numerics.clip_epsilon)
        number, rate, made = state.step + 1, recipe.schedule.rate(state.step), None
        params, moments = state.params, state.moments
        if xp.asynchronous:  # fetched after the update, the numbers are of the same program
            made = _all_finite(xp, [*outcome.losses.values(), norm], state.made)
            params, moments = _updated(ops, recipe, state, flat, factor, rate, donate=donate, only_if=made)
        issued = IssuedStep(xp, number, rate, outcome, norm)
        if not xp.asynchronous and issued.result.updated:
            params, moments = _updated(ops, recipe, state, flat, factor, rate, donate=donate)
    scale = state.loss_scale.after(finite=True) if state.loss_scale else None
    return State(params, moments, number, scale, made), issued


def not_updated(before: State, after: State) -> State:
    """The state after a step that was issued from `before`, led to `after`, and turned out not to have been made."""
    scale = before.loss_scale.after(finite=False) if before.loss_scale else None
    skipped = scale is not None and scale.dynamic
    return State(after.params, after.moments, before.step + skipped, scale)


def _all_finite(xp: Namespace, numbers: list[Array], before: Array | None) -> Array:
    """Whether these 0-d arrays are finite and the step before was made, a 0-d bool."""
    flags = [xp.isfinite(number) for number in numbers]
    return xp.all(xp.stack([*flags, xp.from_numpy(np.asarray(True)) if before is None else before]))


def _updated(
    ops: OpSet, recipe: TrainingRecipe, state: State, grads: Mapping[str, Array], factor: Array | None, rate: float,
    *, donate: bool, only_if: Array | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:  # fmt: skip
    """Parameters and moments after the update: those with a gradient, each at its own rate. Whole buffers of them
    where `grads` are buffers."""
    xp, optimizer, scales, shards = ops.xp, recipe.optimizer, recipe.rate_scales, recipe.shards
    old, kept = shards.own(xp, state.params) if shards else buffers(state.params), buffers(state.moments)
    params, moments = dict(old), dict(kept)
    for scale in dict.fromkeys(scales.get(name, 1.0) for name in grads):
        names = [name for name in grads if scales.get(name, 1.0) == scale]
        new_params, new_moments = optimizer.update(
            xp, {name: old[name] for name in names}, {name: grads[name] for name in names},
            {name: kept[name] for name in optimizer.names(names)}, rate=rate * scale, step=state.step + 1,
            factor=factor, updates=ops.updates, donate=donate, only_if=only_if,
        )  # fmt: skip
        params |= new_params
        moments |= new_moments
    if shards:
        whole = shards.whole(xp, params)
        return whole if isinstance(state.params, Flat) else dict(whole), moments
    return with_buffers(xp, state.params, params), with_buffers(xp, state.moments, moments)
