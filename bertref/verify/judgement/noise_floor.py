"""The noise floor, by which every error is judged: how large the errors of correct implementations are.

Several emulated implementations (`emulation.variants.arithmetics`) compute the case. Their error against float64 is
sampled twice at every answer, measure by measure: in total, and as what the answer's own step added, from the same
recorded answers as the subject has. In a sample of a few, a single block's error can be small by chance; so each is
mixed with the average of its kind, and none is smaller than one rounding of the result.

The constants were chosen together with `limit.LIMIT`, by `tests/verify/calibrate.py`: 480 runs of right
implementations, seeds from 1,000,000 on. After a change of one of them the calibration is run again: where the floor
gets lower, right implementations exceed the limit; where it gets higher, small mistakes stay below it
(`python -m tests.verify.mistakes`).
"""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np

from ...optim import Optimizer
from ..emulation.formats import FORMATS
from ..emulation.rounding import Arithmetic
from ..emulation.simulate import held_params, simulate
from ..emulation.variants import arithmetics
from ..graph.axes import AxesOf, kind, split
from ..graph.replay import Replay
from ..graph.steps import Graph
from ..records import Arrays, Case
from . import cache
from .measures import DRIFT, Measures, blocks_of, compared, elements, gains_of_rounding, mean_square, size_blocks

SAMPLES = 6
"""Emulated implementations a case. Fewer: the floor of a small block depends on chance; more: a check takes longer."""
PRIOR = 4.0
"""The weight of a kind's average, in samples. 0: a block that is small in all samples makes a false alarm; large: one
wrong head is hidden by the others."""
SMALLEST = 1 / 16
"""The smallest block's mean square, as a part of the whole tensor's. Smaller: false alarms in blocks whose inherited
error is small by chance."""
SPREAD = 2.0
"""Standard deviations of a sample that are added to its mean. 0: false alarms in cases of large scores, whose errors
hang on few large terms."""
INDEPENDENT = 2048
"""Rounding errors that are taken for independent in a drift. More: false alarms in tensors of millions of elements, a
few hundredths of whose errors have one sign in any library's products."""
LARGE = 50_000_000
"""From so many parameters on, two samples are enough, because every block has thousands of elements, and threads pay.
Larger: BERT-Base takes three times as long."""


Samples = tuple[dict[str, list[Measures]], dict[str, list[Measures]]]
"""Total and own errors of each emulated implementation, by answer."""


@dataclass(frozen=True)
class NoiseFloor:
    """The mean squares to compare with: `total` and `own` by answer and measure."""

    precision: str
    total: Mapping[str, Measures]
    own: Mapping[str, Measures]


def is_large(case: Case) -> bool:
    """Whether its arrays are so large that threads pay."""
    return sum(p.size for p in case.params.values()) >= LARGE


class Truth:
    """The right answers of a case for weights as a precision holds them, made when they are asked for."""

    def __init__(self, case: Case, precision: str) -> None:
        self.case, self.precision = case, precision
        self.params = held_params(case, precision)
        self.graph = Graph(case, self.params)
        self._replay = Replay(self.graph, {})
        self._making = RLock()

    def __call__(self, name: str) -> Any:
        with self._making:  # whoever comes second finds it made
            return self._replay(name)

    def with_optimizer(self, optimizer: Optimizer) -> "Truth":
        """The same answers, with the updates of another optimiser."""
        with self._making:
            other = copy(self)
            other._replay = self._replay.with_optimizer(optimizer)
        return other


class Terms:
    """The squared terms that a sum adds up: what its rounding is in proportion to, however much of them cancels.

    A gradient of exactly 0, as that of a softmax over a single key is, and a channel that happens to be small have the
    rounding of their terms all the same, and in a few samples it can be small there by chance. Steps that `names` lack
    are gone through: an implementation rounds them, too, whoever records them or not.
    """

    def __init__(self, truth: Truth, names: Collection[str]) -> None:
        self._truth, self._names = truth, names
        self._graph = Graph(truth.case, _Squares(truth.params))

    def __call__(self, name: str) -> Measures | None:
        """Their mean, block by block; None for an answer that isn't a sum."""
        step = self._graph.steps[name]
        whole = all(one in self._names for one in step.inputs)
        # elementwise steps are judged value by value; a parameter's gradient of recorded factors has many terms
        if step.terms is None or step.along or (whole and self._graph.axes(name).counts is None):
            return None
        return size_blocks(self._squares(name), self._graph.axes(name))

    def _squares(self, name: str) -> Any:
        step = self._graph.steps[name]
        if step.terms is None:
            return np.square(self._truth(name))
        inputs = (np.square(self._truth(one)) if one in self._names else self._squares(one) for one in step.inputs)
        return self._graph.axes(name).clean(step.terms(*inputs))


