"""The metrics of questions: SQuAD's exact match and F1, in percent as its scripts give them and as everybody quotes
them (the metrics of other tasks are shares from 0 to 1).

    exact_match, f1                                   over all questions
    HasAns_exact, HasAns_f1, NoAns_exact, NoAns_f1    version 2.0: over questions with an answer, and those without
    best_exact, best_exact_thresh, best_f1, ...       version 2.0: what the best threshold on the null odds would give

The best thresholds are searched over the best spans themselves. The original's are of a predictions file from which
answers were already taken by its own threshold, so they can't lie above that. As in its script, the threshold is said
to be 0 where it would be best to answer nothing.
"""

from collections.abc import Iterable, Sequence

from ..errors import InputError
from ..metrics.spans import Percentages, SquadScores, score_v1, score_v2
from ..metrics.value import UNDEFINED, Value
from .spans import SpanAnswersOfPart

USUAL = ("exact_match", "f1")
BY_SORT = ("HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1")
BEST = ("best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh")
"""What version 2.0 has besides, because some questions have no answer."""


def check_span_metrics(kind: str, names: Sequence[str]) -> None:
    """Raises `InputError` for a metric that questions don't have."""
    _check(names, (*USUAL, *BY_SORT, *BEST))


def _check(names: Sequence[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"there is no metric {name!r} for these questions; choose from {', '.join(known)}")


def span_metrics(kind: str, answers: SpanAnswersOfPart, also: Sequence[str] = ()) -> dict[str, Value]:
    """All metrics of the answers, by the rule of the version that they were given for; {} where the truth is not known.

    Raises `InputError` for one in `also` that is not among them, and for a question without an answer under the rule of
    version 1.1.
    """
    if answers.golds is None:
        return {}
    found = metrics_of(scores_of(answers, answers.golds))
    _check(also, found)
    return found


def scores_of(answers: SpanAnswersOfPart, golds: dict[str, tuple[str, ...]]) -> SquadScores:
    """SQuAD's scores of the answers."""
    if answers.threshold is None:
        return score_v1(golds, answers.predictions)
    best = score_v2(golds, answers.texts, answers.null_odds).best
    return score_v2(golds, answers.predictions)._replace(best=best)


def metrics_of(scores: SquadScores) -> dict[str, Value]:
    """The figures by name, in percent; of version 2.0 those over either sort of questions, undefined where there is no
    such question, and the best thresholds where the null odds are known."""
    found = dict(zip(USUAL, (scores.overall.exact, scores.overall.f1), strict=True))
    if scores.has_answer is None and scores.no_answer is None:
        return found
    parts = (part or Percentages(UNDEFINED, UNDEFINED, 0) for part in (scores.has_answer, scores.no_answer))
    split = [value for part in parts for value in (part.exact, part.f1)]
    found |= dict(zip(BY_SORT, split, strict=True))
    return found if scores.best is None else found | dict(zip(BEST, map(Value, scores.best), strict=True))
