"""bertref features"""

import itertools
import sys
from pathlib import Path

import click

from ..errors import InputError
from . import render
from .options import allow_option, backend_option, debug_option, load_model, model_option, threads_option
from .texts import count_texts, read_texts


@click.command()
@click.argument("texts", nargs=-1)
@click.option("--file", "file", metavar="FILE", help="One text a line, or two: text ||| text. - is standard input.")
@click.option(
    "--layers", metavar="LIST",
    help="Token vectors of these layers; -1 is the last.  [default: -1,-2,-3,-4, unless --pooling]",
)  # fmt: skip
@click.option(
    "--pooling", metavar="LIST",
    help="Vectors of whole texts: embedding (as the folder's sentence-transformers files say; else the mean), mean, "
    "cls, max, mean_sqrt_len_tokens, weightedmean, lasttoken, pooled (BERT's pooler).",
)  # fmt: skip
@click.option("--normalize/--no-normalize", default=None, help="Vectors of whole texts to length 1, or not.")
@click.option(
    "--max-seq-length", type=int, metavar="N",
    help="Longer texts are cut.  [default: the folder's sentence-transformers files, else 128]",
)  # fmt: skip
@click.option("--format", "form", type=click.Choice(["jsonl", "npz"]), help="[default: by the name of --out, or jsonl]")
@click.option("--out", metavar="FILE", help="Where to write; standard output if missing (jsonl only).")
@model_option
@allow_option
@backend_option
@threads_option
@click.option("--dtype", default="float32", show_default=True, help="Compute dtype.")
@debug_option
def features(
    texts: tuple[str, ...], file: str | None, layers: str | None, pooling: str | None, normalize: bool | None,
    max_seq_length: int | None, form: str | None, out: str | None, model_dir: str | None, backend: str, dtype: str,
    allow: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the vectors of texts: of every token in chosen layers, or one for each text.

    \b
    Example:
        bertref features --model bertref-model --file texts.txt --layers -1,-2 --format jsonl --out features.jsonl
        bertref features --model bertref-model --file texts.txt --layers -1 --pooling mean,pooled --out features.npz
        bertref features --model all-MiniLM-L6-v2 --file texts.txt --pooling embedding --out embeddings.npz
    """
    from ..inference.feature_files import save_jsonl, save_npz, write_jsonl
    from ..inference.features import Extractor, FeatureOptions

    form = form or ("npz" if out and out.endswith(".npz") else "jsonl")
    if form == "npz" and not out:
        raise InputError("--format npz needs --out FILE; standard output takes jsonl only")
    if file and file != "-" and out and Path(out).resolve() == Path(file).resolve():
        raise InputError(f"{out}: --out would replace --file; choose another name")
    whole = _names(pooling)
    lines = read_texts(texts, file, empty=True)
    first = next(lines, None)
    if first is None:
        raise InputError(f"{file}: no texts in it")
    model = load_model(model_dir, backend=backend, dtype=dtype, allow=allow)
    depth = model.config.num_hidden_layers
    chosen = _numbers(layers) if layers else (() if whole else tuple(range(-1, -min(4, depth) - 1, -1)))
    extractor = Extractor(model, model.recipe, FeatureOptions(chosen, whole, normalize, max_seq_length))

    with render.progress("texts", lambda: count_texts(texts, file)) as advance:
        if out is None:
            write_jsonl(extractor, itertools.chain([first], lines), sys.stdout, advance)
        else:
            save = save_npz if form == "npz" else save_jsonl
            count = save(extractor, itertools.chain([first], lines), Path(out), advance)
    if extractor.cut:
        render.message(
            f"{extractor.cut:,} text{'s were' if extractor.cut > 1 else ' was'} cut to {extractor.max_length} tokens; "
            f"--max-seq-length raises that up to {model.config.max_length}"
        )
    if out is not None:
        render.message(f"{out}: {count:,} texts")


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in given.split(","))) if given else ()


def _numbers(given: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in given.split(",")))
    except ValueError:
        raise InputError(f"--layers is {given!r}; give numbers with commas between them, such as -1,-2") from None