class _Squares(Mapping[str, Any]):
    """The squares of parameters, made when they are looked at."""

    def __init__(self, params: Arrays) -> None:
        self._params = params

    def __getitem__(self, name: str) -> Any:
        return np.square(self._params[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)


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

    name = cache.key(truth.case, truth.precision, recorded, SAMPLES, PRIOR, sorted(composed), sorted(apart))
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
    case, graph = truth.case, truth.graph
    names = judged_names(graph, recorded)
    if count is None:
        count = 2 if is_large(case) else SAMPLES
    samples: Samples = ({name: [] for name in names}, {name: [] for name in names})
    chosen = arithmetics(truth.precision, count, composed=composed)
    runs = [_runs(chosen, i, apart) for i in range(count)]
    # two at a time where that pays: what is drawn is each one's own, so the sample doesn't depend on it
    with ThreadPoolExecutor(2 if is_large(case) else 1) as pool:
        for drawn in pool.map(lambda some: _errors(truth, some, names), runs):
            for name, both in drawn.items():
                for into, found in zip(samples, both, strict=True):
                    into[name].append(found)
    total, own = ({name: _floor(found) for name, found in by.items()} for by in samples)
    _settle(truth, names, total, own, count)
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


def _settle(truth: Truth, names: list[str], total: dict[str, Measures], own: dict[str, Measures], count: int) -> None:
    """Mixes every block with the average of its kind, and makes none smaller than one rounding; in place."""
    unit = FORMATS.get(truth.precision.removeprefix("mixed-"), FORMATS["float32"]).unit
    terms = Terms(truth, frozenset(names))
    with ThreadPoolExecutor(2 if is_large(truth.case) else 1) as pool:
        made_of = dict(zip(names, pool.map(terms, names), strict=True))
    for name in names:
        right, axes = truth(name), truth.graph.axes(name)
        along = truth.graph.steps[name].along
        blocks = blocks_of(right, axes, truth(along) if along else None)
        of = _size(truth, name)
        held = of
        if name.startswith("update:"):  # new minus old: the new weight is rounded, however small its change is
            old = truth.case.params[name.removeprefix("update:")].reshape(-1)
            held += float(np.dot(old, old)) / max(old.size, 1)
        for sizes, squared in ((total[name], None), (own[name], made_of[name])):
            _settle_sizes(sizes, blocks, of, held, unit, count, squared)
        _not_too_small(total[name])
        if not along:  # an elementwise step's errors are judged value by value, down to the tail of a GELU
            _not_too_small(own[name])
    for found in (total, own):
        _settle_losses(found, truth.graph)
        _settle_drifts(found, truth.graph.axes)
        _settle_key_biases(found)


def _size(truth: Truth, name: str) -> float:
    """Mean square of an answer where it counts. The key bias can't change anything: its gradient, 0, is as exact as the
    query bias's is, and so it has that one's size."""
    scale = name.replace(".key.bias", ".query.bias")
    return mean_square(truth(scale), truth.graph.axes(scale))


def _settle_sizes(
    found: Measures, blocks: Measures, of: float, held: float, unit: float, count: int, terms: Measures | None
) -> None:
    """`of` is the mean square of the answer, `held` that of the number whose rounding it shows, `terms` the sums of
    the squared terms that the answer is made of, if it is made of any."""
    narrow = min(unit, FORMATS["float32"].unit)
    overall = float(found["all"][0])
    share = overall / of if of > 0 else 0.0
    for name, value in found.items():
        if name.startswith(DRIFT):
            continue
        size = blocks.get(name)
        average = share * size if size is not None else np.full(value.shape, overall)
        if terms is not None and name in terms and terms["all"][0] > 0:
            average = np.maximum(average, overall / terms["all"][0] * terms[name])
        mixed = (count * value + PRIOR * average) / (count + PRIOR) if name != "bin" else value
        one_rounding = narrow**2 * held + (0.0 if size is None else unit**2 / 3 * size)
        found[name] = np.maximum(np.maximum(mixed, one_rounding), np.finfo(np.float64).tiny)


def _not_too_small(found: Measures) -> None:
    """What a tensor inherits, or adds up, depends on few errors: a block's error that is small in one implementation
    can be large in another."""
    for name, value in found.items():
        found[name] = np.maximum(value, SMALLEST * found["all"][0])


def _settle_losses(found: dict[str, Measures], graph: Graph) -> None:
    """A loss is one number, and a mean of log-probabilities: its error is judged as that of one of its logits."""
    for loss in (name for name in graph.steps if name.startswith("loss.") and name in found):
        for name in graph.steps[loss].inputs:
            if name in found:
                found[loss]["all"] = found[loss]["all"] + found[name]["all"]


def _settle_drifts(found: dict[str, Measures], axes: AxesOf) -> None:
    """Drifts are few numbers in a sample: one is at least as large as its kind's, and as independent errors make it.

    Rounding errors are not independent without end: of millions, a few hundredths of their size point the same way in
    any library's products. So no more than `INDEPENDENT` of them are taken for independent."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for name, measures in found.items():
        for m, value in measures.items():
            if m.startswith(DRIFT):
                ratios.setdefault((kind(name), m), []).append(float(value[0] / measures["all"][0]))
    for name, measures in found.items():
        for m, value in measures.items():
            if m.startswith(DRIFT):
                shared = max(elements(axes(name), m) / INDEPENDENT, 1.0)
                average = max(float(np.mean(ratios[kind(name), m])), shared) * measures["all"]
                measures[m] = np.maximum(value, average)


def _settle_key_biases(found: dict[str, Measures]) -> None:
    for name, measures in found.items():
        query = found.get(name.replace(".key.bias", ".query.bias"))
        if query is not None and query is not measures:
            for m, value in measures.items():
                if m in query:
                    measures[m] = np.maximum(value, query[m])


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
    share = float(floor["all"][0]) / max(_size(truth, name), np.finfo(np.float64).tiny)
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
