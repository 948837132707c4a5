"""The options that say how a task's data are read and become sequences: shared by finetune and evaluate."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..data.tasks.catalogue import data_set_info
from ..errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
TRUNCATE = ["head", "tail", "head+tail"]


def task_argument(*more: str) -> Callable[[F], F]:
    """TASK, any name of a data set or a kind of task that the catalogue knows, or one of `more`: the command gets the
    catalogue's own name."""

    def find(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
        if name.lower() in more:
            return name.lower()
        try:
            return data_set_info(name).name
        except InputError as error:
            raise InputError(", ".join((str(error), *more))) from None

    return click.argument("task", metavar="TASK", callback=find)


def _all(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options, in the order in which the help shows them."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


column_options = _all(
    click.option("--text", metavar="COLUMN", help="Column of the text.  [default: found by its name]"),
    click.option("--pair", metavar="COLUMN", help="Column of the second text.  [default: found by its name]"),
    click.option("--label", metavar="COLUMN", help="Column of the label.  [default: found by its name]"),
    click.option("--group", metavar="COLUMN", help="Column of what belongs together: --held-out keeps it together."),
)
"""--text --pair --label --group"""

format_options = _all(
    click.option("--delimiter", metavar="CHAR", help="Between columns.  [default: by the file's ending]"),
    click.option("--no-header", is_flag=True, help="The first line holds no names; columns are numbered from 1."),
)
"""--delimiter --no-header"""

sequence_options = _all(
    click.option("--max-length", type=int, help="Tokens of a sequence.  [default: 128; questions 384]"),
    click.option("--truncate", type=click.Choice(TRUNCATE), help="What is kept of a longer text.  [default: head]"),
    click.option("--windows", is_flag=True, help="Read longer texts through windows; their scores are pooled."),
    click.option("--stride", type=int, help="How far apart windows begin.  [default: questions 128, else half a "
                 "window]"),
    click.option("--max-query-length", default=64, show_default=True, help="Tokens of a question."),
    click.option("--max-answer-length", default=30, show_default=True, help="Tokens of an answer."),
    click.option("--null-threshold", default=0.0, show_default=True,
                 help="\"No answer\" must be better than the best answer by more than this."),
)  # fmt: skip
"""--max-length --truncate --windows --stride --max-query-length --max-answer-length --null-threshold"""


def names_of(labels: str | None) -> tuple[str, ...]:
    """The value of --labels A,B,... as names."""
    return tuple(each.strip() for each in labels.split(",")) if labels else ()
