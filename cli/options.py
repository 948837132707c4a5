"""Options that several commands share."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import InputError

if TYPE_CHECKING:
    from ..api import Model

F = TypeVar("F", bound=Callable[..., Any])


def backend_option(command: F) -> F:
    """--backend NAME[:DEVICE]"""
    return click.option(
        "--backend", default="numpy", show_default=True, metavar="NAME[:DEVICE]",
        help="Array library: numpy, torch, torch:cuda, torch:xla, cupy.",
    )(command)  # fmt: skip


def allow_option(command: F) -> F:
    """--allow PATTERN"""
    return click.option(
        "--allow", multiple=True, metavar="PATTERN",
        help="A tensor that may be missing or unused, such as 'cls.seq_relationship.*'; may be given again.",
    )(command)  # fmt: skip


def config_option(command: F) -> F:
    """--config FILE"""
    return click.option("--config", metavar="FILE", help="The config, if it does not lie beside the weights.")(command)


def dialect_option(command: F) -> F:
    """--dialect NAME"""
    return click.option(
        "--dialect", type=click.Choice(["google", "huggingface"]),
        help="Numeric dialect; else the recorded one, google for TensorFlow checkpoints, huggingface for others.",
    )(command)  # fmt: skip


def debug_option(command: F) -> F:
    """--debug"""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(command)


def json_option(command: F) -> F:
    """--json"""
    return click.option("--json", "as_json", is_flag=True, help="Machine-readable output, one JSON object a line.")(
        command
    )


def model_option(command: F) -> F:
    """--model DIR"""
    return click.option("--model", "model_dir", metavar="DIR", default=None, help="Model folder; else $BERTREF_MODEL.")(
        command
    )


def load_model(given: str | None, *, backend: str, dtype: str, allow: Sequence[str]) -> "Model":
    """The model that was named, loaded; says on standard error what became of the tensors of its file."""
    from ..api import load
    from . import render

    model = load(model_folder(given), backend=backend, dtype=dtype, allow=allow)
    if model.coverage:
        render.message(f"{model.coverage.file}: {model.coverage.summary()}")
    return model


def model_folder(given: str | None) -> str:
    """The model to use. Raises `InputError` saying how to get one if none is named."""
    folder = given or os.environ.get("BERTREF_MODEL")
    if not folder:
        raise InputError(
            "no model: run `bertref pretrain` to make one in ./bertref-model, then add --model bertref-model "
            "(or set BERTREF_MODEL)"
        )
    return folder
