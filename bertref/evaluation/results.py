"""What an evaluation found: metrics by name, and the answers that they were computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.tasks.examples import Part
from ..metrics.bootstrap import Interval
from ..metrics.value import Value
from .records import Record
from .report import EMPTY, EvaluationReport
from .vectors import Vectors


@dataclass(frozen=True)
class Evaluation:
    """`kind` of task, the name of the part, how many examples; `answers` are the kind's own (`TextAnswers`, ...)."""

    kind: str
    part: str
    examples: int
    metrics: Mapping[str, Value]
    answers: Any


@dataclass(frozen=True)
class PartResult:
    """The evaluation of one part and what belongs to it: the part itself, intervals of the metrics by name, tables and
    curves, the most confident mistakes, the vectors of [CLS] in the plane."""

    evaluation: Evaluation
    part: Part
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    report: EvaluationReport = EMPTY
    worst: Sequence[Record] = ()
    vectors: Vectors | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """What `bertref.evaluate` found: `parts` by name, the first is the one that the task is judged by. `source` is the
    model's folder or the file of predictions; `steps` those that the model was trained for, None where not known."""

    task: str
    kind: str
    source: str
    parts: Mapping[str, PartResult]
    steps: int | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Of all parts, see `metrics_by_name`."""
        return metrics_by_name({name: result.evaluation for name, result in self.parts.items()})


def metrics_by_name(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """The metrics of the first part by their names, those of others as "part/metric"."""
    return {
        f"{name}/{metric}" if i else metric: value.value
        for i, (name, evaluation) in enumerate(evaluations.items())
        for metric, value in evaluation.metrics.items()
    }
