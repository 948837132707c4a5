"""What an evaluation found: metrics by name, and the answers that they were computed from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..metrics.value import Value


@dataclass(frozen=True)
class Evaluation:
    """`kind` of task, the name of the part, how many examples; `answers` are the kind's own (`TextAnswers`, ...)."""

    kind: str
    part: str
    examples: int
    metrics: Mapping[str, Value]
    answers: Any
