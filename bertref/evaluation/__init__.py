"""Evaluation: what a model answers for every example of a data set's part, and how good the answers are."""

from collections.abc import Sequence
from typing import Any

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded
from ..inference.team import Team
from .api import evaluate
from .choices import ChoiceAnswers
from .kinds import KINDS, EvaluationKind, check_metrics
from .options import EvaluateOptions
from .records import Record
from .report import EvaluationReport
from .results import EvaluateResult, Evaluation, PartResult
from .spans import SpanAnswersOfPart
from .texts import TextAnswers
from .tokens import TokenAnswers

__all__ = [
    "KINDS",
    "ChoiceAnswers",
    "EvaluateOptions",
    "EvaluateResult",
    "Evaluation",
    "EvaluationKind",
    "EvaluationReport",
    "PartResult",
    "Record",
    "SpanAnswersOfPart",
    "TextAnswers",
    "TokenAnswers",
    "check_metrics",
    "evaluate",
    "evaluate_part",
]  # fmt: skip


def evaluate_part(
    loaded: Loaded, kind: str, part: Part, settings: Any, *, metrics: Sequence[str] = (), limit: int | None = None,
    team: Team | None = None,
) -> Evaluation:
    """The model's answers for a part, the first `limit` of its examples, and their metrics.

    `settings` are the kind's own (`tasks.texts.TextSettings`, `tasks.spans.SpanSettings`); `metrics` must be among
    those computed. The processes of a `team` share the work, and each gets the whole. Raises `InputError` for a model
    without the head, a label that it does not know, and a metric that the task does not have.
    """
    how = KINDS[kind]
    answers = how.answer(loaded, part, settings, limit=limit, team=team)
    return Evaluation(kind, part.name, len(answers), how.metrics(answers, metrics), answers)
