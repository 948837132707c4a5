"""The work of each stage that trains, before it runs."""

from pathlib import Path

from ...checkpoint.load import describe
from ...checkpoint.sources import open_source
from ...config import BertConfig
from .recipe import STUDENT, Recipe
from .stages import TrainingPlaces
from .work import Work, asked, lengths, trained

PREDICTED = 0.15
"""Share of the tokens that is masked."""
WORDS = ("words-short", "words")
"""The stages of masked words."""
FILLED = 0.9
"""Of a sequence of running text, on the average: a review ends before the next begins."""


def planned(stage: str, places: TrainingPlaces, recipe: Recipe) -> Work | None:
    """None for a stage that trains nothing."""
    if stage in WORDS:
        words = recipe.words[WORDS.index(stage)]
        return _words(words.steps * words.batch, words.length)
    if stage == "teacher":
        texts = lengths(places / "data" / "labelled.jsonl", recipe.text_length)
        return trained(_config(places.teacher), round(recipe.teacher_epochs * sum(texts)), _mean(texts))
    if stage == "student":
        return _student(places, recipe)
    return None


def _words(sequences: int, length: int) -> Work:
    return trained(STUDENT, round(FILLED * sequences * length), FILLED * length, predicted=PREDICTED)


def _student(places: TrainingPlaces, recipe: Recipe) -> Work:
    """The student's own steps, those of masked words between them, and the teacher's answers."""
    texts = lengths(places / "data" / "taught.jsonl", recipe.text_length)
    own = trained(STUDENT, round(recipe.student_epochs * sum(texts)), _mean(texts))
    steps = recipe.student_epochs * len(texts) / recipe.student_batch / (recipe.words_every - 1)
    words = _words(round(steps * recipe.student_batch), recipe.text_length)
    teacher = asked(_config(places.teacher), sum(texts), _mean(texts))
    return Work(own.tokens + words.tokens, own.operations + words.operations + teacher.operations)


def _config(model: str) -> BertConfig:
    path = Path(model)
    return describe(open_source(path), path).config


def _mean(texts: list[int]) -> float:
    return sum(texts) / max(1, len(texts))
