"""What predict can do: a task for each kind of head, what is printed of it, and which task a text gets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import render
from .explaining import Explaining

if TYPE_CHECKING:
    from ..api import Model
    from ..text.encoding import Truncate

BELONGS = {
    "pair": ("next-sentence", "sequence-classification"),
    "question": ("question-answering",),
    "context": ("question-answering",),
    "choice": ("multiple-choice",),
    "aggregation": ("token-classification",),
    "null_threshold": ("question-answering",),
    "max_answer_length": ("question-answering",),
    "doc_stride": ("question-answering",),
    "truncate": ("fill-mask", "next-sentence", "sequence-classification", "multiple-choice"),
    "windows": ("sequence-classification",),
}
"""Option -> the tasks that read it; for any other it is refused."""


@dataclass(frozen=True)
class Wish:
    """The options; those of `BELONGS` are None where they were not given."""

    task: str | None
    pair: str | None
    question: str | None
    context: str | None
    choice: tuple[str, ...] | None
    aggregation: str | None
    null_threshold: float | None
    max_answer_length: int | None
    doc_stride: int | None
    truncate: "Truncate | None"
    windows: bool | None
    top_k: int
    explain: Explaining = field(default_factory=Explaining)


Answer = tuple[dict[str, Any], Callable[[], None]]
"""What --json prints of a text, and what draws it."""
Answered = Iterator[Answer]


def _fill_mask(model: "Model", texts: list[str], wish: Wish) -> Answered:
    for text, masks in zip(texts, model.predict_batch(texts, top_k=wish.top_k, truncate=wish.truncate), strict=True):
        found = [{"position": m.position, "top": [g._asdict() for g in m.top]} for m in masks]
        yield {"text": text, "masks": found}, partial(render.guesses, text, masks)


def _next_sentence(model: "Model", texts: list[str], wish: Wish) -> Answered:
    assert wish.pair is not None
    pair = wish.pair
    found = model.next_sentence_batch(texts, [pair] * len(texts), truncate=wish.truncate)
    told = model.config.variant.pairs_tell
    for text, p in zip(texts, found, strict=True):
        yield {"text": text, "pair": pair, told: p}, partial(render.pair_of_sentences, told, text, pair, p)


def _classification(model: "Model", texts: list[str], wish: Wish) -> Answered:
    from ..inference.sequence_classification import activation_of, problem_of

    pairs = None if wish.pair is None else [wish.pair] * len(texts)
    problem = problem_of(model)
    extra = {} if wish.pair is None else {"pair": wish.pair}
    stored = {} if model.activation is None else {"activation": model.activation}
    shares = problem != "regression" and activation_of(model) in ("softmax", "sigmoid")
    found = model.classify_batch(texts, pairs, truncate=wish.truncate, windows=wish.windows)
    for text, scores in zip(texts, found, strict=True):
        best = {"label": scores[0].label, "score": scores[0].score} if problem == "single_label_classification" else {}
        named = {"scores": dict(scores), "labels": [score._asdict() for score in scores]}
        values = {"text": text, **extra, "problem_type": problem, **stored, **best, **named}
        yield values, partial(render.labels, text, wish.pair, scores[: wish.top_k], shares=shares)


def _tokens(model: "Model", texts: list[str], wish: Wish) -> Answered:
    for text, spans in zip(texts, model.tag_batch(texts, aggregation=wish.aggregation), strict=True):
        values = {"text": text, "spans": [span._asdict() for span in spans]}
        yield values, partial(render.spans, text, spans)


def _question_answering(model: "Model", texts: list[str], wish: Wish) -> Answered:
    from ..api import AnswerOptions

    changes = {name: getattr(wish, name) for name in ("null_threshold", "max_answer_length", "doc_stride")}
    options = AnswerOptions(top_k=wish.top_k, **{name: value for name, value in changes.items() if value is not None})
    questions = texts if wish.question is None else [wish.question] * len(texts)
    contexts = texts if wish.question is not None else [wish.context or ""] * len(texts)
    for question, context, found in zip(
        questions, contexts, model.answer_batch(questions, contexts, options), strict=True
    ):
        values = {
            "question": question, "context": context, "answers": [a._asdict() for a in found.best],
            "no_answer_score": found.no_answer_score,
        }  # fmt: skip
        yield values, partial(render.answers, question, context, found.best)


def _multiple_choice(model: "Model", texts: list[str], wish: Wish) -> Answered:
    assert wish.choice is not None
    found = model.choose_batch(texts, [wish.choice] * len(texts), truncate=wish.truncate)
    for text, scores in zip(texts, found, strict=True):
        values = {"text": text, "choices": [s._asdict() for s in scores]}
        yield values, partial(render.choices, text, scores)


ANSWERS: dict[str, Callable[["Model", list[str], Wish], Answered]] = {
    "question-answering": _question_answering,
    "token-classification": _tokens,
    "multiple-choice": _multiple_choice,
    "sequence-classification": _classification,
    "fill-mask": _fill_mask,
    "next-sentence": _next_sentence,
}
"""What does a task and draws it, in the order in which a task is chosen for a model that can do several."""
TASKS = tuple(ANSWERS)


def chooses(heads: tuple[str, ...]) -> bool:
    """Whether a model's task depends on the text: it classifies and knows masked words."""
    return {"sequence_classification", "masked_lm"} <= set(heads)


def task_for(text: str, task: str, model: "Model", wish: Wish) -> str:
    """The task of one text, where `task` is that of all: a text with [MASK] gets its words from a model that classifies
    and knows masked words, unless the options ask for labels."""
    asked = any(getattr(wish, name) is not None for name in ("task", *BELONGS) if name != "truncate")
    chosen = task == "sequence-classification" and chooses(model.heads)
    masked = chosen and model.tokenizer.vocab.notation.mask in text
    return "fill-mask" if masked and not asked else task


def chosen_task(heads: tuple[str, ...], wish: Wish) -> str:
    """The task that was named, or that the options ask for, or that the model was trained for last.

    Raises `InputError` if the model can't do it, if an option that it needs is missing, or one is given that it does
    not read.
    """
    from ..heads import tasks as tasks_of_heads
    from ..inference.loaded import no_head

    able = [task for head, task in tasks_of_heads().items() if head in heads]
    task = wish.task
    if task is None and (wish.question or wish.context):
        task = "question-answering"
    if task is None and wish.choice:
        task = "multiple-choice"
    if task is None and wish.pair is not None and "sequence-classification" not in able:
        task = "next-sentence"
    if task is None:
        task = able[0] if able else "fill-mask"
    if task not in able:
        raise InputError(no_head(task, heads))
    for option, tasks in BELONGS.items():
        if getattr(wish, option) is not None and task not in tasks:
            raise InputError(f"--{option.replace('_', '-')} goes with {' and '.join(tasks)}, not with {task}")
    needed = {"question-answering": "--question or --context", "multiple-choice": "--choice", "next-sentence": "--pair"}
    given = {"question-answering": wish.question or wish.context, "multiple-choice": wish.choice}
    if task in needed and given.get(task, wish.pair) is None:
        raise InputError(f"{task} needs {needed[task]}; see bertref predict --help")
    return task
