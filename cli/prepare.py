"""bertref prepare"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

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
@click.option("--part", metavar="I/N", help="Prepare one of N parts of the corpus into the folder; the last one joins "
              "them. Under torchrun every process prepares one.")  # fmt: skip
@json_option
@debug_option
def prepare(
    corpus: tuple[str, ...], documents: str, sentences: str, vocab: str, out: str, cased: bool, kind: str, files: int,
    held_out: float | None, processes: int | None, part: str | None, as_json: bool, **rules: Any,
) -> None:  # fmt: skip
    """Tokenise text once into a folder that `pretrain` takes as its CORPUS.

    \b
    Example:
        bertref prepare novels/ --vocab vocab.txt --out novels-tokens
        bertref pretrain novels-tokens
        bertref prepare novels/ --vocab vocab.txt --out novels-records --format tfrecord --files 8 --held-out 0.05
        bertref prepare novels/ --vocab vocab.txt --out novels-tokens --part 2/8
    """
    from ..backends.numpy.threads import count as all_threads
    from ..data.pretraining.corpus import Corpus
    from ..data.pretraining.documents import read_documents
    from ..data.pretraining.record_files import write_records
    from ..data.pretraining.shards import prepare as run
    from ..errors import InputError
    from ..text import Tokenizer
    from ..train.parallel.torchrun import joined
    from .prepare_parts import part_of, prepare_parts, tell_missing

    if held_out and kind == "tokens":
        raise InputError("--held-out goes with --format tfrecord; of tokens, pretrain itself holds documents out")
    if kind == "tfrecord" and Path(out).exists():  # before the text is tokenised
        raise InputError(f"{out}: exists; choose another --out")
    tokenizer = Tokenizer.open(vocab, lower_case=not cased)
    tokenizer.vocab.require_specials()
    reading: Any = {"layout": documents, "sentences": sentences}
    start = time.perf_counter()
    with joined() as world, render.counting() as progress:
        work: Any = {"progress": progress, "processes": processes or all_threads()}
        own = part_of(world, part, kind)
        if own:
            found = prepare_parts(world, own, corpus, tokenizer, out, **reading, **work)
        elif kind == "tokens":
            found = dict(run(read_documents(corpus, **reading), tokenizer, out, **work))
        else:
            with tempfile.TemporaryDirectory() as folder:
                tokens = Path(folder) / "tokens"
                found = dict(run(read_documents(corpus, **reading), tokenizer, tokens, **work))
                found |= write_records(Corpus.open(tokens), out, files=files, held_out=held_out, **rules)
    if world.rank == 0:
        _report(out, found, time.perf_counter() - start, as_json)
        tell_missing(out)


def _report(out: str, counts: dict[str, int], seconds: float, as_json: bool) -> None:
    from ..data.pretraining.corpus import is_corpus

    if counts["documents"] == 1 and is_corpus(out):
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
