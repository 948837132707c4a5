"""The optimiser's step: corrections, decay, clipping, rate, betas, epsilon, trust ratios. AdamW, Google's form of it,
and LAMB."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from ....optim import Optimizer
from ....row import TensorRow
from ...graph.replay import Updater
from ...judgement.bias_correction import corrected, in_double
from ...records import OptimizerCase
from ..hypothesis import Hypothesis, Number, Possibility, Told, of_op
from ..scene import STEP, Scene

Values = Any
Clip = Callable[[OptimizerCase, Mapping[str, Values]], Callable[[str], Values]]
"""From the gradients by parameters' names, what makes the clipped one of a name."""
Pair = tuple[Values, Values]
Moments = Callable[[Values, Values, Values, Values, float, float], Pair]
Direction = Callable[[Values, Values, Values], Values]
Answer = Callable[[Values, Values], Values]
"""What is given for an update, of the old value and the update."""
KINDS = ("adamw", "google", "lamb")
WHERE = {
    "torch": "torch.optim.AdamW(groups, lr, betas, eps), clip_grad_norm_, the scheduler",
    "JAX": "optax.chain(optax.clip_by_global_norm(...), optax.adamw(...))",
    "NumPy": "p -= rate * (m / c1) / (np.sqrt(v / c2) + eps)",
    "C": "the loop that updates m, v and p",
}
WORDS = "bert.embeddings.word_embeddings.weight"
FAR = 1e-2
"""Of an update. What differs by more is not due to float32's bias corrections, which are off by 1e-4 at most; smaller:
they are looked for in fewer ways, at no gain but time."""
OWN_RATE = 1e-4
"""A factor of the rate nearer to 1 is none: bias corrections that are computed in a way of their own make all updates
larger or smaller by so much. Larger: a schedule that is a step behind late in a run isn't seen."""
LARGEST, TRIED = 1 << 16, 3
"""So many elements an update may have that chooses a correction, and so many choose it. More of them take longer."""


# -- clipping ----------------------------------------------------------------------------------------------------------


def _scaled_by(norm_of: Callable[[Mapping[str, Values]], float]) -> Clip:
    def clip(case: OptimizerCase, grads: Mapping[str, Values]) -> Callable[[str], Values]:
        if case.clip_norm is None:
            return grads.__getitem__
        factor = min(case.clip_norm / (norm_of(grads) + case.clip_epsilon), 1.0)
        return lambda name: grads[name] * factor

    return clip


def _length(grads: Mapping[str, Values]) -> float:
    return float(np.sqrt(sum(float(np.sum(np.square(grads[name]))) for name in grads)))


def _largest(grads: Mapping[str, Values]) -> float:
    return max(float(np.max(np.abs(grads[name]))) for name in grads)


scaled_by_length = _scaled_by(_length)


def _absolute(grads: Mapping[str, Values]) -> float:
    return sum(float(np.sum(np.abs(grads[name]))) for name in grads)


def _length_without(*parts: str) -> Callable[[Mapping[str, Values]], float]:
    """The norm over those whose name has none of these in it."""
    return lambda grads: _length({name: g for name, g in grads.items() if not any(part in name for part in parts)})


def _length_with_twice(grads: Mapping[str, Values]) -> float:
    """The norm, in which the tied table counts twice."""
    words = _length({WORDS: grads[WORDS]}) if WORDS in grads else 0.0
    return float(np.hypot(_length(grads), words))


def _each(case: OptimizerCase, grads: Mapping[str, Values]) -> Callable[[str], Values]:
    limit = case.clip_norm
    if limit is None:
        return grads.__getitem__
    return lambda name: grads[name] * min(limit / (_length({name: grads[name]}) + case.clip_epsilon), 1.0)


def _by_value(case: OptimizerCase, grads: Mapping[str, Values]) -> Callable[[str], Values]:
    limit = case.clip_norm
    return grads.__getitem__ if limit is None else lambda name: np.clip(grads[name], -limit, limit)


def _unclipped(case: OptimizerCase, grads: Mapping[str, Values]) -> Callable[[str], Values]:
    return grads.__getitem__


