"""Hypotheses applied to the reference: a subject that computes what a hypothesis says, all else rightly; in float32
unless another precision is asked for.

It is right but for that: every tensor is made in float64 from its own inputs as they were recorded, and rounded once.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from bertref.verify.cases.another import another
from bertref.verify.cases.case import generate
from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.hypothesis import Hypothesis
from bertref.verify.diagnosis.scene import STEP, Back, Scene
from bertref.verify.diagnosis.trials import rewritten
from bertref.verify.diagnosis.way_back import with_ways_back
from bertref.verify.emulation.formats import FORMATS, nearest
from bertref.verify.graph.axes import split
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.judge import judged
from bertref.verify.records import Answers, Arrays, Case, Diagnosis, Report

FORWARD, ALL = ("",), ("", "grad", "update")


def scene_of(case: Case, values: Arrays, precision: str = "float32") -> tuple[Report, Scene]:
    """The report, and the scene to diagnose it in."""
    report, judgement = judged(case, Answers(values), precision)
    return report, Scene(judgement)


def right(case: Case, kinds: Collection[str] = FORWARD, precision: str = "float32") -> Arrays:
    """All forward answers of a right subject, or all of these kinds."""
    return _computed(case, {}, kinds, precision)


def _computed(case: Case, changes: Mapping[str, Any], kinds: Collection[str], precision: str) -> Arrays:
    """Every tensor from those before it, rounded once; a scene of nothing recorded is changed, so that its steps are
    the changed ones."""
    scene = _nothing_recorded(case, precision).changed(changes)
    graph, values = scene.replay.graph, dict[str, Any]()
    for step in graph:
        if split(step.name)[0] in kinds:
            replay = Replay(graph, values)
            if STEP.name in changes:
                replay = replay.stepping(changes[STEP.name])
            values[step.name] = nearest(np.asarray(replay(step.name)), FORMATS[precision])
    return values


def _nothing_recorded(case: Case, precision: str) -> Scene:
    """Nothing that could be read raw."""
    word = np.asarray(Replay(Graph(case), {})("embeddings.word"))
    return scene_of(case, {"embeddings.word": nearest(word, FORMATS[precision])}, precision)[1]


def wrong(
    case: Case, hypothesis: Hypothesis, value: Any, names: Collection[str] = (), precision: str = "float32",
    *, way_back: bool = False,
) -> Arrays:  # fmt: skip
    """What one computes that does what the hypothesis says, in every row that it can be done in, or in these; gradients
    and updates only if these are concerned, or the gradients of what it says, if its `way_back` is asked for."""
    scene = _nothing_recorded(case, precision)
    every = [name for name, row in scene.rows.items() if hypothesis.applies(row)]
    changes = rewritten(scene, hypothesis, names or every, value)
    if way_back:
        changes, _ = with_ways_back(scene, hypothesis, changes, value)
    back = way_back or any(isinstance(made, Back) for made in changes.values())
    return _computed(case, changes, ALL if STEP.name in changes else ALL[:2] if back else FORWARD, precision)


def asked(**options: Any) -> Case:
    """The case of all these tests, of any head and network."""
    return generate(31, **options)


def diagnosed(
    hypothesis: Hypothesis, value: Any, given: Collection[str] = (), *, rows: Collection[str] = (),
    case: Mapping[str, Any] = MappingProxyType({}), **options: Any,
) -> Diagnosis:  # fmt: skip
    """What is said of such a subject that gave these answers (all, if none), in two cases of these options; wrong in
    these rows (all that can be, if none)."""
    first = asked(**case)

    def answers(case: Case) -> Arrays:
        values = wrong(case, hypothesis, value, rows)
        return {name: values[name] for name in given} if given else values

    report, scene = scene_of(first, answers(first))
    assert report.verdict == "diverges", hypothesis.id
    second = another(first, step=True)
    return diagnose(report, scene, lambda kind, i: scene_of(second, answers(second))[1], **options)
