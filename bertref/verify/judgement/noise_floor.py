"""The noise floor, by which every error is judged: how large the errors of correct implementations are.

Several emulated implementations (`emulation.variants.arithmetics`) compute the case. Their error against float64 is
sampled twice at every answer, measure by measure: in total, and as what the answer's own step added, from the same
recorded answers as the subject has. What a sample of a few says by chance, `settling` evens out.

The constants were chosen together with `limit.LIMIT`, by `tests/verify/calibrate.py`: 480 runs of right
implementations, seeds from 1,000,000 on. After a change of one of them the calibration is run again: where the floor
gets lower, right implementations exceed the limit; where it gets higher, small mistakes stay below it
(`python -m tests.verify.mistakes`).
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..emulation.rounding import Arithmetic
from ..emulation.simulate import simulate
from ..emulation.variants import arithmetics
from ..graph.axes import split
from ..graph.replay import Replay
from ..graph.steps import Graph
from ..records import Arrays
from . import cache
from .measures import DRIFT, Measures, blocks_of, compared, gains_of_rounding
from .settling import settle
from .truth import Truth

SAMPLES = 6
"""Emulated implementations a case. Fewer: the floor of a small block depends on chance; more: a check takes longer."""
SPREAD = 2.0
"""Standard deviations of a sample that are added to its mean. 0: false alarms in cases of large scores, whose errors
hang on few large terms."""


Samples = tuple[dict[str, list[Measures]], dict[str, list[Measures]]]
"""Total and own errors of each emulated implementation, by answer."""


@dataclass(frozen=True)
class NoiseFloor:
    """The mean squares to compare with: `total` and `own` by answer and measure."""

    precision: str
    total: Mapping[str, Measures]
    own: Mapping[str, Measures]


def judged_names(graph: Graph, recorded: Collection[str]) -> list[str]:
    """The recorded answers in the order of the computation."""
    return [step.name for step in graph if step.name in recorded]


def compare_with(truth: Truth, answers: Mapping[str, Any], name: str, replay: Replay) -> tuple[Measures, Measures]:
    """Measures of an answer's total error and of the error that its step added."""
    axes = truth.graph.axes(name)
    found = axes.clean(np.asarray(answers[name]))
    return compared(found, truth(name), axes, drift=False), own_error(truth.graph, answers, name, replay)


def own_error(graph: Graph, answers: Mapping[str, Any], name: str, replay: Replay) -> Measures:
    """Measures of the error that an answer's step added."""
    axes, along = graph.axes(name), graph.steps[name].along
    guide = replay.input(along) if along else None
    return compared(axes.clean(np.asarray(answers[name])), replay(name), axes, guide, drift=True)


def noise_floor(
    truth: Truth,
    recorded: Collection[str],
    *,
    composed: frozenset[str] = frozenset(),
    apart: frozenset[str] = frozenset(),
) -> NoiseFloor:
    """`sample`, or what it gave when it was asked the same before."""

    def draw() -> cache.Sample:
        drawn = sample(truth, recorded, composed=composed, apart=apart)
        return dict(drawn.total), dict(drawn.own)

    name = cache.key(truth.case, truth.precision, recorded, SAMPLES, sorted(composed), sorted(apart))
    return NoiseFloor(truth.precision, *cache.kept(name, draw))