# -- the step ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How a step is made; the defaults are AdamW's.

    corrected_by  added to the step's number in the corrections of the moments; None: they aren't corrected
    corrections   None: they are what `corrected_by` says
    correct       from the corrections of both moments to those that are used
    betas         None: the case's own
    decay         "decoupled", "l2" (added to the gradient), "without rate", "after" (of what the step left), "none"
    rate          a factor of the case's rate
    root          the denominator, of the second moment and epsilon
    times         how often a parameter of that name is updated
    kept          what the moments of the steps before are multiplied by
    decay_times   a factor of the decay
    trust         whether a parameter has a trust ratio, in LAMB
    moments       both moments, of those before, the gradient, the one before clipping, and the betas
    used          what stands for both in the step, of those before, those after, the gradient and beta1
    direction     the step, of the first moment, the root of the second one and the gradient
    double        whether corrections of float64 beside betas of float32 are tried; not with a free number that they
                  would be fitted together with
    """

    clip: Clip = scaled_by_length
    corrected_by: int | None = 0
    corrections: tuple[float, float] | None = None
    betas: tuple[float, float] | None = None
    decay: str = "decoupled"
    decays: Callable[[Optimizer, str], bool] = Optimizer.decays
    rate: float = 1.0
    epsilon: float | None = None
    root: Callable[[Values, float], Values] = lambda v, epsilon: np.sqrt(v) + epsilon
    times: Callable[[str], int] = lambda name: 1
    kept: tuple[float, float] = (1.0, 1.0)
    decay_times: float = 1.0
    trust: Callable[[Optimizer, str], bool] = lambda settings, name: False
    correct: Callable[[Pair], Pair] = lambda both: both
    moments: Moments = lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g)
    used: Callable[[Pair, Pair, Values, float], Pair] = lambda before, after, g, beta1: after
    direction: Direction = lambda first, root, g: first / root
    double: bool = True


def usual(case: OptimizerCase) -> Way:
    """The reference's."""
    kind = case.optimizer.kind
    way = Way(corrected_by=None if kind == "google" else 0)
    return replace(way, trust=Optimizer.decays) if kind == "lamb" else way


def updater(scene: Scene, way: Way, answer: Answer = lambda old, update: update) -> Updater:
    """The step made in that way, in float64."""
    case = scene.case.optimizer
    assert case is not None, "only a case with a step is asked for one"

    def of_gradients(grads: Mapping[str, Values]) -> Callable[[str], Values]:
        clipped = way.clip(case, grads)

        def update(name: str, way: Way) -> Values:
            old = np.asarray(scene.case.params[name], np.float64)
            return answer(old, _update(case, way, name, old, clipped(name), grads[name]))

        held = way if scene.precision == "float64" else _as_held(scene, way, update)
        return lambda name: update(name, held)

    return of_gradients


def _as_held(scene: Scene, way: Way, update: Callable[[str, Way], Values]) -> Way:
    """The way with bias corrections, or betas, of float32, where those come nearer to what was recorded."""
    case, found = _case(scene), _finest(scene)

    def distance(way: Way) -> float:
        """Of the update that comes nearest: there may be another mistake in the others."""
        return min(_mean_square(update(name, way) - value) / _mean_square(value) for name, value in found.items())

    if not found or distance(way) > FAR**2:
        return way
    betas = way.betas or case.optimizer.betas
    step = case.step + (way.corrected_by or 0)
    pairs = chain(corrected(betas, step), in_double(betas, step) if way.double else ())
    ways = (replace(way, betas=held, corrections=both) for held, both in pairs)
    return min((way, *ways), key=distance)


def _finest(scene: Scene) -> dict[str, Values]:
    """Of recorded updates, not too large, those of the parameters that are the smallest beside them: as new minus old
    values they are rounded least, and show best what they were multiplied with."""
    params = scene.case.params
    recorded = {name: np.asarray(scene.values[f"update:{name}"], np.float64) for name, value in params.items()
                if f"update:{name}" in scene.values and value.size <= LARGEST}  # fmt: skip
    moved = {name: value for name, value in recorded.items() if value.any()}
    finest = sorted(moved, key=lambda name: _mean_square(params[name]) / _mean_square(moved[name]))
    return {name: moved[name] for name in finest[:TRIED]}


