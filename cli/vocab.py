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
@click.option("--out", "out", metavar="FILE", default="vocab.txt", show_default=True, help="Where to write it.")
@click.option("--size", type=click.IntRange(min=7), default=30522, show_default=True, help="Most tokens.")
@click.option("--min-frequency", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--cased", is_flag=True, help="Keep case and accents.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@json_option
@debug_option
def vocab(
    corpus: tuple[str, ...], documents: str, sentences: str, out: str, size: int, min_frequency: int, cased: bool,
    force: bool, as_json: bool,
) -> None:  # fmt: skip
    """Train a vocabulary on text.

    \b
    Example:
        bertref vocab novels/ --size 8000 --out vocab.txt
    """
    from ..data.pretraining.documents import read_documents
    from ..errors import InputError
    from ..text import train_vocab

    if Path(out).exists() and not force:
        raise InputError(f"{out}: exists; add --force to replace it")
    found = read_documents(corpus, layout=cast(Any, documents), sentences=cast(Any, sentences))
    text = (sentence for document in found for sentence in document.sentences)
    with render.working("Counting words"):
        trained = train_vocab(text, size, lower_case=not cased, min_frequency=min_frequency)
    trained.save(out)
    if as_json:
        click.echo(json.dumps({"schema": 1, "out": out, "size": len(trained), "sha256": trained.sha256}))
    else:
        render.message(f"{out}: {len(trained)} tokens")