def sample(
    truth: Truth,
    recorded: Collection[str],
    *,
    composed: frozenset[str] = frozenset(),
    apart: frozenset[str] = frozenset(),
    count: int | None = None,
) -> NoiseFloor:
    """The noise floor for a subject of `truth.precision` that gave the answers in `recorded` and composes the parts
    `composed` (`variants.arithmetics`). What it gave from another run (`Answers.apart`) is sampled so: its steps are
    replayed from what another implementation recorded."""
    names = judged_names(truth.graph, recorded)
    if count is None:
        count = 2 if truth.large else SAMPLES
    samples: Samples = ({name: [] for name in names}, {name: [] for name in names})
    chosen = arithmetics(truth.precision, count, composed=composed)
    runs = [_runs(chosen, i, apart) for i in range(count)]
    # two at a time where that pays: what is drawn is each one's own, so the sample doesn't depend on it
    with ThreadPoolExecutor(2 if truth.large else 1) as pool:
        for drawn in pool.map(lambda some: _errors(truth, some, names), runs):
            for name, both in drawn.items():
                for into, found in zip(samples, both, strict=True):
                    into[name].append(found)
    total, own = ({name: _floor(found) for name, found in by.items()} for by in samples)
    settle(truth, names, total, own, count)
    return NoiseFloor(truth.precision, total, own)


def _runs(chosen: list[Arithmetic], i: int, apart: frozenset[str]) -> dict[str, Arithmetic]:
    """Who computes each part of the i-th sample: forward values (""), gradients, updates; the next implementation what
    is from a run of its own. Each takes part in every role once."""
    found = {}
    for prefix in ("", "grad", "update"):
        i += prefix in apart
        found[prefix] = chosen[i % len(chosen)]
    return found


def _errors(truth: Truth, runs: Mapping[str, Arithmetic], names: list[str]) -> dict[str, tuple[Measures, Measures]]:
    """Total and own errors of one sample, by answer."""
    answers: Arrays = {}
    for arithmetic in dict.fromkeys(runs.values()):
        answers |= simulate(truth.case, arithmetic, [name for name in names if runs[split(name)[0]] == arithmetic])
    replay = Replay(truth.graph, answers)
    return {name: compare_with(truth, answers, name, replay) for name in names}


def _floor(found: list[Measures]) -> Measures:
    """The mean of a few samples; of a block's size, so much more as they differ: where an error hangs on few large
    terms, as in a softmax of large scores, the sample says little of what the next implementation does."""
    floor = {}
    for m in found[0]:
        if not all(m in one for one in found):
            continue
        drawn = np.stack([one[m] for one in found])
        floor[m] = drawn.mean(axis=0)
        if not m.startswith(DRIFT) and m != "bin":
            floor[m] = floor[m] + SPREAD * drawn.std(axis=0)
    return floor


def for_larger(truth: Truth, replay: Replay, name: str, floor: Measures) -> Measures:
    """`floor`, of own errors, for a subject whose own inputs make more of an answer than the reference's do.

    A step's rounding is in proportion to what it computes with. Where the subject's inputs are amplified rounding, as
    gradients are that come through a softmax of large scores, one position may have a hundred times the gradient that
    it has in the reference. What exceeds the reference's size gets the tensor's own share of error; so does a gain
    along few large elements.
    """
    axes, along = truth.graph.axes(name), truth.graph.steps[name].along

    def sizes(of: Replay | Truth, guide: Any) -> Measures:
        return blocks_of(of(name), axes, guide)

    given = sizes(replay, replay.input(along) if along else None)
    right = sizes(truth, truth(along) if along else None)
    share = float(floor["all"][0]) / max(truth.size(name), np.finfo(np.float64).tiny)
    more, less = gains_of_rounding(replay(name)), gains_of_rounding(truth(name))
    found = {}
    for m, value in floor.items():
        if m.startswith(DRIFT):
            found[m] = value * (1 + share * np.maximum(given["all"] - right["all"], 0.0) / floor["all"])
            if m in more and m in less:
                found[m] = found[m] + share * np.maximum(more[m] - less[m], 0.0)
        else:
            found[m] = value + share * np.maximum(given[m] - right[m], 0.0) if m in given else value
    return found


def ratios(found: Measures, floor: Measures) -> dict[str, Any]:
    """Root mean square over the floor's, block by block; NaN where a block isn't judged."""
    with np.errstate(invalid="ignore"):
        return {m: np.sqrt(value / floor[m]) for m, value in found.items() if m in floor}
