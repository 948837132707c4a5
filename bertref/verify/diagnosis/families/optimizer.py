"""The optimiser's step: corrections, decay, clipping, rate, betas, epsilon, trust ratios. AdamW, Google's form of it,
and LAMB."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....optim import Optimizer
from ....row import TensorRow
from ...graph.replay import Updater
from ...judgement.bias_correction import corrected, judged_by
from ...records import OptimizerCase
from ..hypothesis import Hypothesis, Number, Possibility, Told, of_op
from ..scene import STEP, Scene

Values = Any
Clip = Callable[[OptimizerCase, Mapping[str, Values]], Callable[[str], Values]]
"""From the gradients by parameters' names, what makes the clipped one of a name."""
KINDS = ("adamw", "google", "lamb")
WHERE = {
    "torch": "torch.optim.AdamW(groups, lr, betas, eps), clip_grad_norm_, the scheduler",
    "JAX": "optax.chain(optax.clip_by_global_norm(...), optax.adamw(...))",
    "NumPy": "p -= rate * (m / c1) / (np.sqrt(v / c2) + eps)",
    "C": "the loop that updates m, v and p",
}
Pairs = Callable[[tuple[float, float], int], Iterable[tuple[tuple[float, float], tuple[float, float]]]]
"""Betas and corrections for given betas at a step."""
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
    betas         None: the case's own
    decay         "decoupled", "l2" (added to the gradient), "without rate", "none"
    rate          a factor of the case's rate
    root          the denominator, of the second moment and epsilon
    times         how often a parameter of that name is updated
    trust         whether a parameter has a trust ratio, in LAMB
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
    trust: Callable[[Optimizer, str], bool] = lambda settings, name: False


def usual(case: OptimizerCase) -> Way:
    """The reference's."""
    kind = case.optimizer.kind
    way = Way(corrected_by=None if kind == "google" else 0)
    return replace(way, trust=Optimizer.decays) if kind == "lamb" else way


def updater(scene: Scene, way: Way, pairs: Pairs | None = None) -> Updater:
    """The step made in that way, in float64, with the nearest of these betas and corrections; None: `corrected`."""
    case = scene.case.optimizer
    assert case is not None, "only a case with a step is asked for one"

    def of_gradients(grads: Mapping[str, Values]) -> Callable[[str], Values]:
        clipped = way.clip(case, grads)

        def update(name: str, way: Way) -> Values:
            return _update(case, way, name, np.asarray(scene.case.params[name], np.float64), clipped(name))

        held = way if scene.precision == "float64" else _as_held(scene, way, update, pairs or corrected)
        return lambda name: update(name, held)

    return of_gradients


def _as_held(scene: Scene, way: Way, update: Callable[[str, Way], Values], pairs: Pairs) -> Way:
    """The way with bias corrections, or betas, of float32, where those come nearer to what was recorded."""
    case = _case(scene)
    found = _finest(scene) if way.corrected_by is not None else {}

    def distance(way: Way) -> float:
        """Of the update that comes nearest: there may be another mistake in the others."""
        return min(_mean_square(update(name, way) - value) / _mean_square(value) for name, value in found.items())

    if way.corrected_by is None or not found or distance(way) > FAR**2:
        return way
    betas = way.betas or case.optimizer.betas
    ways = (replace(way, betas=held, corrections=both) for held, both in pairs(betas, case.step + way.corrected_by))
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


def _update(case: OptimizerCase, way: Way, name: str, old: Values, g: Values) -> Values:
    settings, rate = case.optimizer, case.rate * way.rate
    beta1, beta2 = way.betas or settings.betas
    epsilon = settings.epsilon if way.epsilon is None else way.epsilon
    assert epsilon is not None, "the record fills in its kind's own"
    strength = settings.weight_decay if way.decays(settings, name) else 0.0
    p, m, v = old, *(np.asarray(case.moments[f"{name}/{moment}"], np.float64) for moment in "mv")
    for _ in range(way.times(name)):
        if way.decay == "l2":
            g = g + strength * p
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        first, second = m, v
        if way.corrected_by is not None:
            count = case.step + way.corrected_by
            c1, c2 = way.corrections or (1 - beta1**count, 1 - beta2**count)
            first, second = m / c1, v / c2
        decay = {"decoupled": rate * strength, "without rate": strength}.get(way.decay, 0.0)
        change = decay * p + rate * first / way.root(second, epsilon)
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
    other, names = scene.changed({STEP.name: updater(scene, usual(case), judged_by)}), scene.judged_names()
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


