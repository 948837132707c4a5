"""bertref vocab"""

import json
from pathlib import Path
from typing import Any, cast

import click

from . import render
from .corpus_options import corpus_options
from .options import debug_option, json_option


@click.command()
@corpus_options(required=True)
@click.option("--kind", type=click.Choice(["wordpiece", "byte-level", "unigram"]), default="wordpiece",
              show_default=True, help="Of BERT's pieces, RoBERTa's or ALBERT's.")  # fmt: skip
@click.option("--out", "out", metavar="FILE|DIR", help="Where to write it: a file of word pieces, a folder of the "
              "others.  [default: vocab.txt, or tokenizer]")  # fmt: skip
@click.option("--size", type=click.IntRange(min=7), default=30522, show_default=True, help="Most tokens.")
@click.option("--min-frequency", type=click.IntRange(min=1), default=2, show_default=True, help="Rarer pairs make no "
              "piece (not of unigram).")  # fmt: skip
@click.option("--cased", is_flag=True, help="Keep case and accents; byte-level always does.")
@click.option("--force", is_flag=True, help="Replace what exists.")
@json_option
@debug_option
def vocab(
    corpus: tuple[str, ...], documents: str, sentences: str, kind: str, out: str | None, size: int, min_frequency: int,
    cased: bool, force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train a vocabulary on text.

    \b
    Example:
        bertref vocab novels/ --size 8000 --out vocab.txt
        bertref vocab novels/ --size 8000 --kind byte-level --out novels-tokenizer
    """
    from ..data.pretraining.documents import read_documents
    from ..errors import InputError
    from ..text import train_tokenizer

    out = out or ("vocab.txt" if kind == "wordpiece" else "tokenizer")
    if Path(out).exists() and not force:
        raise InputError(f"{out}: exists; add --force to replace it")
    found = read_documents(corpus, layout=cast(Any, documents), sentences=cast(Any, sentences))
    text = (sentence for document in found for sentence in document.sentences)
    with render.working("Counting words"):
        trained = train_tokenizer(text, size, kind, lower_case=not cased, min_frequency=min_frequency)
    if kind == "wordpiece":
        trained.vocab.save(out)
    else:
        trained.save_pretrained(out)
    if as_json:
        click.echo(json.dumps({"schema": 1, "out": out, "size": len(trained.vocab), "sha256": trained.vocab.sha256}))
    else:
        render.message(f"{out}: {len(trained.vocab)} tokens")
