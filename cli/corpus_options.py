"""The options that say how text is read: shared by vocab, prepare and pretrain."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def corpus_options(*, required: bool) -> Callable[[F], F]:
    """CORPUS... --documents --sentences"""

    def add(command: F) -> F:
        command = click.option(
            "--sentences", type=click.Choice(["auto", "line", "split"]), default="auto", show_default=True,
            help="One sentence a line, or running text to be split; auto asks if it can't be seen.",
        )(command)  # fmt: skip
        command = click.option(
            "--documents", type=click.Choice(["auto", "blank-line", "file", "wiki", "jsonl"]), default="auto",
            show_default=True, help="What separates documents; auto asks if it can't be seen.",
        )(command)  # fmt: skip
        return click.argument("corpus", nargs=-1, required=required)(command)

    return add
