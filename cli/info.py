"""bertref info"""

import json
import sys
from pathlib import Path

import click

from . import render_models as render
from .options import config_option, debug_option, dialect_option, json_option
from .render import message


@click.command()
@click.argument("model", metavar="DIR")
@click.option("--tensors", is_flag=True, help="List every tensor.")
@config_option
@dialect_option
@json_option
@debug_option
def info(model: str, tensors: bool, config: str | None, dialect: str | None, as_json: bool) -> None:
    """Show what a checkpoint is: config, dialect, parameters, memory, heads, vocabulary, and what to do with it.

    DIR is a model's folder, a file of weights, or a TensorFlow checkpoint (its index is enough). Exit code 1: none of
    its tensors is known as a BERT's.

    \b
    Example:
        bertref info bertref-model
        bertref info uncased_L-12_H-768_A-12/bert_model.ckpt --tensors
    """
    from ..checkpoint.info import model_info
    from ..config import Numerics
    from ..inference.sentence_transformers.modules import model_folder_of

    chosen = Numerics.preset(dialect) if dialect else None
    found = model_info(model_folder_of(Path(model)), dialect=chosen, config=config)
    if as_json:
        click.echo(json.dumps({"schema": 1, **found}))
    else:
        render.info(found, tensors=tensors)
    if not found["parameters"]["total"]:
        stored = sum(row["stored"] is not None for row in found["coverage"]["tensors"])
        message(f"{found['file']}: none of its {stored} tensors is known as a BERT's; is it another model's?")
        sys.exit(1)
