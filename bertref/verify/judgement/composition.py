"""Which parts a subject in half precision composes of single operations, each of which rounds; its errors tell.

Fused activations and norms round once, at the end. Composed ones differ from the right answer by much more, and the
noise floor of one kind is no measure for the other: that of composed norms hides an epsilon of 1e-5 in a fused one. So
the floor is sampled anew, from implementations that compose these parts, where the subject's errors are of that kind.

    activations  the error of a composed one jumps from one input to the next; another function than the right one
                 would differ smoothly. The way back is looked at by itself, because there an upstream gradient makes
                 any error scatter
    norms        the rounding of a row's variance and of its root is a factor for that row, another one for every row;
                 another formula's factor follows the variance: rows of about the same variance have about the same
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..graph.axes import Axes, split
from ..graph.replay import Replay
from ..graph.steps import Graph
from ..records import HALVES, Arrays
from .measures import Measures, row_gain_jumps, scatter
from .noise_floor import NoiseFloor, noise_floor
from .truth import Truth

COMPOSED_NORMS = 1.5
"""How far the factors of rows jump, over the noise floor of fused norms, in subjects whose norms are composed.
Measured: 0.7 to 0.9 where they are fused; 2.0 to 3.0 where they are composed and 24 wide, in proportion to the root of
the width. Larger: composed norms are called wrong; smaller: fused ones are judged less closely."""
COMPOSED_ACTIVATIONS = 4.0
"""How far the errors of activations, or of their gradients, jump, over the noise floor of fused ones, in subjects whose
activations are composed. Measured: up to 2.3 where they are fused; 24 to 93 where they are composed, 8 where few inputs
lie in the tail of GELU. Larger: composed ones are called wrong; smaller: fused ones are judged less closely."""
FORWARD = "activations are judged as computed step by step in half precision"
BACK = "gradients of activations are judged as computed step by step in half precision"
NORMS = "layer norms are judged as computed step by step in half precision"


def fitting_floor(
    truth: Truth, replay: Replay, values: Arrays, apart: frozenset[str]
) -> tuple[NoiseFloor, tuple[str, ...]]:
    """The noise floor of implementations that compose what the subject of these answers composes, and remarks on it.

    Where no activation was recorded, it is taken for composed: that can't be told then."""
    once = noise_floor(truth, values, apart=apart)
    if truth.precision not in HALVES:
        return once, ()
    graph = truth.graph
    forward, back = (scatters(graph, replay, values, once.own, which) for which in ("", "grad"))
    composed, notes = set(), []
    if norms_are_composed(graph, replay, values, once.own):
        composed.add("norms")
        notes.append(NORMS)
    if not forward or max(forward) > COMPOSED_ACTIVATIONS:
        composed.add("activations")
        notes.append(FORWARD)
    floor = noise_floor(truth, values, composed=frozenset(composed), apart=apart)
    if "activations" in composed or max(back, default=0.0) <= COMPOSED_ACTIVATIONS:
        return floor, tuple(notes)
    behind = noise_floor(truth, values, composed=frozenset({*composed, "activations"}), apart=apart)
    total, own = (
        {name: (second if split(name)[0] else first)[name] for name in first}
        for first, second in ((floor.total, behind.total), (floor.own, behind.own))
    )
    return NoiseFloor(truth.precision, total, own), (*notes, BACK)


def scatters(
    graph: Graph, replay: Replay, values: Mapping[str, Any], own: Mapping[str, Measures], which: str
) -> list[float]:
    """How far the errors of every recorded activation jump, over the noise floor: of its output, or of the gradient
    that comes out of it ("grad")."""
    found = []
    for step in graph:
        if step.along and step.name in values and step.along in replay.recorded and split(step.name)[0] == which:
            axes = graph.axes(step.name)
            error = axes.clean(np.asarray(values[step.name], np.float64)) - replay(step.name)
            found.append(_largest_scatter(error, replay.input(step.along), axes, own[step.name]))
    return found


def _largest_scatter(error: Any, along: Any, axes: Axes, floor: Measures) -> float:
    found = scatter(error, along, axes)
    both = min(len(found), len(floor.get("bin", ())))
    return float(np.sqrt(np.max(found[:both] / floor["bin"][:both]))) if both else 0.0


def norms_are_composed(graph: Graph, replay: Replay, values: Mapping[str, Any], own: Mapping[str, Measures]) -> bool:
    """Whether rows' factors jump in at least half of the recorded norms: a mistake in one of them says nothing. Where
    all are too narrow to tell, they are taken for composed."""
    jumps = norm_jumps(graph, replay, values, own)
    if not jumps:
        return any(step.name in values for step in graph.norms())
    return float(np.median(jumps)) > COMPOSED_NORMS


def norm_jumps(graph: Graph, replay: Replay, values: Mapping[str, Any], own: Mapping[str, Measures]) -> list[float]:
    """How far the factors of rows jump in every recorded norm, over the noise floor."""
    found = []
    for step in graph.norms():
        floor = own.get(step.name, {}).get("drift:gain by row")
        if step.name in values and floor is not None:
            axes, right = graph.axes(step.name), replay(step.name)
            error = axes.clean(np.asarray(values[step.name], np.float64)) - right
            jumps = row_gain_jumps(error, right, replay.input(step.inputs[0]), axes)
            found.append(float(np.sqrt(jumps / floor[0])))
    return found
