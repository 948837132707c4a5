"""What two runs of the same case make otherwise: dropout that is on, or threads that race.

Behind the first such tensor everything differs. So of each tensor only what its own step adds to that run's own inputs
is compared between the runs; the rest is judged as ever, and a mistake behind dropout still shows: where the inputs
differ, what a wrong formula adds differs, too, but it is about the same, while two runs of dropout have nothing in
common.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph.replay import Replay, sources
from ..graph.steps import Graph
from ..records import Arrays, Finding
from .limit import LIMIT
from .measures import compared
from .noise_floor import NoiseFloor, for_larger
from .truth import Truth

ALIKE = 0.5
"""Above this cosine what a step adds in two runs is a mistake in it. Independent masks have about 0, a factor or
another function of inputs that differ by dropout of a tenth has 0.9 or more."""


def unsteady(
    truth: Truth, floor: NoiseFloor, values: Arrays, again: Mapping[str, Any], found: Mapping[str, Finding]
) -> dict[str, Finding]:
    """The findings, changed, on answers that differ between runs by themselves. `again` has what another run gave, of
    the names whose values differ."""
    far = [name for name in again if name in values and _apart(truth.graph, floor, values, again, name) > LIMIT]
    if not far:
        return {}
    one, two = Replay(truth.graph, values), Replay(truth.graph, {**values, **again})
    changed = {}
    for name in far:
        own = floor.own[name]
        size, alike = _own_difference(truth.graph, one, two, name)
        if alike > ALIKE and not set(sources(truth.graph, name, values)[0]).isdisjoint(far):
            continue
        ratio = float(np.sqrt(size / own["all"][0]))
        if not ratio <= LIMIT:
            ratio = float(np.sqrt(size / for_larger(truth, one, name, own)["all"][0]))
        if not ratio <= LIMIT:  # nor if it isn't a number in one of them
            note = f"from the same inputs two runs differ by {ratio:.2g} times the rounding"
            changed[name] = replace(found[name], status="unsteady", note=note)
    return changed


def _apart(graph: Graph, floor: NoiseFloor, values: Arrays, again: Mapping[str, Any], name: str) -> float:
    """The difference of two runs in total, over a correct implementation's error."""
    axes = graph.axes(name)
    one, two = (axes.clean(np.asarray(some[name], np.float64)) for some in (values, again))
    size = float(compared(one, two, axes, drift=False)["all"][0])
    return float(np.sqrt(size / floor.total[name]["all"][0])) if np.isfinite(size) else np.inf


def _own_difference(graph: Graph, one: Replay, two: Replay, name: str) -> tuple[float, float]:
    """The mean square of what the step of `name` adds in one run and not in the other, and the cosine of the two."""
    axes = graph.axes(name)
    first, second = (axes.clean(np.asarray(run.recorded[name], np.float64)) - run(name) for run in (one, two))
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    alike = float(np.vdot(first, second)) / lengths if lengths else 0.0
    return float(compared(first, second, axes, drift=False)["all"][0]), alike
