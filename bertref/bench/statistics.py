"""Medians, and the ratio of two sides that ran in turn.

The sides alternate, so what disturbs the machine for a while disturbs both runs of a round. The ratio is therefore
taken within each round, and what is reported is the median, the smallest and the largest of these.
"""

import statistics
from collections.abc import Sequence

Summary = dict[str, float]


def summary(values: Sequence[float]) -> Summary:
    """median, min and max. At least one value is needed."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(ours: Sequence[float], peer: Sequence[float]) -> Summary:
    """How many times as fast ours is: peer's seconds over ours, round by round. Both sides ran in every round."""
    return summary([theirs / own for own, theirs in zip(ours, peer, strict=True)])
