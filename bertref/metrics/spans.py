"""Are the answers of SQuAD right: exact match and F1 over words, by the rules of version 1.1 and of version 2.0.

Both compare normalised texts (`normalise`) with every answer that people gave, and take the best. They differ in this:

                              version 1.1                    version 2.0
    a missing prediction      counts as 0                    is left out
    no answer in the text     does not occur                 the one right answer is ""
    an answer of no words     F1 is 0, whatever is said      F1 is 1 if both have none, else 0
      ("the", "...")          (exact match can be 1)         among other answers it is ignored

Figures are in percent. `answers` are the questions' gold texts by id, `predictions` the predicted texts by id.

Source: evaluate-v1.1.py and evaluate-v2.0.py of https://rajpurkar.github.io/SQuAD-explorer/.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import InputError
from .value import UNDEFINED, Value

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and the words a, an, the; words separated by one space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


class QuestionScore(NamedTuple):
    """Of one question, from 0 to 1."""

    exact: float
    f1: float


class Percentages(NamedTuple):
    """The means over `total` questions, in percent; undefined if there are none."""

    exact: Value
    f1: Value
    total: int


class Best(NamedTuple):
    """The largest figures, in percent, that any threshold on the no-answer scores gives, and those thresholds."""

    exact: float
    exact_threshold: float
    f1: float
    f1_threshold: float


class SquadScores(NamedTuple):
    """All figures of an evaluation.

    `missing` questions have no prediction, `unknown` predictions no question. `has_answer`, `no_answer`: over the
    questions of either sort, None if there are none (always in version 1.1). `best`: only with no-answer scores.
    `questions`: of each question that counts, by id.
    """

    overall: Percentages
    missing: int
    unknown: int
    questions: dict[str, QuestionScore]
    has_answer: Percentages | None = None
    no_answer: Percentages | None = None
    best: Best | None = None


def score_v1(answers: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> SquadScores:
    """By the rule of version 1.1: a missing prediction counts as 0.

    Raises `InputError` for a question without answers.
    """
    questions = {}
    for name, golds in answers.items():
        if not golds:
            raise InputError(f"question {name} has no answer, but SQuAD 1.1 has one for each; is this version 2.0?")
        text = _prediction(predictions, name)
        questions[name] = QuestionScore(0.0, 0.0) if text is None else _best(text, golds, no_words=0.0)
    return SquadScores(_percentages(questions.values()), *_unmatched(answers, predictions), questions)


def score_v2(
    answers: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    no_answer_scores: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> SquadScores:
    """By the rule of version 2.0: a missing prediction is left out, of every figure. (The script leaves it out of its
    first figures and then stops with a KeyError.) A question without gold texts has no answer.

    `no_answer_scores`: a number for each predicted question, larger the less a model believes in an answer
    (probabilities or the original's null odds): above `threshold` the prediction counts as "".

    Raises `InputError` for a predicted question without such a number, if there are any.
    """
    raw = {}
    for name, golds in answers.items():
        text = _prediction(predictions, name)
        if text is not None:
            raw[name] = _best(text, [gold for gold in golds if normalise(gold)] or [""], no_words=1.0)
    answerable = {name: bool(answers[name]) for name in raw}
    questions, best = raw, None
    if no_answer_scores is not None:
        _check_no_answer_scores(no_answer_scores, raw)
        questions = {name: QuestionScore(*[float(not answerable[name])] * 2) if no_answer_scores[name] > threshold
                     else score for name, score in raw.items()}  # fmt: skip
        best = _best_thresholds(raw, answerable, predictions, no_answer_scores) if raw else None
    split = [[score for name, score in questions.items() if answerable[name] == has] for has in (True, False)]
    has_answer, no_answer = (_percentages(scores) if scores else None for scores in split)
    unmatched = _unmatched(answers, predictions)
    return SquadScores(_percentages(questions.values()), *unmatched, questions, has_answer, no_answer, best)


def figures(scores: SquadScores) -> dict[str, float]:
    """As version 2.0's script prints them: exact, f1, total, HasAns_exact, ..., best_exact, best_exact_thresh, ..."""
    found: dict[str, float] = {}
    for prefix, part in (("", scores.overall), ("HasAns_", scores.has_answer), ("NoAns_", scores.no_answer)):
        if part is not None:
            found |= {f"{prefix}exact": part.exact.value, f"{prefix}f1": part.f1.value, f"{prefix}total": part.total}
    if scores.best is not None:
        names = ("best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh")
        found |= dict(zip(names, scores.best, strict=True))
    return found


def _best(text: str, golds: Sequence[str], no_words: float) -> QuestionScore:
    """`no_words`: the F1 of two texts that have no words."""
    said = normalise(text)
    normalised = [normalise(gold) for gold in golds]
    return QuestionScore(
        float(said in normalised), max(_f1(said.split(), gold.split(), no_words) for gold in normalised)
    )


def _f1(said: list[str], gold: list[str], no_words: float) -> float:
    """2 common / (said + gold), words counted as often as they occur in both."""
    if not said and not gold:
        return no_words
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold))


def _percentages(scores: Iterable[QuestionScore]) -> Percentages:
    rows = list(scores)
    exact, f1 = (Value(100 * math.fsum(column) / len(rows)) for column in zip(*rows, strict=True)) if rows else (
        UNDEFINED, UNDEFINED)  # fmt: skip
    return Percentages(exact, f1, len(rows))


def _best_thresholds(
    raw: Mapping[str, QuestionScore],
    answerable: Mapping[str, bool],
    predictions: Mapping[str, str],
    no_answer_scores: Mapping[str, float],
) -> Best:
    """From "" for every question on, questions get their prediction in the order of their scores, one after the other;
    the first of the best sums counts. As in the script, questions of equal scores are not taken together, in the order
    of `no_answer_scores`, and a prediction is "" only if its text is empty before it is normalised."""
    order = sorted((name for name in no_answer_scores if name in raw), key=no_answer_scores.__getitem__)
    none = sum(not has for has in answerable.values())
    found: list[float] = []
    for column in range(2):
        current = best = float(none)
        threshold = 0.0
        for name in order:
            current += raw[name][column] if answerable[name] else -float(bool(predictions[name]))
            if current > best:
                best, threshold = current, no_answer_scores[name]
        found += [100 * best / len(raw), threshold]
    return Best(*found)


def _prediction(predictions: Mapping[str, str], name: str) -> str | None:
    text = predictions.get(name)
    if name in predictions and not isinstance(text, str):
        raise InputError(f'the prediction for question {name} is {text!r}; it must be a text, "" for no answer')
    return text


def _check_no_answer_scores(scores: Mapping[str, float], raw: Mapping[str, QuestionScore]) -> None:
    for name in raw:
        if name not in scores:
            raise InputError(f"question {name} has a prediction but no no-answer score; each needs one")
        if not math.isfinite(scores[name]):
            raise InputError(f"the no-answer score of question {name} is {scores[name]}; it must be finite")


def _unmatched(answers: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> tuple[int, int]:
    """How many questions have no prediction, and predictions no question."""
    return len(answers.keys() - predictions.keys()), len(predictions.keys() - answers.keys())