def _mean_square(x: Values) -> float:
    return float(np.mean(np.square(x)))


def _update(case: OptimizerCase, way: Way, name: str, old: Values, g: Values, raw: Values) -> Values:
    """Of a parameter, from its gradient, clipped (g) and not (raw)."""
    settings, rate = case.optimizer, case.rate * way.rate
    beta1, beta2 = way.betas or settings.betas
    epsilon = settings.epsilon if way.epsilon is None else way.epsilon
    assert epsilon is not None, "the record fills in its kind's own"
    strength = way.decay_times * settings.weight_decay if way.decays(settings, name) else 0.0
    moments = (np.asarray(case.moments[f"{name}/{moment}"], np.float64) for moment in "mv")
    p, m, v = old, *(kept * moment for kept, moment in zip(way.kept, moments, strict=True))
    for _ in range(way.times(name)):
        if way.decay == "l2":
            g = g + strength * p
        before, (m, v) = (m, v), way.moments(m, v, g, raw, beta1, beta2)
        first, second = way.used(before, (m, v), g, beta1)
        if way.corrected_by is not None:
            count = case.step + way.corrected_by
            c1, c2 = way.correct(way.corrections or (1 - beta1**count, 1 - beta2**count))
            first, second = first / c1, second / c2
        decay = {"decoupled": rate * strength, "without rate": strength}.get(way.decay, 0.0)
        moved = rate * way.direction(first, way.root(second, epsilon), g)
        change = moved + (rate * strength * (p - moved) if way.decay == "after" else decay * p)
        p = p - (_trust_ratio(p, change / rate) * change if way.trust(settings, name) else change)
    return p - old


def _trust_ratio(p: Values, step: Values) -> float:
    """1 where either has no length."""
    length, other = (float(np.linalg.norm(x)) for x in (p, step))
    return length / other if length and other else 1.0


def as_corrected(scene: Scene) -> Scene:
    """The scene whose step has the betas and corrections of right code that come nearest to what was recorded, if they
    come nearer than those of its judgement."""
    case = scene.case.optimizer
    if case is None or case.optimizer.kind not in KINDS:
        return scene
    other, names = scene.changed({STEP.name: updater(scene, usual(case))}), scene.judged_names()
    updates = [name for name in names if name.startswith("update:")]
    return min((scene, other), key=lambda one: max((one.ratio(name) for name in updates), default=0.0))


def step_by(change: Callable[[Scene, Way, Any], Way | None]) -> Callable[[Scene, TensorRow, Any], Updater | None]:
    """A step that differs from the reference's in what `change(scene, the reference's, value)` does."""

    def make(scene: Scene, row: TensorRow, value: Any) -> Updater | None:
        case = scene.case.optimizer
        if case is None or case.optimizer.kind not in KINDS:
            return None
        way = change(scene, usual(case), value)
        return None if way is None else updater(scene, way)

    return make


def _case(scene: Scene) -> OptimizerCase:
    case = scene.case.optimizer
    assert case is not None, "only a case with a step is asked for one"
    return case


def _correction_sentence(told: Told) -> str:
    if _case(told.scene).optimizer.kind == "google":
        return "the moments are corrected for having started at 0; this optimiser does not do that"
    return "the moments are not corrected for having started at 0, as in Google's optimiser"


def _shifted(scene: Scene, way: Way, counted: Callable[[int], int]) -> Way | None:
    step = _case(scene).step
    number = counted(step)
    if way.corrected_by is None or number in (0, step):
        return None
    return replace(way, corrected_by=number - step)


def _shifts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one step fewer: the counter starts at 0", lambda step: step - 1)
    yield Possibility("one step more", lambda step: step + 1)
    yield Possibility("the first step, always: by 1 - beta, without a power", lambda step: 1)
    yield Possibility("twice as many steps: the counter is moved twice in a step", lambda step: 2 * step)


