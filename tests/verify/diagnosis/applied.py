"""Hypotheses applied to the reference: a subject in float32 that computes what a hypothesis says, all else rightly.

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
from bertref.verify.graph.axes import split
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.judge import judged
from bertref.verify.records import Answers, Arrays, Case, Diagnosis, Report

FORWARD, ALL = ("",), ("", "grad", "update")


def scene_of(case: Case, values: Arrays) -> tuple[Report, Scene]:
    """The report, and the scene to diagnose it in."""
    report, judgement = judged(case, Answers(values), "float32")
    return report, Scene(judgement)


def right(case: Case) -> Arrays:
    """All forward answers of a right subject."""
    return _computed(case, {}, FORWARD)


def _computed(case: Case, changes: Mapping[str, Any], kinds: Collection[str]) -> Arrays:
    """Every tensor from those before it; a scene of nothing recorded is changed, so that its steps are the changed
    ones."""
    scene = scene_of(case, {"embeddings.word": _word(case)})[1].changed(changes)
    graph, values = scene.replay.graph, dict[str, Any]()
    for step in graph:
        if split(step.name)[0] in kinds:
            replay = Replay(graph, values)
            if STEP.name in changes:
                replay = replay.stepping(changes[STEP.name])
            values[step.name] = np.asarray(replay(step.name), np.float32)
    return values


def _word(case: Case) -> Any:
    return np.asarray(Replay(Graph(case), {})("embeddings.word"), np.float32)


def wrong(case: Case, hypothesis: Hypothesis, value: Any) -> Arrays:
    """What one computes that does what the hypothesis says, in every row that it can be done in; gradients and updates
    only if these are concerned."""
    _, scene = scene_of(case, {"embeddings.word": _word(case)})  # nothing that could be read raw
    names = [name for name, row in scene.rows.items() if hypothesis.applies(row)]
    changes = rewritten(scene, hypothesis, names, value)
    back = any(isinstance(made, Back) for made in changes.values())
    return _computed(case, changes, ALL if STEP.name in changes else ALL[:2] if back else FORWARD)


def asked(**options: Any) -> Case:
    """The case of all these tests, of any head and network."""
    return generate(31, **options)


def diagnosed(
    hypothesis: Hypothesis, value: Any, given: Collection[str] = (), *, case: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> Diagnosis:  # fmt: skip
    """What is said of such a subject that gave these answers (all, if none), in two cases of these options."""
    first = asked(**case)

    def answers(case: Case) -> Arrays:
        values = wrong(case, hypothesis, value)
        return {name: values[name] for name in given} if given else values

    report, scene = scene_of(first, answers(first))
    assert report.verdict == "diverges", hypothesis.id
    second = another(first, step=True)
    return diagnose(report, scene, lambda kind, i: scene_of(second, answers(second))[1], **options)
