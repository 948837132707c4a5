"""Integers that a graph reads otherwise than it made them: another scale, another zero, or a scale that is infinite.

    QuantizeLinear(x, 0.02, 128) -> q        DequantizeLinear(q, 0.021, 128) -> x'

The graph says so itself. What its step would have made, had the integers been read as they were made, tells whether
that is all that is wrong there.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .graph import ReadGraph, Values
from .nodes import input_at
from .quantised import scale_and_zero, scales

SCALE, ZERO, INFINITE = "scale", "zero", "infinite"


class Misreading(NamedTuple):
    """One kind of it in a step, in words; `pairs` are the values that DequantizeLinear makes of integers which are
    concerned, `product` whether a product of integers is."""

    kind: str
    words: str
    pairs: tuple[str, ...]
    product: bool = False


def of_pairs(graph: ReadGraph, names: Iterable[str], owners: Mapping[str, str]) -> Iterator[Misreading]:
    """In the pairs of QuantizeLinear and DequantizeLinear that make some of these values. `owners`: value -> tensor."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        back = graph.maker.get(name)
        if back is None or back.op_type != "DequantizeLinear" or graph.made_by(back.input[0]) != "QuantizeLinear":
            continue
        (scale, zero), (own, own_zero) = (scale_and_zero(graph, node) for node in (graph.maker[back.input[0]], back))
        if scale is None or own is None or scale.size > 1 or own.size > 1:
            continue
        if not np.isfinite(scale).all():
            found.setdefault((INFINITE, ""), []).append(name)
            continue
        if own.item() != scale.item():
            words = f"{(own / scale).item():.5g} times the one by which they were made"
            found.setdefault((SCALE, words + _owner(graph, own.item(), owners)), []).append(name)
        before, after = (0 if one is None else int(one.item()) for one in (zero, own_zero))
        if before != after:
            found.setdefault((ZERO, f"{after}, and was {before}"), []).append(name)
    yield from (Misreading(kind, words, tuple(pairs)) for (kind, words), pairs in found.items())


def of_product(graph: ReadGraph, product: Any, owners: Mapping[str, str]) -> Iterator[Misreading]:
    """In a product of integers that DynamicQuantizeLinear makes when they are known."""
    if product is None or product.op_type != "MatMulInteger":
        return
    made = graph.maker.get(product.input[0])
    if made is None or made.op_type != "DynamicQuantizeLinear":
        return
    _, scale, zero = (str(one) for one in made.output)
    used = input_at(product, 2)
    if used != zero:
        words = "that of other integers" + _made_of(graph, used, owners) if used else "left out"
        yield Misreading(ZERO, words, (), True)
    other = scale_used(graph, product)
    if other and other != scale:
        yield Misreading(SCALE, "that of other integers" + _made_of(graph, other, owners), (), True)


def scale_used(graph: ReadGraph, product: Any) -> str:
    """The name of the scale of a product's first factor by which its result is multiplied; "" if that isn't known."""
    scaling = graph.maker.get(scales(graph, product))
    names = [] if scaling is None else [str(one) for one in scaling.input if graph.constant(one) is None]
    return names[0] if len(names) == 1 and graph.made_by(names[0]) == "DynamicQuantizeLinear" else ""


def read_again(graph: ReadGraph, name: str, value: Values, kind: str) -> Values:
    """What DequantizeLinear would have made, had it the scale or the zero by which the integers were made."""
    back = graph.maker[name]
    (scale, zero), (own, own_zero) = (scale_and_zero(graph, node) for node in (graph.maker[back.input[0]], back))
    assert scale is not None
    assert own is not None
    before, after = (0.0 if one is None else float(one.item()) for one in (zero, own_zero))
    integers = np.rint(value / float(own.item()) + after)
    return np.asarray((integers - after) * scale.item() if kind == SCALE else (integers - before) * own.item())


def _owner(graph: ReadGraph, scale: float, owners: Mapping[str, str]) -> str:
    """In words, whose scale it is; "" if it is nobody's, or that of several."""
    found = set()
    for node in (one for one in graph.nodes if one.op_type == "QuantizeLinear" and one.input[0] in owners):
        known = graph.constant(node.input[1])
        if known is not None and known.size == 1 and known.item() == scale:
            found.add(owners[node.input[0]])
    return f", which is that of {found.pop()}" if len(found) == 1 else ""


def _made_of(graph: ReadGraph, name: str, owners: Mapping[str, str]) -> str:
    """In words, of which tensor the scale or the zero was made."""
    node = graph.maker.get(name)
    tensor = owners.get(str(node.input[0])) if node is not None and node.input else None
    return f", {tensor}" if tensor else ""
