"""The optimiser's step: corrections, decay, clipping, rate, betas, epsilon, trust ratios. AdamW, Google's form of it,
and LAMB."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ....optim import Optimizer
from ....row import TensorRow
from ...graph.replay import Updater
from ...records import OptimizerCase
from ..hypothesis import Hypothesis, Number, Possibility, Told, of_op
from ..scene import Scene
from . import clipping
from .clipping import WORDS
from .steps import KINDS, Moments, Pair, Values, Way, case_of, step_by, updater, usual

WHERE = {
    "torch": "torch.optim.AdamW(groups, lr, betas, eps), clip_grad_norm_, the scheduler",
    "JAX": "optax.chain(optax.clip_by_global_norm(...), optax.adamw(...))",
    "NumPy": "p -= rate * (m / c1) / (np.sqrt(v / c2) + eps)",
    "C": "the loop that updates m, v and p",
}
OWN_RATE = 1e-4
"""A factor of the rate nearer to 1 is none: bias corrections that are computed in a way of their own make all updates
larger or smaller by so much. Larger: a schedule that is a step behind late in a run isn't seen."""


def _correction_sentence(told: Told) -> str:
    if case_of(told.scene).optimizer.kind == "google":
        return "the moments are corrected for having started at 0; this optimiser does not do that"
    return "the moments are not corrected for having started at 0, as in Google's optimiser"


def _shifted(scene: Scene, way: Way, counted: Callable[[int], int]) -> Way | None:
    step = case_of(scene).step
    number = counted(step)
    if way.corrected_by is None or number in (0, step):
        return None
    return replace(way, corrected_by=number - step)


def _shifts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("one step fewer: the counter starts at 0", lambda step: step - 1)
    yield Possibility("one step more", lambda step: step + 1)
    yield Possibility("the first step, always: by 1 - beta, without a power", lambda step: 1)
    yield Possibility("twice as many steps: the counter is moved twice in a step", lambda step: 2 * step)


def _corrected_by(scene: Scene, way: Way, correct: Callable[[Pair, Pair, int], Pair]) -> Way | None:
    return None if way.corrected_by is None else replace(way, correct=correct)


def _corrections(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("the first moment alone is corrected for having started at 0",
                      lambda both, betas, step: (both[0], 1.0))  # fmt: skip
    yield Possibility("the second moment alone is corrected for having started at 0",
                      lambda both, betas, step: (1.0, both[1]))  # fmt: skip
    yield Possibility("the moments are multiplied by their corrections; they are divided",
                      lambda both, betas, step: (1 / both[0], 1 / both[1]))  # fmt: skip
    yield Possibility("the root of the second moment is divided by its correction; by the root of that",
                      lambda both, betas, step: (both[0], both[1] ** 2))  # fmt: skip
    yield Possibility("each moment is corrected by the other's beta", lambda both, betas, step: (both[1], both[0]))
    yield Possibility("both moments are corrected by the first one's beta",
                      lambda both, betas, step: (both[0], both[0]))  # fmt: skip
    if case_of(scene).step > 1:
        yield Possibility("the first moment is divided by 1 - beta1 * step; by 1 - beta1 ** step",
                          lambda both, betas, step: (1 - betas[0] * step, both[1]))  # fmt: skip


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
    yield Possibility("the first moment has 1 - beta2 times the gradient; it has 1 - beta1 times that",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b2) * g, b2 * v + (1 - b2) * g * g))  # fmt: skip
    yield Possibility("the second moment has 1 - beta1 times the square; it has 1 - beta2 times that",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b1) * g * g))  # fmt: skip
    yield Possibility("the first moment has beta1 times the gradient, and 1 - beta1 times what it was",
                      lambda m, v, g, raw, b1, b2: ((1 - b1) * m + b1 * g, b2 * v + (1 - b2) * g * g))  # fmt: skip
    yield Possibility("the second moment has beta2 times the square, and 1 - beta2 times what it was",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, (1 - b2) * v + b2 * g * g))  # fmt: skip
    yield Possibility("both moments have beta times what is new, and 1 - beta times what they were",
                      lambda m, v, g, raw, b1, b2: ((1 - b1) * m + b1 * g, (1 - b2) * v + b2 * g * g))  # fmt: skip
    yield Possibility("beta1 multiplies all of the first moment, with what is new",
                      lambda m, v, g, raw, b1, b2: (b1 * (m + (1 - b1) * g), b2 * v + (1 - b2) * g * g))  # fmt: skip
    yield Possibility("beta2 multiplies all of the second moment, with what is new",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g, b2 * (v + (1 - b2) * g * g)))  # fmt: skip
    yield Possibility("the second moment never gets smaller, as in AMSGrad",
                      lambda m, v, g, raw, b1, b2: (b1 * m + (1 - b1) * g,
                                                    np.maximum(v, b2 * v + (1 - b2) * g * g)))  # fmt: skip
    yield Possibility("the second moment is that of the first; it is that of the gradient", _of_first(lambda g, m: m))
    yield Possibility("the second moment is that of the gradient less the first, as in AdaBelief",
                      _of_first(lambda g, m: g - m))  # fmt: skip


