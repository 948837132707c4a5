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
@click.option("--vocab", metavar="FILE", required=True, help="Vocabulary file.")
@click.option("--out", metavar="DIR", required=True, help="Folder to make.")
@click.option("--cased", is_flag=True, help="Keep case and accents.")
@click.option("--format", "kind", type=click.Choice(["tokens", "tfrecord"]), default="tokens", show_default=True,
              help="Tokens, to be masked while training; or finished examples, as in the original.")  # fmt: skip
@click.option("--files", type=click.IntRange(min=1), default=1, show_default=True, help="How many TFRecord files.")
@click.option("--seq-len", type=int, default=128, show_default=True, help="TFRecord: most tokens of a sequence.")
@click.option("--max-predictions", type=int, default=20, show_default=True, help="TFRecord: most masked tokens.")
@click.option("--masked-lm-prob", type=float, default=0.15, show_default=True, help="TFRecord: share that is masked.")
@click.option("--short-seq-prob", type=float, default=0.1, show_default=True, help="TFRecord: share that is short.")
@click.option("--dupe-factor", type=int, default=10, show_default=True, help="TFRecord: passes, each with new masks.")
@click.option("--whole-word", is_flag=True, help="TFRecord: mask whole words.")
@click.option("--seed", "random_seed", type=int, default=12345, show_default=True, help="TFRecord: of all choices.")
@click.option("--processes", type=click.IntRange(min=1),
              help="That tokenise a large corpus.  [default: OPENBLAS_NUM_THREADS, else every core]")  # fmt: skip
@json_option
@debug_option
def prepare(
    corpus: tuple[str, ...], documents: str, sentences: str, vocab: str, out: str, cased: bool, kind: str, files: int,
    processes: int | None, as_json: bool, **rules: Any,
) -> None:  # fmt: skip
    """Tokenise text once into a folder that `pretrain` takes as its CORPUS.

    \b
    Example:
        bertref prepare novels/ --vocab vocab.txt --out novels-tokens
        bertref pretrain novels-tokens
        bertref prepare novels/ --vocab vocab.txt --out novels-records --format tfrecord --files 8
    """
    from ..backends.numpy.threads import count as all_threads
    from ..data.pretraining.documents import read_documents
    from ..data.pretraining.shards import prepare as run
    from ..text import Tokenizer, load_vocab
    from ..train.pretraining.setup import NEEDED

    tokenizer = Tokenizer(load_vocab(vocab, require=NEEDED), lower_case=not cased)
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
                counts["examples"] = _write_records(tokens, Path(out), files, rules)
    seconds = time.perf_counter() - start
    rate = counts["tokens"] / seconds
    if as_json:
        click.echo(json.dumps({"schema": 1, "out": out, **counts, "seconds": seconds, "tokens_per_second": rate}))
    else:
        told = ", ".join(f"{value:,} {name}" for name, value in counts.items())
        render.message(f"{out}: {told}; {rate:,.0f} tokens/s")


def _write_records(tokens: Path, out: Path, files: int, rules: dict[str, Any]) -> int:
    """TFRecord files of the original's instances and the vocabulary, in a new folder."""
    from ..data.pretraining.corpus import Corpus
    from ..data.pretraining.original import original_batches
    from ..data.pretraining.tfrecord_data import write_tfrecords
    from ..errors import InputError
    from ..plumbing.files import write_folder

    if out.exists():
        raise InputError(f"{out}: exists; choose another --out")
    corpus = Corpus.open(tokens)
    written = []

    def fill(folder: Path) -> None:
        names = [folder / f"pretraining-{i:05}-of-{files:05}.tfrecord" for i in range(files)]
        written.append(write_tfrecords(names, original_batches(corpus, **rules)))
        corpus.vocab.save(folder / "vocab.txt")

    write_folder(out, fill)
    return written[0]
