"""The `bertref` command: its subcommands are imported when they are called, so `--help` stays quick."""

import sys
from importlib import import_module

import click

from .. import __version__
from ..backends.numpy.blas import coretype
from ..errors import BertrefError, TrainingDiverged
from . import streams

COMMANDS = {
    "bench": "How fast bertref is here, alone or in a race with another library.",
    "convert": "Convert a checkpoint between Hugging Face, TensorFlow and ONNX.",
    "doctor": "What is installed and usable here, and what to install for the rest.",
    "evaluate": "Judge a model on a task, or answers in a file: metrics, tables, pictures.",
    "features": "Write the vectors of texts: of every token in chosen layers, or one for each text.",
    "finetune": "Train a model for a task: classify, answer, choose, tag.",
    "golden": "Export cases for programs in any language; list, show and check the goldens.",
    "info": "Show what a checkpoint is and what can be done with it.",
    "predict": "Do what a model was trained for: fill masks, answer, classify, tag, choose.",
    "prepare": "Tokenise text into a corpus that pretrain reads, or into TFRecord files.",
    "pretrain": "Pre-train a BERT on text.",
    "tokenize": "Show the tokens of a text.",
    "verify": "Tell any BERT whether it is right, and where it first goes wrong.",
    "vocab": "Train a vocabulary on text.",
}


class Lazy(click.Group):
    """A group whose commands live in modules of their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f".{cmd_name}", __package__), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bertref")
def bertref() -> None:
    """The numerical reference of BERT: pre-train and predict on NumPy, CuPy and torch arrays.

    \b
    Example:
        bertref pretrain
        bertref predict --model bertref-model "The [MASK] statement is used to raise an exception."
    """


def main() -> None:
    """Entry point of the console script. Exit codes: 0 done, 1 the check failed, 2 wrong use or impossible here."""
    streams.prepare()
    coretype.choose()  # before a command imports NumPy
    try:
        bertref.main(prog_name="bertref", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        _fail("aborted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BertrefError as error:
        if "--debug" in sys.argv:
            raise
        _fail(str(error), 1 if isinstance(error, TrainingDiverged) else 2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except (OSError, MemoryError) as error:
        if "--debug" in sys.argv:
            raise
        _fail(f"{type(error).__name__}: {error}", 2)


def _fail(message: str, code: int) -> None:
    click.echo(f"bertref: {message}", err=True)
    sys.exit(code)
