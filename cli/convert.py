"""bertref convert"""

import json
import sys
from typing import cast

import click

from . import render_models as render
from .options import allow_option, config_option, debug_option, dialect_option, json_option


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--to", type=click.Choice(["huggingface", "tensorflow", "onnx"]),
              help="Format of DST; else onnx for a name ending in .onnx, and huggingface.")  # fmt: skip
@click.option("--optimizer", is_flag=True, help="Carry the optimiser's state (Adam's moments, the step) over as well.")
@click.option("--dtype", type=click.Choice(["float16"]), help="Store the weights so, at half the size.")
@click.option("--check", is_flag=True, help="Prove the result in numbers against transformers or onnxruntime.")
@allow_option
@config_option
@dialect_option
@json_option
@debug_option
def convert(
    source: str, target: str, to: str | None, optimizer: bool, check: bool, allow: tuple[str, ...],
    config: str | None, dialect: str | None, as_json: bool, dtype: str | None,
) -> None:  # fmt: skip
    """Convert a checkpoint, with a report on every tensor.

    SRC is a Hugging Face folder, a file of weights beside its config, or a TensorFlow checkpoint; DST is a new folder
    or a new .onnx file. Exit code 1: a proof of --check failed; 2: it could not be made, or nothing could be written.

    \b
    Example:
        bertref convert uncased_L-12_H-768_A-12/bert_model.ckpt bert-base-uncased --check
        bertref convert bert-base-uncased bert.onnx --check
        bertref convert bert-base-uncased google --to tensorflow
    """
    from .. import convert as conversion
    from ..config import Numerics
    from ..convert.proof import LIMIT

    chosen = Numerics.preset(dialect) if dialect else None
    done = conversion.convert(
        source, target, to=cast(conversion.Format | None, to), allow=allow, dialect=chosen, optimizer=optimizer,
        config=config, check=check, dtype=dtype,
    )  # fmt: skip
    if as_json:
        proofs = [
            {"reader": p.reader, "file": str(p.file), "ratios": p.ratios, "limit": LIMIT, "holds": p.holds}
            for p in done.proofs
        ]
        click.echo(json.dumps({
            "schema": 1, "source": source, "target": target, "format": done.format,
            "coverage": done.coverage.to_dict(), "proofs": proofs, "notes": list(done.notes),
            "unproved": list(done.unproved),
        }))  # fmt: skip
    else:
        render.coverage(done.coverage)
        render.conversion(done)
    if not done.proved:
        sys.exit(1)
    if done.unproved:
        sys.exit(2)
