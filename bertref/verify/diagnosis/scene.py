"""A judged case whose steps can be replayed with something changed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...row import TensorRow
from ..graph.contribution import Contribution
from ..graph.replay import Replay, Updater, span
from ..graph.steps import Rewritten
from ..judgement.judge import Judgement, largest_ratio
from ..judgement.noise_floor import for_larger, judged_names
from ..records import Arrays, Case

STEP = TensorRow("update", "optimizer_step", (), (), "", "", "update", ())
"""The optimiser's step, as if it were a row of the network's table: all updates are made by it."""
Changed = Mapping[str, Rewritten | Updater]
"""Rows by name, computed otherwise."""

LEFT = 3.0
"""The largest error, in units of what rounding explains, that a cause may leave. Larger: causes that are nearly right
are named; smaller: some right ones are not. Of right implementations the median of the largest is below 2.9
(`judgement.limit`)."""


class Scene:
    """A judgement, and the repairs that are in force: rows of the table that are computed as the subject does it."""

    def __init__(self, judgement: Judgement, replay: Replay | None = None) -> None:
        self._judgement = judgement
        self.replay = judgement.replay if replay is None else replay
        self.case: Case = judgement.case
        self.values: Arrays = judgement.values
        self.precision = judgement.truth.precision
        self.params: Mapping[str, Any] = judgement.truth.params
        self.rows: dict[str, TensorRow] = dict(judgement.graph.rows)
        if self.case.optimizer is not None:
            self.rows[STEP.name] = STEP

    def changed(self, rows: Changed) -> "Scene":
        """The same with these rows computed otherwise, too."""
        found = self.replay
        others = {name: made for name, made in rows.items() if isinstance(made, Rewritten)}
        if others:
            found = found.on(found.graph.rewritten(others))
        for made in rows.values():
            if not isinstance(made, Rewritten):
                found = found.stepping(made)
        return Scene(self._judgement, found)

    def span(self, name: str) -> set[str]:
        """The rows that may have made an answer out of what was recorded."""
        found = span(self.replay.graph, name, self.values) & self.rows.keys()
        return found | {STEP.name} if name.startswith("update:") else found

    def part(self, name: str) -> str:
        """The part of the network that an answer belongs to."""
        return STEP.name if name.startswith("update:") else self.rows[name].part

    def forward(self, row: TensorRow) -> Contribution:
        """What the reference computes."""
        return self.replay.graph.arithmetic.forward(row)

    def judged_names(self) -> list[str]:
        """The names of the answers that can be judged, in the order of the computation."""
        return judged_names(self.replay.graph, self.values)

    def ratio(self, name: str) -> float:
        """The largest error that the step of an answer added, over rounding; infinite if it is made no number."""
        if not np.isfinite(self.replay(name)).all():
            return np.inf
        found, floor = self._judgement.own(name, self.replay), self._judgement.noise_floor.own[name]
        ratio, _ = largest_ratio(found, floor)
        if ratio > LEFT:
            ratio, _ = largest_ratio(found, for_larger(self._judgement.truth, self.replay, name, floor))
        return ratio

    def error(self, name: str) -> Any:
        """The error that the step of an answer added, 0 where nothing is asked."""
        return self.replay.graph.axes(name).clean(np.asarray(self.values[name], np.float64)) - self.replay(name)

    def raw(self, name: str, otherwise: Any) -> Any:
        """What a subject recorded, at padded positions, too; `otherwise`, if it recorded nothing."""
        found = self.values.get(name)
        return otherwise if found is None else np.asarray(found, np.float64)