def _corrected_by(scene: Scene, way: Way, correct: Callable[[Pair], Pair]) -> Way | None:
    return None if way.corrected_by is None else replace(way, correct=correct)


def _corrections(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the first moment alone is corrected for having started at 0", lambda both: (both[0], 1.0))
    yield Possibility("the second moment alone is corrected for having started at 0", lambda both: (1.0, both[1]))
    yield Possibility("the moments are multiplied by their corrections; they are divided",
                      lambda both: (1 / both[0], 1 / both[1]))  # fmt: skip
    yield Possibility("the root of the second moment is divided by its correction; by the root of that",
                      lambda both: (both[0], both[1] ** 2))  # fmt: skip
    yield Possibility("each moment is corrected by the other's beta", lambda both: (both[1], both[0]))
    yield Possibility("both moments are corrected by the first one's beta", lambda both: (both[0], both[0]))


def _moments(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the first moment is a sum, without the factor 1 - beta1",
                      lambda m, v, g, raw, b1, b2: (b1 * m + g, b2 * v + (1 - b2) * g * g))  # fmt: skip
    yield Possibility("the second moment is a sum, without the factor 1 - beta2",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + g * g))  # fmt: skip
    yield Possibility("both moments are sums, without the factors 1 - beta",
                      lambda m, v, g, raw, b1, b2: (b1 * m + g, b2 * v + g * g))  # fmt: skip
    yield Possibility("the second moment is that of absolute values; it is that of squares",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * np.abs(g)))  # fmt: skip
    yield Possibility("the second moment is made of gradients that aren't clipped",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * raw * raw))  # fmt: skip
    yield Possibility("the first moment is made of gradients that aren't clipped",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * raw, b2 * v + (1 - b2) * g * g))  # fmt: skip


def _uses(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the first moment is looked ahead, as Nesterov's (NAdam)",
                      lambda before, after, g, b1: (b1 * after[0] + (1 - b1) * g, after[1]))  # fmt: skip
    yield Possibility("both moments are those of the step before: they are updated too late",
                      lambda before, after, g, b1: before)  # fmt: skip
    yield Possibility("the first moment is that of the step before",
                      lambda before, after, g, b1: (before[0], after[1]))  # fmt: skip
    yield Possibility("the second moment is that of the step before",
                      lambda before, after, g, b1: (after[0], before[1]))  # fmt: skip


def _directions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the gradient itself, as in SGD", lambda first, root, g: g)
    yield Possibility("the first moment, which isn't divided by the root of the second", lambda first, root, g: first)
    yield Possibility("the first moment's sign", lambda first, root, g: np.sign(first))
    yield Possibility("the gradient divided by the root of the second moment, as in RMSprop",
                      lambda first, root, g: g / root)  # fmt: skip
    yield Possibility("the right one with the other sign: it is added to the weights",
                      lambda first, root, g: -first / root)  # fmt: skip


def _frozen(scene: Scene, way: Way, still: Callable[[str], bool]) -> Way:
    return replace(way, times=lambda name: 0 if still(name) else 1)


def _parts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the embeddings", lambda name: "embeddings" in name)
    yield Possibility("the word embeddings", lambda name: name == WORDS)
    yield Possibility("norms", lambda name: "LayerNorm" in name or "layer_norm" in name)
    yield Possibility("biases", lambda name: name.endswith("bias"))
    yield Possibility("biases and norms", lambda name: name.endswith("bias") or "LayerNorm" in name)
    yield Possibility("layers", lambda name: ".layer." in name)
    yield Possibility("heads", lambda name: not name.startswith("bert."))
    yield Possibility("the network below its heads", lambda name: name.startswith("bert."))


