"""bertref predict"""

import itertools
import json
from collections.abc import Iterable, Iterator

import click

from . import render
from .options import backend_option, debug_option, json_option, model_folder, model_option
from .texts import read_texts

CHUNK = 256


@click.command()
@click.argument("texts", nargs=-1)
@click.option("--pair", metavar="TEXT", help="Judge whether this sentence follows the given one.")
@click.option("--file", "file", metavar="FILE", help="One text a line; - is standard input.")
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="Candidates for each mask.")
@model_option
@backend_option
@click.option("--dtype", default="float32", show_default=True, help="Compute dtype.")
@json_option
@debug_option
def predict(
    texts: tuple[str, ...], pair: str | None, file: str | None, top_k: int, model_dir: str | None, backend: str,
    dtype: str, as_json: bool,
) -> None:  # fmt: skip
    """Guess masked words, or whether one sentence follows another.

    \b
    Example:
        bertref predict --model bertref-model "The [MASK] statement is used to raise an exception."
        bertref predict --model bertref-model "It rained." --pair "We stayed at home."
        bertref predict --model bertref-model --file texts.txt --json
    """
    from ..api import load

    lines = read_texts(texts, file)
    first = next(lines, None)
    if first is None:
        return
    model = load(model_folder(model_dir), backend=backend, dtype=dtype)
    for some in _chunks(itertools.chain([first], lines)):
        if pair is not None:
            for text, p in zip(some, model.next_sentence_batch(some, [pair] * len(some)), strict=True):
                if as_json:
                    _json({"text": text, "pair": pair, "task": "next-sentence", "is_next": p})
                else:
                    render.next_sentence(text, pair, p)
            continue
        for text, masks in zip(some, model.predict_batch(some, top_k=top_k), strict=True):
            if as_json:
                found = [{"position": m.position, "top": [g._asdict() for g in m.top]} for m in masks]
                _json({"text": text, "task": "fill-mask", "masks": found})
            else:
                render.guesses(text, masks)


def _json(values: dict[str, object]) -> None:
    click.echo(json.dumps({"schema": 1, **values}, ensure_ascii=False))


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while some := list(itertools.islice(iterator, CHUNK)):
        yield some
