"""One training step: losses and gradients of a batch, in chunks if wanted, then the update, clipped.

A step is a pure function of the state and the batch. What is learnt is the business of the recipe's objective
(`bertref.objectives`), which may be any. A chunk divides by the whole batch's denominators, so accumulating N chunks is
the big batch up to the order of summation. So do processes: each computes the chunks of its share, and what they find
is added up (`parallel`), once a step.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import Array, Namespace
from ..data.batch import Batch
from ..dropout import Dropout
from ..errors import InputError
from ..layers import Settings
from ..mixed import mixed
from ..objectives import TOTAL, Figure, Objective, Outcome, added, losses_and_gradients, ordered
from ..opset import OpSet
from ..optim import Optimizer, Schedule, accumulate, clipping_factor, global_norm
from ..optim.flat import Flat, Layout, Shape, buffers, shapes_of, with_buffers, with_joined
from ..precision import LossScale, Precision, cast, unscale
from ..probes import Recorder
from .host_numbers import host_numbers
from .parallel.shards import Shards
from .parallel.sums import nothing, summed, summed_outcome
from .parallel.world import ALONE, World


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
    rate_scales: Mapping[str, float] = field(default_factory=dict)
    """Parameter -> what its rate is multiplied by; 1 for those that are not named. 0 freezes one: its gradient counts
    for no norm and it stays as it is, without decay."""
    world: World = ALONE
    """The processes that share the work of a step."""
    shards: Shards | None = None
    """Which part of the parameters each process updates, where they share the update, too."""


@dataclass(frozen=True)
class State:
    """Master weights and moments on the device, how many updates are done, and the loss scale. Both are laid out in
    buffers (`optim.flat`) where the library has views."""

    params: dict[str, Array]
    moments: dict[str, Array]
    step: int
    loss_scale: LossScale | None


@dataclass(frozen=True)
class StepResult:
    """What a step reports: on the host, but for the figures, which whoever shows them fetches (`figures.fetched`).
    `updated` is False where the step was not made."""

    step: int
    losses: dict[str, float]
    figures: dict[str, Figure]
    gradient_norm: float
    rate: float
    updated: bool

    @property
    def loss(self) -> float:
        """The total."""
        return self.losses[TOTAL]


def initial_state(ops: OpSet, recipe: TrainingRecipe, params: dict[str, np.ndarray[Any, Any]]) -> State:
    """The state before the first step, from host parameters."""
    xp = ops.xp
    master = {name: xp.from_numpy(array.astype(recipe.precision.master)) for name, array in params.items()}
    if lays_out(xp, recipe):
        master = layout_of(recipe, shapes_of(master)).laid(xp, master)
    own = recipe.shards.own(xp, master) if recipe.shards else master
    return State(master, recipe.optimizer.init_state(xp, own), 0, recipe.precision.initial_loss_scale())


def lays_out(xp: Namespace, recipe: TrainingRecipe) -> bool:
    """Whether parameters are laid out in buffers. Where calls are only noted, the views of a buffer would be so many
    more results of a program; and some optimisers need each parameter by itself."""
    return not (xp.traced or recipe.optimizer.rule.whole)


def layout_of(recipe: TrainingRecipe, shapes: Mapping[str, Shape]) -> Layout:
    """Where parameters of these shapes lie: in a buffer what is updated alike."""
    return recipe.optimizer.layout(shapes, recipe.rate_scales, recipe.world.size)


def laid_out(xp: Namespace, recipe: TrainingRecipe, state: State) -> State:
    """The state with its arrays copied into buffers, if they are to be."""
    if not lays_out(xp, recipe):
        return state
    layout = layout_of(recipe, shapes_of(state.params))
    moments = layout.times(recipe.optimizer.rule.moments).laid(xp, state.moments)
    return replace(state, params=layout.laid(xp, state.params), moments=moments)


def shared_out(recipe: TrainingRecipe, xp: Namespace, state: State) -> tuple[TrainingRecipe, State]:
    """The recipe under which each of several processes updates its part, and the state without the others' moments."""
    if recipe.world.size == 1:
        return recipe, state
    shards = Shards(recipe.world, layout_of(recipe, shapes_of(state.params)))
    own = shards.own(xp, state.moments, recipe.optimizer.rule.moments)
    return replace(recipe, shards=shards), replace(state, moments=own)


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
    if not (config.hidden_dropout_prob or config.attention_probs_dropout_prob or config.classifier_dropout
            or config.qa_dropout):  # fmt: skip
        return None
    mask = np.asarray(batch.attention_mask) != 0
    return Dropout(  # an example of several sequences, a multiple choice, is as many rows
        ops.xp, recipe.seed, step, np.asarray(batch.example).reshape(-1), mask.reshape(-1, mask.shape[-1]),
        recipe.packed, config.hidden_dropout_prob, config.attention_probs_dropout_prob, ops.share, ops.draw,
    )  # fmt: skip