def _forgotten(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("both moments", (0.0, 0.0))
    yield Possibility("the first moment", (0.0, 1.0))
    yield Possibility("the second moment", (1.0, 0.0))


def _norms(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("their largest element", _largest)
    yield Possibility("the sum of their absolute values", _absolute)
    yield Possibility("the square of their norm, the root of which isn't taken", lambda grads: _length(grads) ** 2)
    yield Possibility("the norm of all but the embeddings'", _length_without("embeddings"))
    yield Possibility("the norm of all but biases' and norms'", _length_without("bias", "LayerNorm", "layer_norm"))
    yield Possibility("a norm in which the tied table counts twice", _length_with_twice)


def _limited(scene: Scene, way: Way, limit: float) -> Way | None:
    if _case(scene).clip_norm is None:
        return None
    return replace(way, clip=lambda case, grads: scaled_by_length(replace(case, clip_norm=limit), grads))


def _given(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the new value", "new")
    yield Possibility("old minus new", "negated")


def _answered(scene: Scene, row: TensorRow, what: str) -> Updater | None:
    case = scene.case.optimizer
    if case is None or case.optimizer.kind not in KINDS:
        return None
    return updater(scene, usual(case), lambda old, update: old + update if what == "new" else -update)


def _everything(settings: Optimizer, name: str) -> bool:
    return True


def _without(*parts: str) -> Callable[[Optimizer, str], bool]:
    return lambda settings, name: not any(part in name for part in parts)


def _exclusions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("every parameter is decayed, biases and norms as well", _everything)
    yield Possibility("norms' weights are decayed: they are called LayerNorm.weight, not gamma",
                      _without("gamma", "beta", "bias"))  # fmt: skip
    yield Possibility("what is not to be decayed is, and nothing else",
                      lambda settings, name: not settings.decays(name))  # fmt: skip
    yield Possibility("embeddings are not decayed, as biases and norms are not",
                      _without("LayerNorm", "layer_norm", "bias", "_embeddings"))  # fmt: skip
    yield Possibility("biases are decayed, outside of norms", _without("LayerNorm", "layer_norm"))


def _trusts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("every parameter has a trust ratio, biases and norms as well", _everything)
    yield Possibility("no parameter has a trust ratio", lambda settings, name: False)


def _with_trust(scene: Scene, way: Way, value: Callable[[Optimizer, str], bool]) -> Way | None:
    return replace(way, trust=value) if _case(scene).optimizer.kind == "lamb" else None


def _hat(scene: Scene, way: Way, _: Any) -> Way | None:
    """Both corrections stand in the rate: the root of the moment as it is, and epsilon."""
    if way.corrected_by is None:
        return None
    case = _case(scene)
    root = float(np.sqrt(1 - case.optimizer.betas[1] ** case.step))
    return replace(way, root=lambda v, epsilon: np.sqrt(v) + epsilon / root)


def _rates(scene: Scene) -> dict[str, float]:
    step = _case(scene).step
    found = {"1/2": 0.5, "2": 2.0, "(step + 1)/step: the schedule is one step ahead": (step + 1) / step}
    return {**found, "(step - 1)/step: the schedule is one step behind": (step - 1) / step} if step > 1 else found


def _rated(scene: Scene, way: Way, value: float) -> Way | None:
    return None if abs(value - 1) < OWN_RATE else replace(way, rate=value, double=False)


def _rate_sentence(told: Told) -> str:
    return f"the learning rate is the right one times {told.number}"


def _second_beta(scene: Scene, way: Way, value: float) -> Way:
    return replace(way, betas=(_case(scene).optimizer.beta1, 1 - value), double=False)


def _first_beta(scene: Scene, way: Way, value: float) -> Way:
    return replace(way, betas=(1 - value, _case(scene).optimizer.betas[1]), double=False)


def _swapped(scene: Scene, way: Way, _: Any) -> Way:
    beta1, beta2 = _case(scene).optimizer.betas
    return replace(way, betas=(beta2, beta1))


def _ones(*values: float) -> Callable[[Scene], dict[str, float]]:
    """1 - beta, called so."""
    return lambda scene: {f"1 - {value:g}": 1 - value for value in values}


def _decays(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("added to the weight; it is taken off", lambda case: -1.0)
    yield Possibility("half of what the setting says", lambda case: 0.5)
    yield Possibility("twice what the setting says", lambda case: 2.0)
    yield Possibility("multiplied by the rate twice; it is once", lambda case: case.rate)


def _decayed_times(scene: Scene, way: Way, factor: Callable[[OptimizerCase], float]) -> Way:
    return replace(way, decay_times=factor(_case(scene)))


def _decay(scene: Scene) -> float:
    return _case(scene).optimizer.weight_decay or 0.0


def _beta_left(which: int) -> Callable[[Scene], float]:
    return lambda scene: 1 - _case(scene).optimizer.betas[which]


def _float32_beta_left(which: int) -> Callable[[Scene], tuple[float]]:
    """Of a beta that is held in float32, as right code may do."""
    return lambda scene: (1 - float(np.float32(_case(scene).optimizer.betas[which])),)


def _step(
    id: str,
    change: Callable[[Scene, Way, Any], Way | None],
    words: str | Callable[[Told], str],
    patch: str,
    **more: Any,
) -> Hypothesis:
    said = words if callable(words) else lambda told: str(words)
    return Hypothesis(f"optimizer.{id}", of_op("optimizer_step"), step_by(change), said, WHERE, patch, **more)


HYPOTHESES = (
    _step("bias_correction",
          lambda scene, way, _: replace(way, corrected_by=0 if way.corrected_by is None else None),
          _correction_sentence,
          "divide the moments by 1 - beta ** step, if the optimiser does"),
    _step("bias_correction_half", _corrected_by, lambda told: told.choice,
          "divide both moments by 1 - beta ** step", choices=_corrections),
    _step("bias_correction_step", _shifted, lambda told: f"the moments are corrected for {told.choice}",
          "the first update has the number 1", choices=_shifts),
    _step("decay_l2", lambda scene, way, _: replace(way, decay="l2"),
          "weight decay is added to the gradient (an L2 penalty); it is taken off the weight by itself",
          "use AdamW, not Adam with weight_decay"),
    _step("decay_without_rate", lambda scene, way, _: replace(way, decay="without rate"),
          "weight decay is not multiplied by the learning rate", "p -= rate * weight_decay * p"),
    _step("decay_missing", lambda scene, way, _: replace(way, decay="none"), "there is no weight decay",
          "give the optimiser its weight_decay"),
    _step("decay", lambda scene, way, value: replace(way, decay_times=value / (_decay(scene) or 1.0)),
          lambda told: f"weight decay is {told.number}; the setting is {_decay(told.scene):g}",
          "hand weight_decay on", number=Number(
              "weight decay", 1e-5, 10.0, lambda scene: {"0.1": 0.1, "0.05": 0.05, "0.02": 0.02, "0.001": 0.001},
              own=_decay)),
    _step("decay_factor", _decayed_times, lambda told: f"weight decay is {told.choice}",
          "p -= rate * weight_decay * p", choices=_decays),
    _step("decay_after", lambda scene, way, _: replace(way, decay="after"),
          "weight decay is that of the weight after the step; it is that of the weight before it",
          "decay first, then take the step, or both from the old weight"),
    _step("moments_forgotten", lambda scene, way, kept: replace(way, kept=kept),
          lambda told: f"{told.choice} of the steps before: 0 stands for what they were",
          "load the optimiser's state, too, where a run goes on", choices=_forgotten),
    _step("moments", lambda scene, way, moments: replace(way, moments=moments), lambda told: told.choice,
          "m = beta1 * m + (1 - beta1) * g, v = beta2 * v + (1 - beta2) * g * g", choices=_moments),
    _step("moments_used", lambda scene, way, used: replace(way, used=used), lambda told: told.choice,
          "update both moments, then take the step with them", choices=_uses),
    _step("direction", lambda scene, way, direction: replace(way, direction=direction),
          lambda told: f"the step is {told.choice}", "p -= rate * m / (sqrt(v) + eps)", choices=_directions),
    _step("frozen", _frozen, lambda told: f"{told.choice} are not updated", "give the optimiser all parameters",
          choices=_parts),
    _step("decay_exclusions", lambda scene, way, value: replace(way, decays=value), lambda told: told.choice,
          "leave out what the settings exclude, by the names that the parameters have", choices=_exclusions),
    _step("clipping_missing", lambda scene, way, _: replace(way, clip=_unclipped), "gradients are not clipped",
          "clip them by their global norm before the step"),
    _step("clipping_each_tensor", lambda scene, way, _: replace(way, clip=_each),
          "every gradient is clipped by its own norm; it is the norm of all together that counts",
          "one norm over all gradients"),
    _step("clipping_norm", lambda scene, way, norm: replace(way, clip=_scaled_by(norm)),
          lambda told: f"gradients are clipped by {told.choice}; it is the Euclidean norm that counts", "norm_type=2",
          choices=_norms),
    _step("clipping_limit", _limited,
          lambda told: f"gradients are clipped to a norm of {told.number}; the setting is "
                       f"{_case(told.scene).clip_norm:g}",
          "hand the limit on", number=Number(
              "limit", 1e-6, 1e6, lambda scene: {"1": 1.0, "5": 5.0, "0.5": 0.5, "0.1": 0.1, "10": 10.0, "0.25": 0.25},
              own=lambda scene: _case(scene).clip_norm)),
    _step("clipping_value", lambda scene, way, _: replace(way, clip=_by_value),
          "gradients are cut off element by element; they are scaled all together", "clip_grad_norm_, not _value_"),
    _step("rate", _rated, _rate_sentence,
          "compare the schedule's value at this step",
          number=Number("factor", 1e-3, 1e3, _rates, right=lambda scene: (1.0,))),
    _step("rate_root", lambda scene, way, _: replace(way, rate=_case(scene).rate ** -0.5),
          "the learning rate is the root of the right one", "take the rate as it is"),
    _step("beta2", _second_beta, lambda told: f"the second moment's beta is 1 less {told.number}; the setting is "
          f"{_case(told.scene).optimizer.betas[1]:g}",
          "hand both betas on", number=Number("1 - beta2", 1e-6, 0.999, _ones(0.99, 0.98, 0.95, 0.999),
                                              own=_beta_left(1), right=_float32_beta_left(1))),
    _step("beta1", _first_beta, lambda told: f"the first moment's beta is 1 less {told.number}; the setting is "
          f"{_case(told.scene).optimizer.beta1:g}",
          "hand both betas on", number=Number("1 - beta1", 1e-6, 0.999, _ones(0.9, 0.95, 0.8),
                                              own=_beta_left(0), right=_float32_beta_left(0))),
    _step("betas_swapped", _swapped, "the two betas are exchanged", "beta1 is the first moment's, 0.9"),
    _step("epsilon", lambda scene, way, value: replace(way, epsilon=value),
          lambda told: f"epsilon is {told.number}; the setting is {_case(told.scene).optimizer.epsilon:g}",
          "hand epsilon on",
          number=Number("epsilon", 1e-12, 1e-1, lambda scene: {"1e-08": 1e-8, "1e-07": 1e-7, "1e-06": 1e-6},
                        open_ended=True, own=lambda scene: _case(scene).optimizer.epsilon)),
    _step("epsilon_inside_root",
          lambda scene, way, _: replace(way, root=lambda v, epsilon: np.sqrt(v + epsilon)),
          "epsilon is added under the root; it is added to the root", "sqrt(v) + epsilon"),
    _step("epsilon_hat", _hat,
          "epsilon is added to the root of the second moment before that is corrected, as in TensorFlow's and Keras's "
          "Adam; it is added to the root of the corrected one", "sqrt(v / c2) + epsilon"),
    _step("trust_ratio_exclusions", _with_trust, lambda told: told.choice,
          "give a trust ratio to the parameters that are decayed", choices=_trusts),
    _step("root_missing", lambda scene, way, _: replace(way, root=lambda v, epsilon: v + epsilon),
          "the step is divided by the second moment; it is divided by its root", "sqrt(v) + epsilon"),
    _step("stepped_twice", lambda scene, way, _: replace(way, times=lambda name: 2 if name == WORDS else 1),
          "the word embeddings, which are tied, are updated twice in a step", "list a tied parameter once"),
    Hypothesis(
        "optimizer.answer", of_op("optimizer_step"), _answered,
        lambda told: f"an update is new minus old value; {told.choice} is given", WHERE,
        'give "update:NAME" as new minus old value', choices=_given,
    ),
)  # fmt: skip