def _shifted(scene: Scene, way: Way, by: int) -> Way | None:
    return replace(way, corrected_by=by) if way.corrected_by is not None and _case(scene).step + by > 0 else None


def _shifts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one step fewer: the counter starts at 0", -1)
    yield Possibility("one step more", 1)


def _everything(settings: Optimizer, name: str) -> bool:
    return True


def _without(*parts: str) -> Callable[[Optimizer, str], bool]:
    return lambda settings, name: not any(part in name for part in parts)


def _exclusions(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("every parameter is decayed, biases and norms as well", _everything)
    yield Possibility("norms' weights are decayed: they are called LayerNorm.weight, not gamma",
                 _without("gamma", "beta", "bias"))  # fmt: skip
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
    return None if abs(value - 1) < OWN_RATE else replace(way, rate=value)


def _rate_sentence(told: Told) -> str:
    return f"the learning rate is the right one times {told.number}"


def _second_beta(scene: Scene, way: Way, value: float) -> Way:
    return replace(way, betas=(_case(scene).optimizer.beta1, 1 - value))


def _first_beta(scene: Scene, way: Way, value: float) -> Way:
    return replace(way, betas=(1 - value, _case(scene).optimizer.betas[1]))


def _swapped(scene: Scene, way: Way, _: Any) -> Way:
    beta1, beta2 = _case(scene).optimizer.betas
    return replace(way, betas=(beta2, beta1))


def _ones(*values: float) -> Callable[[Scene], dict[str, float]]:
    """1 - beta, called so."""
    return lambda scene: {f"1 - {value:g}": 1 - value for value in values}


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
    _step("bias_correction_step", _shifted, lambda told: f"the moments are corrected for {told.choice}",
          "the first update has the number 1", choices=_shifts),
    _step("decay_l2", lambda scene, way, _: replace(way, decay="l2"),
          "weight decay is added to the gradient (an L2 penalty); it is taken off the weight by itself",
          "use AdamW, not Adam with weight_decay"),
    _step("decay_without_rate", lambda scene, way, _: replace(way, decay="without rate"),
          "weight decay is not multiplied by the learning rate", "p -= rate * weight_decay * p"),
    _step("decay_missing", lambda scene, way, _: replace(way, decay="none"), "there is no weight decay",
          "give the optimiser its weight_decay"),
    _step("decay_exclusions", lambda scene, way, value: replace(way, decays=value), lambda told: told.choice,
          "leave out what the settings exclude, by the names that the parameters have", choices=_exclusions),
    _step("clipping_missing", lambda scene, way, _: replace(way, clip=_unclipped), "gradients are not clipped",
          "clip them by their global norm before the step"),
    _step("clipping_each_tensor", lambda scene, way, _: replace(way, clip=_each),
          "every gradient is clipped by its own norm; it is the norm of all together that counts",
          "one norm over all gradients"),
    _step("clipping_norm", lambda scene, way, _: replace(way, clip=_scaled_by(_largest)),
          "gradients are clipped by their largest element; it is the Euclidean norm that counts", "norm_type=2"),
    _step("clipping_value", lambda scene, way, _: replace(way, clip=_by_value),
          "gradients are cut off element by element; they are scaled all together", "clip_grad_norm_, not _value_"),
    _step("rate", _rated, _rate_sentence,
          "compare the schedule's value at this step",
          number=Number("factor", 1e-3, 1e3, _rates, right=lambda scene: (1.0,))),
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
)  # fmt: skip
