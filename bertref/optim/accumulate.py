"""Gradients of one update gathered over several chunks of its batch."""

from collections.abc import Mapping

from ..arrays import Array


def accumulate(total: Mapping[str, Array] | None, grads: Mapping[str, Array]) -> dict[str, Array]:
    """`total` + `grads`, name by name; `total` is None before the first chunk.

    The sum equals the whole batch's gradient only if each chunk's loss was divided by the denominator of
    the whole batch: a mean of means gives chunks with few masked tokens too much weight. Raises `KeyError`
    if the two dicts don't hold the same names.
    """
    if total is None:
        return dict(grads)
    if total.keys() != grads.keys():
        raise KeyError(f"gradients of different parameters: {sorted(total.keys() ^ grads.keys())}")
    return {name: total[name] + grads[name] for name in total}