def _of_first(made: Callable[[Values, Values], Values]) -> Moments:
    """The second moment of what is made of the gradient and the new first moment."""

    def both(m: Values, v: Values, g: Values, raw: Values, b1: float, b2: float) -> tuple[Values, Values]:
        first = b1 * m + (1 - b1) * g
        return first, b2 * v + (1 - b2) * made(g, first) ** 2

    return both


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
    yield Possibility("all parameters", lambda name: True)
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
    yield Possibility("their largest element", clipping.largest)
    yield Possibility("the largest of their norms", clipping.largest_length)
    yield Possibility("the sum of their absolute values", clipping.absolute)
    yield Possibility("the square of their norm, the root of which isn't taken", clipping.squared_length)
    yield Possibility("the norm of all but the embeddings'", clipping.length_without("embeddings"))
    yield Possibility("the norm of all but biases' and norms'",
                      clipping.length_without("bias", "LayerNorm", "layer_norm"))  # fmt: skip
    yield Possibility("a norm in which the tied table counts twice", clipping.length_with_twice)


def _sums(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("over all gradients", clipping.length_in_float32)
    yield Possibility("for each gradient", clipping.length_of_float32_sums)


def _groups(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    decays = partial(Optimizer.decays, case_of(scene).optimizer)
    yield Possibility("gradients are clipped by their norm where there is weight decay, the others by theirs",
                      clipping.in_groups(decays, others=True))  # fmt: skip
    yield Possibility("gradients are clipped only where there is weight decay, by the norm of these",
                      clipping.in_groups(decays, others=False))  # fmt: skip
    yield Possibility("gradients are clipped only where there is no weight decay, by the norm of these",
                      clipping.in_groups(lambda name: not decays(name), others=False))  # fmt: skip


def _twice(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    words = "the word embeddings, which are tied, are updated twice in a step"
    yield Possibility(words, (lambda name: name == WORDS, False))
    if usual(case_of(scene)).corrected_by is not None:
        yield Possibility(f"{words}, which counts as two", (lambda name: name == WORDS, True))
    yield Possibility("all parameters are updated twice in a step, by the same gradients", (lambda name: True, True))


def _stepped(scene: Scene, way: Way, choice: tuple[Callable[[str], bool], bool]) -> Way:
    again, counted = choice
    return replace(way, times=lambda name: 2 if again(name) else 1, counted=counted)


def _limited(scene: Scene, way: Way, limit: float) -> Way | None:
    if case_of(scene).clip_norm is None:
        return None
    return replace(way, clip=clipping.to_limit(limit))


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
    return replace(way, trust=value) if case_of(scene).optimizer.kind == "lamb" else None


def _hat(scene: Scene, way: Way, _: Any) -> Way | None:
    """Both corrections stand in the rate: the root of the moment as it is, and epsilon."""
    if way.corrected_by is None:
        return None
    case = case_of(scene)
    root = float(np.sqrt(1 - case.optimizer.betas[1] ** case.step))
    return replace(way, root=lambda v, epsilon: np.sqrt(v) + epsilon / root)


def _rates(scene: Scene) -> dict[str, float]:
    step = case_of(scene).step
    found = {"1/2": 0.5, "2": 2.0, "(step + 1)/step: the schedule is one step ahead": (step + 1) / step}
    return {**found, "(step - 1)/step: the schedule is one step behind": (step - 1) / step} if step > 1 else found


def _rated(scene: Scene, way: Way, value: float) -> Way | None:
    return None if abs(value - 1) < OWN_RATE else replace(way, rate=value, double=False)


def _rate_sentence(told: Told) -> str:
    return f"the learning rate is the right one times {told.number}"


def _second_beta(scene: Scene, way: Way, value: float) -> Way:
    return replace(way, betas=(case_of(scene).optimizer.beta1, 1 - value), double=False)


def _first_beta(scene: Scene, way: Way, value: float) -> Way:
    return replace(way, betas=(1 - value, case_of(scene).optimizer.betas[1]), double=False)


def _swapped(scene: Scene, way: Way, _: Any) -> Way:
    beta1, beta2 = case_of(scene).optimizer.betas
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
    return replace(way, decay_times=factor(case_of(scene)))


def _decay(scene: Scene) -> float:
    return case_of(scene).optimizer.weight_decay or 0.0


def _beta_left(which: int) -> Callable[[Scene], float]:
    return lambda scene: 1 - case_of(scene).optimizer.betas[which]


def _float32_beta_left(which: int) -> Callable[[Scene], tuple[float]]:
    """Of a beta that is held in float32, as right code may do."""
    return lambda scene: (1 - float(np.float32(case_of(scene).optimizer.betas[which])),)


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
          "divide by 1 - beta ** step, the first update having the number 1", choices=_shifts),
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
    _step("decay_clipped", lambda scene, way, _: replace(way, decay="clipped") if case_of(scene).clip_norm else None,
          "weight decay is scaled as the gradients are clipped; it is not clipped",
          "clip the gradients, then decay the weights"),
    _step("decay_of_gradient", lambda scene, way, _: replace(way, decay="gradient"),
          "weight decay is that of the gradient: rate * weight_decay * g is taken off; it is that of the weight",
          "p -= rate * weight_decay * p"),
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
    _step("clipping_missing", lambda scene, way, _: replace(way, clip=clipping.unclipped),
          "gradients are not clipped, or by a number that is below the limit",
          "clip them by their global norm before the step"),
    _step("clipping_each_tensor", lambda scene, way, _: replace(way, clip=clipping.each),
          "every gradient is clipped by its own norm; it is the norm of all together that counts",
          "one norm over all gradients"),
    _step("clipping_norm", lambda scene, way, norm: replace(way, clip=clipping.scaled_by(norm)),
          lambda told: f"gradients are clipped by {told.choice}; it is the Euclidean norm that counts",
          "one norm over all gradients: the root of the sum of their squares",
          choices=_norms),
    _step("clipping_limit", _limited,
          lambda told: f"gradients are clipped to a norm of {told.number}; the setting is "
                       f"{case_of(told.scene).clip_norm:g}",
          "hand the limit on", number=Number(
              "limit", 1e-6, 1e6, lambda scene: {"1": 1.0, "5": 5.0, "0.5": 0.5, "0.1": 0.1, "10": 10.0, "0.25": 0.25},
              own=lambda scene: case_of(scene).clip_norm)),
    _step("norm_in_float32", lambda scene, way, norm: replace(way, clip=clipping.scaled_by(norm)),
          lambda told: "gradients are clipped by a norm whose squares are summed up in float32, one after the other "
                       f"{told.choice}: a large sum loses small ones",
          "sum up in float64, or pairwise", choices=_sums, rounding=True),
    _step("clipping_groups", lambda scene, way, clip: replace(way, clip=clip),
          lambda told: f"{told.choice}; it is the norm of all together that counts", "one norm over all gradients",
          choices=_groups),
    _step("clipping_value", lambda scene, way, _: replace(way, clip=clipping.by_value),
          "gradients are cut off element by element; they are scaled all together", "clip_grad_norm_, not _value_"),
    _step("rate", _rated, _rate_sentence,
          "compare the schedule's value at this step",
          number=Number("factor", 1e-3, 1e3, _rates, right=lambda scene: (1.0,), known_to=OWN_RATE)),
    _step("rate_root", lambda scene, way, _: replace(way, rate=case_of(scene).rate ** -0.5),
          "the learning rate is the root of the right one", "take the rate as it is"),
    _step("beta2", _second_beta, lambda told: f"1 - beta of the second moment is {told.number}; the setting's beta is "
          f"{case_of(told.scene).optimizer.betas[1]:g}",
          "hand both betas on", number=Number("1 - beta2", 1e-6, 0.999, _ones(0.99, 0.98, 0.95, 0.999),
                                              own=_beta_left(1), right=_float32_beta_left(1))),
    _step("beta1", _first_beta, lambda told: f"1 - beta of the first moment is {told.number}; the setting's beta is "
          f"{case_of(told.scene).optimizer.beta1:g}",
          "hand both betas on", number=Number("1 - beta1", 1e-6, 0.999, _ones(0.9, 0.95, 0.8),
                                              own=_beta_left(0), right=_float32_beta_left(0))),
    _step("betas_swapped", _swapped, "the two betas are exchanged", "beta1 is the first moment's, 0.9"),
    _step("epsilon", lambda scene, way, value: replace(way, epsilon=value),
          lambda told: f"epsilon is {told.number}; the setting is {case_of(told.scene).optimizer.epsilon:g}",
          "hand epsilon on",
          number=Number("epsilon", 1e-12, 1e-1, lambda scene: {"1e-08": 1e-8, "1e-07": 1e-7, "1e-06": 1e-6},
                        open_ended=True, own=lambda scene: case_of(scene).optimizer.epsilon)),
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
    _step("stepped_twice", _stepped, lambda told: told.choice, "list a tied parameter once, step once",
          choices=_twice),
    Hypothesis(
        "optimizer.answer", of_op("optimizer_step"), _answered,
        lambda told: f"an update is new minus old value; {told.choice} is given", WHERE,
        'give "update:NAME" as new minus old value', choices=_given,
    ),
)  # fmt: skip
