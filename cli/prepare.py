"""bertref prepare"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import click

from . import render
from .corpus_options import corpus_options
from .options import debug_option, json_option


@click.command()
@corpus_options(required=True)
@click.option("--vocab", metavar="FILE|DIR", required=True, help="A vocab.txt, or a folder with a tokenizer.")
@click.option("--out", metavar="DIR", required=True, help="Folder to make.")
@click.option("--cased", is_flag=True, help="Keep case and accents (with a vocab.txt).")
@click.option("--format", "kind", type=click.Choice(["tokens", "tfrecord"]), default="tokens", show_default=True,
              help="Tokens, to be masked while training; or finished examples, as in the original.")  # fmt: skip
@click.option("--files", type=click.IntRange(min=1), default=1, show_default=True, help="How many TFRecord files.")
@click.option("--seq-len", type=int, default=128, show_default=True, help="TFRecord: most tokens of a sequence.")
@click.option("--max-predictions", type=int, default=20, show_default=True, help="TFRecord: most masked tokens.")
@click.option("--masked-lm-prob", type=float, default=0.15, show_default=True, help="TFRecord: share that is masked.")
@click.option("--short-seq-prob", type=float, default=0.1, show_default=True, help="TFRecord: share that is short.")
@click.option("--dupe-factor", type=int, default=10, show_default=True, help="TFRecord: passes, each with new masks.")
@click.option("--held-out", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="SHARE",
              help="TFRecord: share of the text, in whole documents, whose examples go to the folder `held-out`, on "
              "which pretrain evaluates.")  # fmt: skip
@click.option("--whole-word", is_flag=True, help="TFRecord: mask whole words.")
@click.option("--seed", "random_seed", type=int, default=12345, show_default=True, help="TFRecord: of all choices.")
@click.option("--processes", type=click.IntRange(min=1),
              help="That tokenise a large corpus.  [default: OPENBLAS_NUM_THREADS, else every core]")  # fmt: skip
@json_option
@debug_option
def prepare(
    corpus: tuple[str, ...], documents: str, sentences: str, vocab: str, out: str, cased: bool, kind: str, files: int,
    held_out: float | None, processes: int | None, as_json: bool, **rules: Any,
) -> None:  # fmt: skip
    """Tokenise text once into a folder that `pretrain` takes as its CORPUS.

    \b
    Example:
        bertref prepare novels/ --vocab vocab.txt --out novels-tokens
        bertref pretrain novels-tokens
        bertref prepare novels/ --vocab vocab.txt --out novels-records --format tfrecord --files 8 --held-out 0.05
    """
    from ..backends.numpy.threads import count as all_threads
    from ..data.pretraining.corpus import Corpus
    from ..data.pretraining.documents import read_documents
    from ..data.pretraining.record_files import write_records
    from ..data.pretraining.shards import prepare as run
    from ..errors import InputError
    from ..text import Tokenizer

    if held_out and kind == "tokens":
        raise InputError("--held-out goes with --format tfrecord; of tokens, pretrain itself holds documents out")
    if kind == "tfrecord" and Path(out).exists():  # before the text is tokenised
        raise InputError(f"{out}: exists; choose another --out")
    tokenizer = Tokenizer.open(vocab, lower_case=not cased)
    tokenizer.vocab.require_specials()
    processes = processes or all_threads()
    found = read_documents(corpus, layout=cast(Any, documents), sentences=cast(Any, sentences))
    start = time.perf_counter()
    with render.counting() as progress:
        if kind == "tokens":
            counts = dict(run(found, tokenizer, out, progress=progress, processes=processes))
        else:
            with tempfile.TemporaryDirectory() as folder:
                tokens = Path(folder) / "tokens"
                counts = dict(run(found, tokenizer, tokens, progress=progress, processes=processes))
                counts |= write_records(Corpus.open(tokens), out, files=files, held_out=held_out, **rules)
    _report(out, counts, time.perf_counter() - start, as_json)


def _report(out: str, counts: dict[str, int], seconds: float, as_json: bool) -> None:
    if counts["documents"] == 1:
        render.message(
            f"The corpus is one document of {counts['sentences']:,} sentences; random second segments are from it. "
            "If blank lines separate documents, add --documents blank-line; if lines are sentences, --sentences line."
        )
    rate = counts["tokens"] / seconds
    if as_json:
        click.echo(json.dumps({"schema": 1, "out": out, **counts, "seconds": seconds, "tokens_per_second": rate}))
    else:
        told = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in counts.items())
        render.message(f"{out}: {told}; {rate:,.0f} tokens/s")
