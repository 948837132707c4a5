"""How gradients may be clipped: by what number, of which of them, together or each by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...graph.gradients import Gradients
from ...records import OptimizerCase

Values = Any
Clipped = Callable[[str, Values], Values]
"""From a parameter's name and its gradient, or any part of that, the clipped one."""
Clip = Callable[[OptimizerCase, Gradients], Clipped]
Norm = Callable[[Gradients], float]

WORDS = "bert.embeddings.word_embeddings.weight"


def unclipped(case: OptimizerCase, grads: Gradients) -> Clipped:
    """As they are."""
    return lambda name, g: g


def scaled_by(norm_of: Norm) -> Clip:
    """All by one factor, of which this is the norm."""

    def clip(case: OptimizerCase, grads: Gradients) -> Clipped:
        factor = _factor(case, norm_of(grads))
        return lambda name, g: g * factor

    return clip


def to_limit(limit: float) -> Clip:
    """By their Euclidean norm, to another limit than the case's."""
    return lambda case, grads: scaled_by_length(replace(case, clip_norm=limit), grads)


def each(case: OptimizerCase, grads: Gradients) -> Clipped:
    """Each by its own norm."""
    return lambda name, g: g * _factor(case, grads.measured(name, _squares) ** 0.5)


def in_groups(first: Callable[[str], bool], *, others: bool) -> Clip:
    """Some by their own norm; the others by theirs, or not at all."""

    def clip(case: OptimizerCase, grads: Gradients) -> Clipped:
        factor = _factor(case, _length_of(grads, first))
        other = _factor(case, _length_of(grads, lambda name: not first(name))) if others else 1.0
        return lambda name, g: g * (factor if first(name) else other)

    return clip


def by_value(case: OptimizerCase, grads: Gradients) -> Clipped:
    """Each element by itself."""
    limit = case.clip_norm
    return unclipped(case, grads) if limit is None else lambda name, g: np.clip(g, -limit, limit)


def _factor(case: OptimizerCase, norm: float) -> float:
    return 1.0 if case.clip_norm is None else min(case.clip_norm / (norm + case.clip_epsilon), 1.0)


# -- norms -------------------------------------------------------------------------------------------------------------


def length(grads: Gradients) -> float:
    """The Euclidean norm of all together."""
    return _length_of(grads, lambda name: True)


def length_without(*parts: str) -> Norm:
    """The norm over those whose name has none of these in it."""
    return lambda grads: _length_of(grads, lambda name: not any(part in name for part in parts))


def length_with_twice(grads: Gradients) -> float:
    """The norm, in which the tied table counts twice."""
    return float(np.hypot(length(grads), _length_of(grads, lambda name: name == WORDS)))


def squared_length(grads: Gradients) -> float:
    """What the norm is the root of."""
    return length(grads) ** 2


def length_in_float32(grads: Gradients) -> float:
    """The norm as a loop sums it up in float32, square after square: a sum that is large already loses small ones."""
    total = np.float32(0)
    for name in grads:
        total = _added_in_order(total, grads[name])
    return float(np.sqrt(total))


def length_of_float32_sums(grads: Gradients) -> float:
    """The same, but for each gradient by itself, then of these sums."""
    return float(np.sqrt(sum(grads.measured(name, _sum_in_order) for name in grads)))


def largest(grads: Gradients) -> float:
    """The largest absolute value."""
    return max(grads.measured(name, _top) for name in grads)


def largest_length(grads: Gradients) -> float:
    """The largest of all norms."""
    return max(_length_of(grads, name.__eq__) for name in grads)


def absolute(grads: Gradients) -> float:
    """The sum of absolute values."""
    return sum(grads.measured(name, _sum) for name in grads)


scaled_by_length = scaled_by(length)


def _length_of(grads: Gradients, counts: Callable[[str], bool]) -> float:
    return float(np.sqrt(sum(grads.measured(name, _squares) for name in grads if counts(name))))


def _squares(g: Values) -> float:
    return float(np.sum(np.square(g)))


def _sum_in_order(g: Values) -> float:
    return float(_added_in_order(np.float32(0), g))


def _added_in_order(total: np.float32, g: Values) -> np.float32:
    squares = np.square(np.asarray(g, np.float32).reshape(-1))
    return np.float32(np.add.accumulate(np.concatenate([[total], squares]), dtype=np.float32)[-1])


def _top(g: Values) -> float:
    return float(np.max(np.abs(g)))


def _sum(g: Values) -> float:
    return float(np.sum(np.abs(g)))
