"""What a few samples of rounding say, made into what right implementations may differ by.

In a sample of a few, the error of a single block, or of a whole sum of errors, can be small by chance. So each is mixed
with the average of its kind, none is smaller than one rounding of the result or of the terms that it adds up, and no
drift is smaller than independent errors of the tensor's size make it.

The constants are calibrated as those of `noise_floor` are.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..emulation.formats import FORMATS
from ..graph.axes import AxesOf, kind
from ..graph.steps import Graph
from .measures import DRIFT, Measures, blocks_of, elements, gains_of_rounding, mean_square
from .terms import Terms
from .truth import Truth

PRIOR = 4.0
"""The weight of a kind's average, in samples. 0: a block that is small in all samples makes a false alarm; large: one
wrong head is hidden by the others."""
SMALLEST = 1 / 16
"""The smallest block's mean square, as a part of the whole tensor's. Smaller: false alarms in blocks whose inherited
error is small by chance."""
INDEPENDENT = 2048
"""Rounding errors that are taken for independent in a drift. More: false alarms in tensors of millions of elements, a
few hundredths of whose errors have one sign in any library's products."""
OF_TERMS = 1 / 12
"""Of a sum's squared terms, in squared units of the format: what rounding each of them once makes, if all are just
below a power of two. Larger: mistakes in short sums are hidden; smaller: false alarms where few errors are small by
chance."""
NORMAL = 3.0
"""The fourth moment of a normally distributed number over its variance's square. Smaller: a factor common to all
elements is found less closely everywhere; larger: false alarms where an element is much larger than the others."""


def settle(truth: Truth, names: list[str], total: dict[str, Measures], own: dict[str, Measures], count: int) -> None:
    """Evens out the mean squares of a sample of `count` implementations; in place."""
    unit = FORMATS.get(truth.precision.removeprefix("mixed-"), FORMATS["float32"]).unit
    with ThreadPoolExecutor(2 if truth.large else 1) as pool:
        made_of = dict(zip(names, pool.map(Terms(truth, frozenset(names)), names), strict=True))
    steep = {}
    for name in names:
        right, axes, along = truth(name), truth.graph.axes(name), truth.graph.steps[name].along
        blocks, weights = blocks_of(right, axes, truth(along) if along else None), _weights(truth, name)
        of = truth.size(name)
        held = of + float(weights["all"][0])
        for sizes, terms in ((total[name], None), (own[name], made_of[name])):
            _settle_sizes(sizes, blocks, of, held, unit, count, terms)
        steep[name] = _steepness({"all": blocks["all"], **gains_of_rounding(right)}, weights, made_of[name] or {})
        _not_too_small(total[name])
        if not along:  # an elementwise step's errors are judged value by value, down to the tail of a GELU
            _not_too_small(own[name])
    for found in (total, own):
        _settle_losses(found, truth.graph)
        _settle_drifts(found, truth.graph.axes, steep)
        _settle_key_biases(found)


def _weights(truth: Truth, name: str) -> Measures:
    """The mean square of the weights that an update is the difference of, and of drifts for errors of their size: the
    new weight is rounded, however small its change is. 0 for another answer."""
    if not name.startswith("update:"):
        return {"all": np.zeros(1)}
    old = truth.case.params[name.removeprefix("update:")]
    size = mean_square(old, truth.graph.axes(name))
    return {"all": np.asarray([size]), **gains_of_rounding(truth(name), np.square(old))}


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
        if terms is not None and name in terms:
            one_rounding = one_rounding + narrow**2 * OF_TERMS * terms[name]
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


def _steepness(*profiles: Measures) -> dict[str, float]:
    """How many times their mean square independent errors make of a drift, over what they do where elements are
    normally distributed: the most of errors whose mean squares are in proportion to one of the profiles."""
    found: dict[str, float] = {}
    for squares in profiles:
        for m, value in squares.items():
            if m.startswith(DRIFT) and squares["all"][0] > 0:
                found[m] = max(found.get(m, 0.0), float(value[0] / squares["all"][0]) / NORMAL)
    return found


def _settle_drifts(found: dict[str, Measures], axes: AxesOf, steep: Mapping[str, Mapping[str, float]]) -> None:
    """Drifts are few numbers in a sample: one is at least as large as its kind's, and as independent errors make it.

    Rounding errors are not independent without end: of millions, a few hundredths of their size point the same way in
    any library's products. So no more than `INDEPENDENT` of them are taken for independent. Where one element is much
    larger than the others, as in the cross entropy's gradient of a single prediction, a drift is the error of that one
    element, which can be small in every sample (`steep`)."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for name, measures in found.items():
        for m, value in measures.items():
            if m.startswith(DRIFT):
                ratios.setdefault((kind(name), m), []).append(float(value[0] / measures["all"][0]))
    for name, measures in found.items():
        for m, value in measures.items():
            if m.startswith(DRIFT):
                shared = max(elements(axes(name), m) / INDEPENDENT, 1.0, steep[name].get(m, 0.0))
                average = max(float(np.mean(ratios[kind(name), m])), shared) * measures["all"]
                measures[m] = np.maximum(value, average)


def _settle_key_biases(found: dict[str, Measures]) -> None:
    for name, measures in found.items():
        query = found.get(name.replace(".key.bias", ".query.bias"))
        if query is not None and query is not measures:
            for m, value in measures.items():
                if m in query:
                    measures[m] = np.maximum(value, query[m])
