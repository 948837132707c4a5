"""Options that several commands share."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import default_model
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


THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""Where NumPy's OpenBLAS, torch and the tokenisers look when they are loaded."""


def threads_option(command: F) -> F:
    """--threads N, told to all libraries: to those not loaded yet by the environment"""

    def tell(_context: click.Context, _parameter: click.Parameter, threads: int | None) -> None:
        if threads is None:
            return
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
        if "numpy" in sys.modules:
            from ..backends.numpy.threads import use

            use(threads)

    return click.option(
        "--threads", type=click.IntRange(min=1), metavar="N", expose_value=False, callback=tell,
        help="CPU threads to compute with.  [default: OPENBLAS_NUM_THREADS, else all cores]",
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
    return click.option(
        "--model", "model_dir", metavar="DIR", default=None,
        help="Model folder; else $BERTREF_MODEL, else the one inside bertref.",
    )(command)  # fmt: skip


def load_model(given: str | None, *, backend: str, dtype: str, allow: Sequence[str]) -> "Model":
    """The model that was named, loaded; says on standard error what became of the tensors of its file."""
    from ..api import load
    from . import render

    folder = model_folder(given)
    model = load(folder, backend=backend, dtype=dtype, allow=allow, freeze=False)  # it serves one command
    if folder == str(default_model.FOLDER):
        render.message("bertref's own model, for texts about films in English; --model names another")
    elif model.coverage:
        render.message(f"{model.coverage.file}: {model.coverage.summary()}")
        for note in model.coverage.notes:
            render.message(note)
    return model


def model_folder(given: str | None) -> str:
    """The model to use: the named one, or that inside the package. Raises `InputError` saying how to get one if there
    is none."""
    folder = given or os.environ.get("BERTREF_MODEL")
    if not folder and default_model.available():
        return str(default_model.FOLDER)
    if not folder:
        raise InputError(
            "no model: run `bertref pretrain` to make one in ./bertref-model, then add --model bertref-model "
            "(or set BERTREF_MODEL)"
        )
    return folder
