"""What a picture or a table of an evaluation shows beside its metrics, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..metrics.averages import Scores
from ..metrics.calibration import ReliabilityBins
from ..metrics.ranking import PrecisionRecallCurve, RocCurve
from ..metrics.value import Floats, Integers, Value


@dataclass(frozen=True)
class Confusion:
    """counts (K, K): true label by predicted label."""

    labels: tuple[str, ...]
    counts: Integers


@dataclass(frozen=True)
class EvaluationReport:
    """Whatever a kind of task has of these.

    scores       precision, recall, F1 and support: of classes or of types of entities
    averages     the same of their averages, by the average's name
    confusion    of classes
    reliability  are predictions as often right as they are sure
    roc, precision_recall   curves by label; of two classes those of the second
    shares       label -> the mean probability, and how often it is true and how often predicted
    numbers      (truth, prediction) of a regression, (N,) each
    counts       of examples, by what is said of them
    """

    scores: Mapping[str, Scores] = field(default_factory=dict)
    averages: Mapping[str, Scores] = field(default_factory=dict)
    confusion: Confusion | None = None
    reliability: ReliabilityBins | None = None
    roc: Mapping[str, RocCurve] = field(default_factory=dict)
    precision_recall: Mapping[str, PrecisionRecallCurve] = field(default_factory=dict)
    shares: Mapping[str, "Shares"] = field(default_factory=dict)
    numbers: tuple[Floats, Floats] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Shares:
    """Of one label, from 0 to 1: the share of examples that have it, the share that is predicted to have it, and the
    mean of its probability."""

    true: float
    predicted: float
    probability: float


EMPTY = EvaluationReport()
UNDEFINED_MARK = "undefined"


def shown_value(value: Value, digits: int = 4) -> str:
    """A figure for people: "undefined" where the formula divides by zero, with the number that stands for it in other
    people's tables, if there is one."""
    if value.value != value.value:
        return UNDEFINED_MARK
    number = f"{value.value:.{digits}f}"
    return f"{number} ({UNDEFINED_MARK})" if value.undefined else number
