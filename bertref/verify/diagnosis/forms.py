"""What a wrong tensor is beside the right one: a multiple of it, it and something more, it in another order, another
function of the same input. Those with the fewest fitted numbers come first."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...heads import labelled
from ..graph.axes import split
from .beside import LARGEST, Beside
from .orders import reordered
from .trials import SHARE

Values = Any
Way = Callable[[Beside], Iterator[tuple[str, str]]]

CLEAR = 1000.0
"""Of a few numbers, an error so many times rounding. Smaller: one of the constants is near to any factor."""
SMOOTH = 64
"""Elements, at least, whose values lie between those of their neighbours. Fewer: so do numbers by chance."""
PLAIN = {"-1": -1.0, "2": 2.0, "1/2": 0.5}
"""Constants that are what their names say."""
NEARLY = 1e-3
"""From 1: so little is hidden by five digits."""
SIGNS = 0.05
"""Of the elements, at least, that have the other sign. Fewer: of the smallest rounding turns it."""


def form(seen: Beside) -> tuple[str, str] | None:
    """A kind of form and what the tensor is, in words; None: it is none of these."""
    ways: list[Way] = [_multiple, _another, _sign, _and_known]
    if seen.right.size <= LARGEST:
        ways += [reordered, _and_offsets, _multiples, _curve]
    found = (seen.seen_as(partial(_first, way)) for way in ways)
    return next((one for one in found if one is not None), None)


def _first(way: Way, seen: Beside) -> tuple[str, str] | None:
    return next(way(seen), None)


def multiple(seen: Beside) -> tuple[str, str] | None:
    """That it is so many times what it should be, or 0; None: it isn't."""
    return seen.seen_as(partial(_first, _multiple))


def constants(seen: Beside) -> dict[str, float]:
    """Factors that often come from somewhere, by what they are called."""
    case, batch = seen.scene.case, seen.scene.case.batch
    sizes = {"the head size": case.config.head_size, "the number of heads": case.config.num_attention_heads,
             "the hidden size": case.config.hidden_size}  # fmt: skip
    counts = {
        "the number of texts": len(batch), "the length of the texts": batch.input_ids.shape[1],
        "the number of positions": batch.input_ids.size, "the number of tokens": int(batch.attention_mask.sum()),
        "the number of predictions": int((batch.masked_lm_weights > 0).sum()),
        "the number of labels": case.num_labels if labelled(case.heads) else 1,
    }  # fmt: skip
    found: dict[str, float] = {}
    for words, n in (sizes | counts).items():
        if n > 1:
            found |= {words: float(n), f"1/{words}": 1 / n}
    for words, n in ("2", 2), *sizes.items():
        found |= {f"sqrt({words})": n**0.5, f"1/sqrt({words})": n**-0.5}
    return found


def _ratio(of: Values, to: Values) -> float:
    """The factor by which `to` comes nearest to `of`."""
    size = float(np.sum(to * to))
    return float(np.sum(of * to)) / size if size > 0 else 0.0


def _multiple(seen: Beside) -> Iterator[tuple[str, str]]:
    """With one factor for all. A few numbers are said to be so only with a factor that is a constant."""
    if not np.any(seen.found[seen.inside]):
        yield "factor", "0, which it should not be"
        return
    if seen.before < CLEAR and not seen.fits(1):
        return
    named = PLAIN | constants(seen)
    for base, apart in _bases(seen):
        right = seen.right - base
        factor = _ratio((seen.found - base)[seen.inside], right[seen.inside])
        near = [words for words, value in named.items() if abs(value - factor) <= SHARE * abs(factor - 1)]
        near = [words for words in near if any(
            seen.explained(base + value * right) for value in (named[words], float(np.float32(named[words])))
        )]  # fmt: skip
        if near or (seen.fits(1) and seen.explained(base + factor * right)):
            said = ", ".join(words for words in near if words not in PLAIN)
            yield "factor", f"{_shown(factor)} times what it should be{apart}" + (f"; near to {said}" if said else "")


def _shown(*factors: float) -> str:
    """A factor, or the ends of a range; where all are nearly 1, how far they are from that."""
    nearly = all(abs(factor - 1) < NEARLY for factor in factors)
    ends = dict.fromkeys(f"1{factor - 1:+.2g}" if nearly else f"{factor:.5g}" for factor in factors)
    return " to ".join(ends)


def _bases(seen: Beside) -> Iterator[tuple[Values, str]]:
    """What isn't multiplied: nothing, or the bias that is added last; in words behind "what it should be"."""
    yield 0.0, ""
    row = seen.scene.rows.get(seen.name)
    for name, _ in row.parameters if row else ():
        if name.endswith(".bias"):
            yield seen.scene.params[name], ", but for the bias"


