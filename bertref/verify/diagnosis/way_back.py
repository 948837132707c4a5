"""The way back of a row that is computed otherwise: the gradients of what its formula is made of."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...row import TensorRow
from ..graph.contribution import Contribution
from ..graph.steps import Rewritten
from .hypothesis import Hypothesis
from .scene import Made, Scene
from .tape import NotTraced, Traced, gradient

Values = Any


def with_ways_back(
    scene: Scene, hypothesis: Hypothesis, rows: Mapping[str, Made], value: Any
) -> tuple[dict[str, Made], set[str]]:
    """Rows as a hypothesis has them, with their ways back; and the names of those whose way back isn't known."""
    found, unknown = dict(rows), set[str]()
    if scene.case.objective is None:
        return found, unknown
    for name, made in rows.items():
        if isinstance(made, Rewritten):
            both = _with_way_back(scene, hypothesis, scene.rows[name], value, made) if hypothesis.way_back else None
            found[name] = both or made
            if both is None:
                unknown.add(name)
    return found, unknown


def _with_way_back(
    scene: Scene, hypothesis: Hypothesis, row: TensorRow, value: Any, made: Rewritten
) -> Rewritten | None:
    """None: its formula can't be gone back through."""

    def again(scene: Scene) -> Callable[..., Values]:
        other = hypothesis.make(scene, row, value)
        assert isinstance(other, Rewritten), "made before"
        return other.forward.compute

    backward, parameters = made.backward, made.parameters
    try:
        if not backward:
            _tried(scene, made.forward)
            backward = tuple(_of_input(row, made.forward, i) for i in range(len(made.forward.inputs)))
        if parameters is None:
            names = dict.fromkeys((*(name for name, _ in row.parameters), *made.weights))
            parameters = {name: _of_parameter(scene, row, made.forward, name, again) for name in names}
    except NotTraced:
        return None
    return replace(made, backward=backward, parameters=parameters)


def _tried(scene: Scene, part: Contribution) -> None:
    """Raises `NotTraced` if it can't be gone back through."""
    part.compute(*(Traced(np.asarray(scene.replay.input(name))) for name in part.inputs))


def _of_input(row: TensorRow, part: Contribution, i: int) -> Contribution:
    def back(d: Values, *inputs: Values) -> Values:
        of = Traced(inputs[i])
        return gradient(part.compute(*inputs[:i], of, *inputs[i + 1 :]), d, of)

    return Contribution((f"grad:{row.name}", *part.inputs), back, part.along)


def _of_parameter(
    scene: Scene, row: TensorRow, part: Contribution, name: str, again: Callable[[Scene], Callable[..., Values]]
) -> Contribution:
    """`again` makes the formula once more, in a scene that has another value of the parameter."""
    of = Traced(scene.params[name])
    compute = again(scene.with_parameters({name: of}))
    return Contribution((f"grad:{row.name}", *part.inputs), lambda d, *inputs: gradient(compute(*inputs), d, of))
