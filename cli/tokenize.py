"""bertref tokenize"""

import json

import click

from .options import debug_option, json_option, model_option
from .texts import read_texts


@click.command()
@click.argument("texts", nargs=-1)
@click.option("--file", "file", metavar="FILE", help="One text a line; - is standard input.")
@click.option("--vocab", metavar="FILE|DIR", help="A vocab.txt, or a folder with a tokenizer; else the model's.")
@model_option
@click.option("--cased", is_flag=True, help="Keep case and accents (with a vocab.txt).")
@click.option("--ids", is_flag=True, help="Show ids instead of tokens.")
@click.option(
    "--max-chars", type=click.IntRange(min=1), default=200, show_default=True,
    help="Longer words become [UNK] (with a vocab.txt); the first release of the original had 100.",
)  # fmt: skip
@json_option
@debug_option
def tokenize(
    texts: tuple[str, ...], file: str | None, vocab: str | None, model_dir: str | None, cased: bool, ids: bool,
    max_chars: int, as_json: bool,
) -> None:  # fmt: skip
    """Show the tokens of a text.

    \b
    Example:
        bertref tokenize --model bertref-model "This here's an example."
        bertref tokenize --vocab vocab.txt --ids --file texts.txt
        bertref tokenize --model roberta-base "It takes the <mask> before it."
    """
    from ..text import Tokenizer
    from .options import model_folder

    if vocab:
        tokenizer = Tokenizer.open(vocab, lower_case=not cased, max_chars_per_word=max_chars)
    else:
        tokenizer = Tokenizer.from_pretrained(model_folder(model_dir))
    for text in read_texts(texts, file):
        (numbers,) = tokenizer.ids_batch([text], specials=True)
        tokens = [tokenizer.vocab.tokens[number] for number in numbers]
        if as_json:
            click.echo(json.dumps({"schema": 1, "text": text, "tokens": tokens, "ids": numbers}, ensure_ascii=False))
        else:
            click.echo(" ".join(map(str, numbers)) if ids else " ".join(tokens))