def _known(seen: Beside) -> Iterator[tuple[str, Values]]:
    """What was there when the tensor was made, of the same shape: recorded tensors, its parameter, the moments."""
    name, replay, case = seen.name, seen.scene.replay, seen.scene.case
    for step in replay.graph:
        if step.name == name:
            break
        alike = step.name in replay.recorded and replay.graph.axes(step.name).shape == seen.shape
        if alike and split(step.name)[0] != "update":
            yield step.name, seen.cut(seen.axes.clean(replay.input(step.name)))
    parameter = split(name)[1]
    if parameter in case.params:
        yield parameter, seen.cut(case.params[parameter])
        moments = {} if case.optimizer is None else case.optimizer.moments
        yield from ((one, seen.cut(value)) for one, value in moments.items() if one.rpartition("/")[0] == parameter)


def _another(seen: Beside) -> Iterator[tuple[str, str]]:
    if seen.fits(1):
        yield from (("another", f"{name}, and should not be") for name, value in _known(seen) if seen.explained(value))


def _sign(seen: Beside) -> Iterator[tuple[str, str]]:
    turned = np.count_nonzero((seen.right * seen.found < 0) & seen.inside) / seen.size
    if seen.fits(1) and turned >= SIGNS and seen.explained(np.copysign(seen.right, seen.found)):
        yield "sign", f"what it should be, with the other sign at {turned:.0%} of the elements"


def _and_known(seen: Beside) -> Iterator[tuple[str, str]]:
    """A known tensor, or a known vector at every token, so many times."""
    if not seen.fits(1):
        return
    for name, value in (*_known(seen), *_vectors(seen)):
        term = np.where(seen.inside, value, 0.0)
        times = _ratio(seen.error, term)
        if times and seen.explained(seen.right + times * term):
            yield "added", f"what it should be and {times:.4g} times {name}"


def _vectors(seen: Beside) -> Iterator[tuple[str, Values]]:
    """Parameters of as many elements as the tensor has channels, if the error is the same at every token."""
    error, others = np.where(seen.inside, seen.error, 0.0), tuple(range(seen.right.ndim - 1))
    mean = error.sum(axis=others) / np.maximum(seen.inside.sum(axis=others), 1)
    if others and seen.left(seen.right + mean) <= SHARE:
        params = seen.scene.case.params.items()
        yield from ((name, value) for name, value in params if value.shape == mean.shape)


def _multiples(seen: Beside) -> Iterator[tuple[str, str]]:
    """With a factor for each row, head, token, channel, ..."""
    for base, apart in _bases(seen):
        right, found = (np.where(seen.inside, x - base, 0.0) for x in (seen.right, seen.found))
        for by in seen.groupings():
            size, both = by.sums(right * right), by.sums(right * found)
            factors = np.where(size > 0, both / np.where(size > 0, size, 1.0), 1.0)
            made = base + (factors * right.reshape(by.shape)).reshape(right.shape)
            if seen.fits(by.number) and seen.explained(made):
                some = factors[size > 0]
                ends = _shown(some.min(), some.max())
                yield "factors", (f"what it should be{apart}, with a factor for each {by.label}, "
                                  f"{'from ' if ' to ' in ends else ''}{ends}")  # fmt: skip


def _and_offsets(seen: Beside) -> Iterator[tuple[str, str]]:
    """With a number for each row, head, token, channel, ..., that is added to all its elements."""
    error = np.where(seen.inside, seen.error, 0.0)
    for by in seen.groupings():
        if seen.fits(by.number):
            there = by.sums(seen.inside)
            offsets = by.sums(error) / np.maximum(there, 1)
            if seen.explained((seen.right.reshape(by.shape) + offsets).reshape(seen.right.shape)):
                some = offsets[there > 0]
                yield "offsets", (f"what it should be and a number for each {by.label}, "
                                  f"from {some.min():.5g} to {some.max():.5g}")  # fmt: skip


def _curve(seen: Beside) -> Iterator[tuple[str, str]]:
    """Another function of the step's input, element by element; on the way back, times the same gradient. Each second
    value lies between those of its neighbours, by input: that explains nine tenths of the error, and not all."""
    step = seen.scene.replay.graph.steps[seen.name]
    if not step.along:
        return
    x, carried = seen.scene.replay.input(step.along)[seen.inside], np.ones(seen.size)
    if split(seen.name)[0]:
        carried = seen.scene.replay.input(step.inputs[0])[seen.inside]
    use = np.abs(carried) >= np.median(np.abs(carried))
    if np.count_nonzero(use) < SMOOTH or not carried[use].all():
        return
    order = np.argsort(x[use], kind="stable")
    x, carried, error = (one[use][order] for one in (x, carried, seen.error[seen.inside]))
    between = carried[1::2] * np.interp(x[1::2], x[::2], error[::2] / carried[::2])
    if np.sum(np.square(error[1::2] - between)) <= SHARE**2 * np.sum(np.square(error[1::2])):
        worst = int(np.argmax(np.abs(error)))
        times = f", times {step.inputs[0]}" if split(seen.name)[0] else ""
        right, found = (one[seen.inside][use][order][worst] / carried[worst] for one in (seen.right, seen.found))
        yield "curve", (f"another function of {step.along}, element by element{times}: "
                        f"at {x[worst]:.4g} it is {found:.4g}, and should be {right:.4g}")  # fmt: skip