def gradients(
    ops: OpSet, recipe: TrainingRecipe, state: State, batch: Batch, recorder: Recorder | None = None
) -> tuple[Outcome, dict[str, Array]]:
    """Losses and figures of the batch, and the gradients of the master weights, but for the frozen ones, unscaled,
    before clipping: with shards the pieces that belong to this process. `recorder` sees the share of this process."""
    world = recipe.world
    if world.size == 1:
        return share_gradients(ops, recipe, state, batch, slice(0, len(batch)), recorder)
    share = slices(len(batch), world.size)[world.rank]
    if share.start < share.stop:
        outcome, grads = share_gradients(ops, recipe, state, batch, share, recorder)
    else:
        outcome, grads = nothing(ops.xp, *share_gradients(ops, recipe, state, batch, slice(0, 1)))
    outcome = summed_outcome(world, ops.xp, outcome)
    return outcome, recipe.shards.summed(ops.xp, grads) if recipe.shards else summed(world, ops.xp, grads)


def share_gradients(
    ops: OpSet, recipe: TrainingRecipe, state: State, batch: Batch, share: slice, recorder: Recorder | None = None
) -> tuple[Outcome, dict[str, Array]]:
    """What the examples of a share of the batch add to its losses, figures and gradients."""
    xp, precision = ops.xp, recipe.precision
    ops = working_ops(ops, recipe)
    scale = state.loss_scale.scale if state.loss_scale else 1.0
    params = with_joined(xp, working_params(ops, recipe, state))
    examples = batch[share]
    divided = recipe.chunks > 1 or len(examples) < len(batch)
    divide_by = recipe.objective.denominators(batch, recipe.settings.numerics) if divided else None
    total: dict[str, Array] | None = None
    sums: Outcome | None = None
    for rows in chunk_slices(len(examples), max(1, min(recipe.chunks, len(examples)))):
        chunk = examples[rows]
        outcome, grads = losses_and_gradients(
            recipe.objective, ops, params, chunk, recipe.settings, packed=recipe.packed, divide_by=divide_by,
            dropout=dropout_of(ops, recipe, chunk, state.step), loss_scale=scale, recorder=recorder, figures=True,
        )  # fmt: skip
        total = accumulate(total, cast(xp, grads, precision.accumulate) if divided else grads)
        sums = added(sums, outcome)
    assert total is not None  # there is at least one chunk
    assert sums is not None
    return sums, _of_learning(ops, recipe, state, total, scale)


def _of_learning(
    ops: OpSet, recipe: TrainingRecipe, state: State, grads: dict[str, Array], scale: float
) -> dict[str, Array]:
    """The gradients of what learns, unscaled, in the master weights' type and laid out like them."""
    xp, master = ops.xp, recipe.precision.master

    def learns(name: str) -> bool:
        return recipe.rate_scales.get(name) != 0

    if isinstance(state.params, Flat):
        flat = state.params.layout.only(learns).laid(xp, cast(xp, grads, master), ops.updates)
        return with_buffers(xp, flat, unscale(xp, flat.buffers, scale, master))
    return ordered(unscale(xp, grads, scale, master), filter(learns, state.params))


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
    ops: OpSet,
    recipe: TrainingRecipe,
    state: State,
    batch: Batch,
    recorder: Recorder | None = None,
    *,
    donate: bool = False,
) -> tuple[State, StepResult]:
    """The state after one step. Not-finite gradients skip the update under a dynamic loss scale; else they are reported
    in `StepResult` (the caller stops) and the state does not change.

    `donate` gives `state` away if an update is made: its arrays may become the next state's, which saves memory.
    """
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
        numbers, rate = [*outcome.losses.values(), norm], recipe.schedule.rate(state.step)
        params, moments = state.params, state.moments
        if xp.traced:  # asked for after the update, the numbers are of the same program
            params, moments = _updated_if_finite(ops, recipe, state, flat, factor, rate, numbers)
        *values, length = host_numbers(xp, numbers)
        losses = dict(zip(outcome.losses, values, strict=True))
        finite = bool(np.isfinite([*values, length]).all())
        if finite and not xp.traced:
            params, moments = _updated(ops, recipe, state, flat, factor, rate, donate=donate)
    scale = state.loss_scale.after(finite) if state.loss_scale else None
    skipped = bool(state.loss_scale and state.loss_scale.dynamic and not finite)
    done = state.step + 1 if finite or skipped else state.step
    result = StepResult(state.step + 1, losses, outcome.figures, length, rate, finite)
    return replace(state, params=params, moments=moments, step=done, loss_scale=scale), result


def _updated_if_finite(
    ops: OpSet, recipe: TrainingRecipe, state: State, grads: Mapping[str, Array], factor: Array | None, rate: float,
    numbers: list[Array],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The same, decided on the device: parameters and moments stay as they are unless all numbers are finite."""
    xp = ops.xp
    finite = xp.all(xp.stack([xp.isfinite(number) for number in numbers]))
    params, moments = _updated(ops, recipe, state, grads, factor, rate, donate=False)

    def chosen(new: dict[str, Array], old: dict[str, Array]) -> dict[str, Array]:
        return {name: xp.where(finite, new[name], old[name]) for name in new}

    return chosen(params, state.params), chosen(moments, state.moments)


def _updated(
    ops: OpSet, recipe: TrainingRecipe, state: State, grads: Mapping[str, Array], factor: Array | None, rate: float,
    *, donate: bool,
) -> tuple[dict[str, Array], dict[str, Array]]:
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
            factor=factor, updates=ops.updates, donate=donate,
        )  # fmt: skip
        params |= new_params
        moments |= new_moments
    if shards:
        whole = shards.whole(xp, params)
        return whole if isinstance(state.params, Flat) else dict(whole), moments
    return with_buffers(xp, state.params, params), with_buffers(xp, state.moments, moments)
