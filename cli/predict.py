"""bertref predict"""

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..errors import InputError, TextError
from . import render
from .explaining import Explaining, explain_options
from .options import (
    allow_option,
    backend_option,
    debug_option,
    json_option,
    load_model,
    model_option,
    threads_option,
)
from .texts import Line, named, read_lines

if TYPE_CHECKING:
    from ..api import Model
    from ..text.encoding import Truncate

CHUNK = 256
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
    for text, p in zip(texts, found, strict=True):
        yield {"text": text, "pair": pair, "is_next": p}, partial(render.next_sentence, text, pair, p)


def _classification(model: "Model", texts: list[str], wish: Wish) -> Answered:
    from ..inference.sequence_classification import activation_of, problem_of

    pairs = None if wish.pair is None else [wish.pair] * len(texts)
    problem = problem_of(model)
    extra = {} if wish.pair is None else {"pair": wish.pair}
    stored = {} if model.activation is None else {"activation": model.activation}
    shares = problem != "regression" and activation_of(model) in ("softmax", "sigmoid")
    for text, scores in zip(texts, model.classify_batch(texts, pairs, truncate=wish.truncate), strict=True):
        labels = [score._asdict() for score in scores]
        values = {"text": text, **extra, "problem_type": problem, **stored, "labels": labels}
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


@click.command()
@click.argument("texts", nargs=-1)
@click.option("--task", type=click.Choice(TASKS), help="What to do, where the model can do several things.")
@click.option("--pair", metavar="TEXT", help="The second text: judge whether it follows, or classify both together.")
@click.option("--question", metavar="TEXT", help="The question; the texts (or --context) are where to look.")
@click.option("--context", metavar="TEXT", help="Where to look; without --question the texts are the questions.")
@click.option("--choice", metavar="TEXT", multiple=True, help="One way to go on from the text; give several.")
@click.option("--file", "file", metavar="FILE", help="One text a line; - is standard input.")
@click.option(
    "--truncate", type=click.Choice(["head", "tail", "head+tail"]),
    help="Cut texts that are too long for the model, which are refused otherwise: keep their first tokens, their last, "
    "or both ends, 1 token of the first for 3 of the last (128 and 382 of 510; Sun et al. 2019).",
)  # fmt: skip
@click.option(
    "--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Candidates for each mask or question."
)
@click.option(
    "--aggregation", type=click.Choice(["tokens", "words", "entities"]),
    help="What gets a label; entities where the labels are B-... and I-... (also BIOES, BILOU), else words.",
)  # fmt: skip
@click.option("--null-threshold", type=float, metavar="X", help="Allow 'no answer', if it scores more than X better.")
@click.option("--max-answer-length", type=click.IntRange(min=1), help="In word pieces.  [default: 30]")
@click.option("--doc-stride", type=click.IntRange(min=1), help="Step between windows over a context.  [default: 128]")
@explain_options
@model_option
@allow_option
@backend_option
@threads_option
@click.option("--dtype", default="float32", show_default=True, help="Compute dtype.")
@json_option
@debug_option
def predict(
    texts: tuple[str, ...], file: str | None, model_dir: str | None, backend: str, dtype: str, as_json: bool,
    choice: tuple[str, ...], allow: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Do what the model was trained for: guess masked words, answer, classify texts or words, choose.

    A line of --file that can't be answered, as it is too long or has no [MASK], is reported by its number; the others
    are answered, and the exit code is 1.

    \b
    Example:
        bertref predict --model bertref-model "The [MASK] statement is used to raise an exception."
        bertref predict --model bertref-model "It rained." --pair "We stayed at home."
        bertref predict --model bertref-model --file texts.txt --json
        bertref predict --model reviews-model "The film was creative." --explain --html why.html
        bertref predict --model squad-model --question "Who wrote it?" --file pages.txt
        bertref predict --model ner-model "Ada Lovelace lived in London."
        bertref predict --model swag-model "He opened the door." --choice "He went in." --choice "It rained."
    """

    wish = Wish(explain=Explaining.taken(options), choice=choice or None, **options)
    lines = _lines(texts, file, wish)
    first = next(lines, None)
    if first is None:
        raise InputError(f"{named(file or '')}: no texts in it")
    model = load_model(model_dir, backend=backend, dtype=dtype, allow=allow)
    task = chosen_task(model.heads, wish)
    wish.explain.check(task)
    _check_words(model, wish)
    one_by_one = wish.explain.method is not None and first.number is not None
    failed = 0
    for some in _chunks(itertools.chain([first], lines), 1 if one_by_one else CHUNK):
        answers, reasons = _answered(model, task, some, wish)
        for values, draw in answers:
            if as_json:
                click.echo(json.dumps({"schema": 1, "task": task, **values}, ensure_ascii=False))
            else:
                draw()
        for line, reason in reasons:
            render.message(f"{named(file or '')}, line {line.number} {reason}")
        failed += len(reasons)
    wish.explain.finish()
    if failed:
        render.message(f"{failed:,} {'lines have' if failed > 1 else 'line has'} no answer")
        sys.exit(1)


def _answered(
    model: "Model", task: str, lines: Sequence[Line], wish: Wish
) -> tuple[list[Answer], list[tuple[Line, str]]]:
    """The answers, and the lines of a file that have none with the reasons. Texts given as arguments all have one, or
    `TextError` is raised."""
    failed: list[tuple[Line, str]] = []
    while lines:
        try:
            answers = ANSWERS[task](model, [line.text for line in lines], wish)
            return list(wish.explain.beside(model, task, answers, wish.truncate)), failed
        except TextError as error:
            if any(line.number is None for line in lines):
                raise
            failed += [(lines[i], reason) for i, reason in error.reasons.items()]
            lines = [line for i, line in enumerate(lines) if i not in error.reasons]
    return [], failed


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


def _check_words(model: "Model", wish: Wish) -> None:
    """A question or a context that stands for all texts has words, or none of the texts could be answered."""
    for option in ("question", "context"):
        given = getattr(wish, option)
        if given is not None and not model.tokenizer.tokenize(given):
            raise InputError(f"--{option} {given!r} has no words")


def _lines(texts: tuple[str, ...], file: str | None, wish: Wish) -> Iterator[Line]:
    """The texts; with both --question and --context there is nothing else to read, and the context is the text."""
    if wish.question is not None and wish.context is not None:
        if texts or file:
            raise InputError("give --question and --context, or one of them and texts (or --file)")
        return iter([Line(wish.context)])
    return read_lines(texts, file)


def _chunks(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    iterator = iter(lines)
    while some := list(itertools.islice(iterator, size)):
        yield some
