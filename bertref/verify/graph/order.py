"""In which order gradients are made: those that others are made from first.

Part of the network by part, in a part tensor by tensor: what is farther from the end comes later; of those that are as
far, what is nearer to the beginning comes first, so that a branch is finished before its sibling begins.
"""

from collections.abc import Iterator, Mapping, Sequence

from ...row import TensorRow


def backward_order(table: Sequence[TensorRow]) -> Iterator[tuple[TensorRow, ...]]:
    """The rows of each part of the network, parts and rows in the order of their gradients."""
    parts: dict[str, list[TensorRow]] = {}
    for row in table:
        parts.setdefault(row.part, []).append(row)
    part_of = {row.name: row.part for row in table}
    reads = {
        part: [part_of[name] for row in some for name in row.inputs if part_of[name] != part]
        for part, some in parts.items()
    }
    for part in _backwards(reads):
        inside = {row.name: row for row in parts[part]}
        within = {row.name: [name for name in row.inputs if name in inside] for row in inside.values()}
        yield tuple(inside[name] for name in _backwards(within))


def _backwards(reads: Mapping[str, Sequence[str]]) -> list[str]:
    """The names by their longest way to the end, then from the beginning. What a name reads stands before it."""
    depth: dict[str, int] = {}
    for name, inputs in reads.items():
        depth[name] = 1 + max((depth[one] for one in inputs), default=0)
    distance = dict.fromkeys(reads, 0)
    for name in reversed(list(reads)):
        for one in reads[name]:
            distance[one] = max(distance[one], distance[name] + 1)
    return sorted(reads, key=lambda name: (distance[name], depth[name]))
