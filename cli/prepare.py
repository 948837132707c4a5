"""bertref prepare"""

import json
import time
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
@json_option
@debug_option
def prepare(
    corpus: tuple[str, ...], documents: str, sentences: str, vocab: str, out: str, cased: bool, as_json: bool
) -> None:
    """Tokenise text once into a folder that `pretrain` takes as its CORPUS.

    \b
    Example:
        bertref prepare novels/ --vocab vocab.txt --out novels-tokens
        bertref pretrain novels-tokens
    """
    from ..data.documents import read_documents
    from ..data.shards import prepare as run
    from ..text import Tokenizer, load_vocab
    from ..train.setup import NEEDED

    tokenizer = Tokenizer(load_vocab(vocab, require=NEEDED), lower_case=not cased)
    found = read_documents(corpus, layout=cast(Any, documents), sentences=cast(Any, sentences))
    start = time.perf_counter()
    with render.counting() as progress:
        counts = run(found, tokenizer, out, progress=progress)
    seconds = time.perf_counter() - start
    rate = counts["tokens"] / seconds
    if as_json:
        click.echo(json.dumps({"schema": 1, "out": out, **counts, "seconds": seconds, "tokens_per_second": rate}))
    else:
        render.message(
            f"{out}: {counts['documents']:,} documents, {counts['sentences']:,} sentences, "
            f"{counts['tokens']:,} tokens; {rate:,.0f} tokens/s"
        )
