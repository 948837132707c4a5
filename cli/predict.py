"""bertref predict"""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
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
from .prediction_tasks import ANSWERS, TASKS, Answer, Wish, chooses, chosen_task, task_for
from .texts import Line, named, read_lines

if TYPE_CHECKING:
    from ..api import Model

CHUNK = 256


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
@click.option("--windows", is_flag=True, default=None, help="Read longer texts through windows; their scores are "
              "pooled. A model whose folder says so does it unasked.")  # fmt: skip
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

    Without --model (and $BERTREF_MODEL) the model inside the package answers: whether a text about a film is positive
    or negative, and which words stand at a [MASK].

    A line of --file that can't be answered, as it is too long or has no [MASK], is reported by its number; the others
    are answered, and the exit code is 1.

    \b
    Example:
        bertref predict "The film was creative and surprising" "A [MASK] story"
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
    whole = chosen_task(model.heads, wish)
    _check_words(model, wish)
    one_by_one = wish.explain.method is not None and first.number is not None
    failed, said = 0, set[str]()
    for task, some in _chunks(model, whole, itertools.chain([first], lines), wish, 1 if one_by_one else CHUNK):
        wish.explain.check(task)
        if task not in said and chooses(model.heads):
            said.add(task)
            render.message(_doing(model, task))
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


def _chunks(
    model: "Model", whole: str, lines: Iterable[Line], wish: Wish, size: int
) -> Iterator[tuple[str, list[Line]]]:
    """The lines in their order, some at a time that have one task; `whole` is what the model does."""
    for task, of_task in itertools.groupby(lines, lambda line: task_for(line.text, whole, model, wish)):
        while some := list(itertools.islice(of_task, size)):
            yield task, some


def _doing(model: "Model", task: str) -> str:
    """What is done, in a line, where it depends on the text."""
    if task == "fill-mask":
        return f"{task}, as there is a {model.tokenizer.vocab.notation.mask}"
    return f"{task}: {', '.join(model.labels[:8])}{', ...' if len(model.labels) > 8 else ''}"
