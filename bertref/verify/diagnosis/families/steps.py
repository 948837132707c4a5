"""How a step of the optimiser is made: the reference's way, and the ways in which others may make one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from ....optim import Optimizer
from ....row import TensorRow
from ...graph.gradients import Gradients
from ...graph.replay import Updater
from ...judgement.bias_correction import corrected, in_double
from ...records import OptimizerCase
from ..scene import STEP, Scene
from .clipping import Clip, scaled_by_length

Values = Any
Pair = tuple[Values, Values]
Moments = Callable[[Values, Values, Values, Values, float, float], Pair]
Direction = Callable[[Values, Values, Values], Values]
Answer = Callable[[Values, Values], Values]
"""What is given for an update, of the old value and the update."""
KINDS = ("adamw", "google", "lamb")
FAR = 1e-2
"""Of an update. What differs by more is not due to float32's bias corrections, which are off by 1e-4 at most; smaller:
they are looked for in fewer ways, at no gain but time."""
LARGEST, TRIED = 1 << 16, 3
"""So many elements an update may have that chooses a correction, and so many choose it. More of them take longer."""
PIECE = 1 << 18
"""Elements of a parameter that are updated at a time: few enough for all that it takes to stay in the cache."""


@dataclass(frozen=True)
class Way:
    """How a step is made; the defaults are AdamW's.

    corrected_by  added to the step's number in the corrections of the moments; None: they aren't corrected
    corrections   None: they are what `corrected_by` says
    correct       from the corrections of both moments, the betas and the step's number to those that are used
    betas         None: the case's own
    decay         "decoupled", "l2" (added to the gradient), "without rate", "after" (of what the step left), "gradient"
                  (of that), "clipped" (as the gradients are), "none"
    rate          a factor of the case's rate
    root          the denominator, of the second moment and epsilon
    times         how often a parameter of that name is updated
    counted       whether each of these has a number of its own in the corrections
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
    counted: bool = False
    kept: tuple[float, float] = (1.0, 1.0)
    decay_times: float = 1.0
    trust: Callable[[Optimizer, str], bool] = lambda settings, name: False
    correct: Callable[[Pair, Pair, int], Pair] = lambda both, betas, step: both
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

    def of_gradients(grads: Gradients) -> Callable[[str], Values]:
        clip = way.clip(case, grads)

        def update(name: str, way: Way) -> Values:
            """Piece by piece, unless the parameter's norm counts."""
            old, raw = scene.case.params[name], grads[name]
            p, g, m, v = (np.reshape(x, -1) for x in (old, raw, *(case.moments[f"{name}/{one}"] for one in "mv")))
            size, made = p.size if way.trust(case.optimizer, name) else PIECE, np.empty(p.size)
            for part in (slice(start, start + size) for start in range(0, p.size, size)):
                held = [np.asarray(x[part], np.float64) for x in (p, m, v)]
                found = _update(case, way, name, held, clip(name, g[part]), g[part], clip(name, 1.0))
                made[part] = answer(held[0], found)
            return made.reshape(old.shape)

        chosen = way if scene.precision == "float64" else _as_held(scene, way, update)
        return lambda name: update(name, chosen)

    return of_gradients


def _as_held(scene: Scene, way: Way, update: Callable[[str, Way], Values]) -> Way:
    """The way with bias corrections, or betas, of float32, where those come nearer to what was recorded."""
    case, found = case_of(scene), _finest(scene)

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


def _update(
    case: OptimizerCase, way: Way, name: str, held: list[Values], g: Values, raw: Values, clipped: float
) -> Values:
    """Of a parameter, or a part of it, and its moments as they are held, from its gradient, clipped (g) and not (raw).
    `clipped` is what clipping makes of 1.
    """
    settings, rate = case.optimizer, case.rate * way.rate
    beta1, beta2 = way.betas or settings.betas
    epsilon = settings.epsilon if way.epsilon is None else way.epsilon
    assert epsilon is not None, "the record fills in its kind's own"
    strength = way.decay_times * (settings.weight_decay or 0.0) if way.decays(settings, name) else 0.0
    old, m, v = held[0], way.kept[0] * held[1], way.kept[1] * held[2]
    p = old
    for i in range(way.times(name)):
        if way.decay == "l2":
            g = g + strength * p
        before, (m, v) = (m, v), way.moments(m, v, g, raw, beta1, beta2)
        first, second = way.used(before, (m, v), g, beta1)
        if way.corrected_by is not None:
            count = case.step + way.corrected_by + (i if way.counted else 0)
            given = None if count > case.step + way.corrected_by else way.corrections
            c1, c2 = way.correct(given or (1 - beta1**count, 1 - beta2**count), (beta1, beta2), count)
            first, second = first / c1, second / c2
        decay = {"without rate": strength, "l2": 0.0, "none": 0.0}.get(way.decay, rate * strength)
        decay *= clipped if way.decay == "clipped" else 1.0
        moved = rate * way.direction(first, way.root(second, epsilon), g)
        decayed = p - moved if way.decay == "after" else g if way.decay == "gradient" else p
        change = moved + decay * decayed
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


def case_of(scene: Scene) -> OptimizerCase:
    case = scene.case.optimizer
    assert case is not None, "only a case with a step is asked for one"
    return case
