"""bertref bench"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from .. import default_model
from ..bench.job import COMMANDS, PEERS, TEXT_COMMANDS, Job
from ..bench.lengths import MIXES
from ..errors import InputError
from . import render, render_bench
from .options import backend_option, debug_option, json_option, model_folder

ANYONE = tuple(dict.fromkeys(peer for peers in PEERS.values() for peer in peers))


@click.command()
@click.argument("what", metavar=f"{{{'|'.join(COMMANDS)}}}", type=click.Choice(COMMANDS))
@click.option("--config", default="mini", show_default=True, metavar="NAME|FILE",
              help="tiny, mini, small, medium, base, large, or a config.json.")  # fmt: skip
@click.option("--batch-size", type=int, default=32, show_default=True, help="Sequences at a time.")
@click.option("--seq-len", type=int, help="Tokens of a sequence, all of them real.  [default: 128; --ragged: 512]")
@click.option("--ragged", metavar="MIX|FILE",
              help="Sequences of many lengths, unsorted: imdb, squad, squad-windows, or those of a file's lines; "
              "predict classifies the lines themselves, from text.")  # fmt: skip
@backend_option
@click.option("--dtype", default="float32", show_default=True,
              help="What ours computes in: float32, float64, bfloat16, mixed-bfloat16, ...")  # fmt: skip
@click.option("--kernels", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Faster kernels.")
@click.option("--threads", type=click.IntRange(min=1),
              help="Of each side.  [default: OPENBLAS_NUM_THREADS, else every core]")  # fmt: skip
@click.option("--processes", type=click.IntRange(min=1),
              help="Of parallel: those that share the threads, and every batch.  [default: 2]")  # fmt: skip
@click.option("--shard-optimizer", is_flag=True, help="Of parallel: each keeps a part of the optimiser's state.")
@click.option("--repeat", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds.")
@click.option("--peer", "peers", type=click.Choice(ANYONE), multiple=True,
              help="Who races; reference is bertref itself, plain. With --plot give several.")  # fmt: skip
@click.option("--peer-dtype", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True,
              help="bfloat16: the peer runs under autocast.")  # fmt: skip
@click.option("--dropout", type=float, default=0.1, show_default=True, help="Of both sides, where they train.")
@click.option("--recompute", type=click.Choice(["none", "attention", "layers"]), default="none", show_default=True,
              help="Activations that ours computes again in backward.")  # fmt: skip
@click.option("--masked", type=int, help="Masked positions of a full sequence.  [default: 15 %: 20 of 128]")
@click.option("--corpus", metavar="PATH", multiple=True, help="Text of tokenize and prepare; may be given again.")
@click.option("--vocab", metavar="FILE", help="Vocabulary of tokenize and prepare, and of a --ragged file.")
@click.option("--model", metavar="DIR", help="Classifier that predict gives the texts of a --ragged file to; else "
              "$BERTREF_MODEL, else the one inside bertref.")  # fmt: skip
@click.option("--roofline", is_flag=True, help="Measure the machine's product speed, and the share that is reached.")
@click.option("--memory", is_flag=True, help="Show the peak: predicted from the shapes, and measured.")
@click.option("--plot", metavar="FILE",
              help="Draw time per step by batch size and sequence length (needs bertref[plot]).")  # fmt: skip
@json_option
@debug_option
def bench(
    what: str, peers: tuple[str, ...], seq_len: int | None, ragged: str | None, model: str | None, kernels: str,
    threads: int | None, processes: int | None, repeat: int, roofline: bool, memory: bool, plot: str | None,
    as_json: bool, **values: Any,
) -> None:  # fmt: skip
    """How fast bertref is here, alone or in a race: both sides in turn, each in its own process with all threads, and
    on the device of --backend.

    Before anything is timed both sides must compute the same, dropout off: losses and gradient norms, vectors,
    probabilities, or token ids. The ratio is how many times as fast ours is, the median and the spread over the rounds.

    parallel races several processes that share the threads, and every batch, as under torchrun, against one process.

    \b
    Example:
        bertref bench pretrain --config mini --peer transformers --roofline --memory
        bertref bench finetune --config base --ragged squad-windows --batch-size 16 --peer transformers
        bertref bench encode --config base --ragged imdb --peer onnxruntime
        bertref bench predict --ragged reviews.txt --peer onnxruntime
        bertref bench pretrain --config base --peer transformers --peer-dtype bfloat16
        bertref bench pretrain --backend cupy --dtype mixed-bfloat16 --peer transformers --peer-dtype bfloat16
        bertref bench encode --config mini --peer transformers --peer onnxruntime --plot encode.png
        bertref bench tokenize --peer reference
        bertref bench parallel --config mini --threads 2 --processes 2 --shard-optimizer
    """
    from ..backends.numpy.threads import count as all_threads
    from ..bench.race import race
    from ..bench.sweep import sweep

    if what == "parallel":
        peers, processes = peers or ("alone",), processes or 2
    _check(what, peers, ragged, plot)
    if _reads_texts(what, ragged):
        model = _classifier(model)
    job = Job(
        what, kernels=kernels == "on", threads=threads or all_threads(), processes=processes or 1, ragged=ragged,
        model=model, seq_len=seq_len or (512 if ragged else 128), **values,
    )  # fmt: skip
    options: Any = {"repeat": repeat, "with_roofline": roofline, "with_memory": memory}
    with _ended_by_sigterm(), render.working(f"bench {what}") as report:
        if plot:
            found = sweep(job, peers, report=report, **options)
        else:
            found = race(job, peers[0] if peers else None, report=report, **options)
    if plot:
        render_bench.plot(found, plot)
    if as_json:
        click.echo(json.dumps(found))
    else:
        render_bench.result(found)


def _check(what: str, peers: tuple[str, ...], ragged: str | None, plot: str | None) -> None:
    """Raises `InputError` for options that don't go together, before anything takes time."""
    for peer in peers:
        if peer not in PEERS[what]:
            raise InputError(f"bench {what} has no peer {peer}; there are {', '.join(PEERS[what])}")
    if len(peers) > 1 and not plot:
        raise InputError("a race has one --peer; several go with --plot")
    if what == "parallel" and plot:
        raise InputError("--plot goes with pretrain, finetune, encode and predict, not with parallel")
    if what in (*TEXT_COMMANDS, "ops") and (plot or ragged):
        option = "--plot" if plot else "--ragged"
        raise InputError(f"{option} goes with pretrain, finetune, encode and predict, not with {what}")
    if plot and ragged:
        raise InputError("--plot draws full sequences of every length; leave out --ragged")
    if plot:
        render_bench.need_matplotlib()
        if not Path(plot).resolve().parent.is_dir():
            raise InputError(f"{plot}: its folder does not exist")


def _reads_texts(what: str, ragged: str | None) -> bool:
    """Whether `predict` classifies the lines of a file. Raises `InputError` for options that say what the model and the
    file say."""
    if what != "predict" or ragged is None or ragged in MIXES:
        return False
    context = click.get_current_context()
    for name in ("config", "seq_len", "vocab", "masked"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is the model's where predict reads a file's texts; leave it out")
    return True


def _classifier(given: str | None) -> str:
    """The folder of the model to race with. Raises `InputError` if none is named and there is none in the package."""
    if not (given or os.environ.get("BERTREF_MODEL") or default_model.available()):
        raise InputError("predict on a file's texts needs a classifier: give its folder with --model DIR")
    return model_folder(given)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the race as Ctrl-C does: its processes with it, its folder removed."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
