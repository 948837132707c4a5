"""What two runs of the same case make otherwise: dropout that is on, or threads that race.

Behind the first such tensor everything differs. So of each tensor only what its own step makes of that run's own inputs
is compared between the runs; the rest is judged as ever, and a mistake behind dropout still shows.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph.replay import Replay
from ..graph.steps import Graph
from ..records import Arrays, Finding
from .limit import LIMIT
from .measures import compared
from .noise_floor import NoiseFloor, Truth, for_larger


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
        size = _own_difference(truth.graph, one, two, name)
        ratio = float(np.sqrt(size / own["all"][0]))
        if not ratio <= LIMIT:
            ratio = float(np.sqrt(size / for_larger(truth, one, name, own)["all"][0]))
        if not ratio <= LIMIT:  # nor if it isn't a number in one of them
            note = f"from the same inputs two runs differ by {ratio:.1f} times the rounding"
            changed[name] = replace(found[name], status="unsteady", note=note)
    return changed


def _apart(graph: Graph, floor: NoiseFloor, values: Arrays, again: Mapping[str, Any], name: str) -> float:
    """The difference of two runs in total, over a correct implementation's error."""
    axes = graph.axes(name)
    one, two = (axes.clean(np.asarray(some[name], np.float64)) for some in (values, again))
    size = float(compared(one, two, axes, drift=False)["all"][0])
    return float(np.sqrt(size / floor.total[name]["all"][0])) if np.isfinite(size) else np.inf


def _own_difference(graph: Graph, one: Replay, two: Replay, name: str) -> float:
    """The mean square of what the step of `name` adds in one run and not in the other."""
    axes = graph.axes(name)
    errors = [axes.clean(np.asarray(run.recorded[name], np.float64)) - run(name) for run in (one, two)]
    return float(compared(errors[0], errors[1], axes, drift=False)["all"][0])
