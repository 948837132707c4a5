"""bertref info"""

import json

import click

from . import render_models as render
from .options import config_option, debug_option, dialect_option, json_option


@click.command()
@click.argument("model", metavar="DIR")
@click.option("--tensors", is_flag=True, help="List every tensor.")
@config_option
@dialect_option
@json_option
@debug_option
def info(model: str, tensors: bool, config: str | None, dialect: str | None, as_json: bool) -> None:
    """Show what a checkpoint is: config, dialect, parameters, memory, heads, vocabulary, and what to do with it.

    DIR is a model's folder, a file of weights, or a TensorFlow checkpoint (its index is enough).

    \b
    Example:
        bertref info bertref-model
        bertref info uncased_L-12_H-768_A-12/bert_model.ckpt --tensors
    """
    from ..checkpoint.info import model_info
    from ..config import Numerics

    found = model_info(model, dialect=Numerics.preset(dialect) if dialect else None, config=config)
    if as_json:
        click.echo(json.dumps({"schema": 1, **found}))
    else:
        render.info(found, tensors=tensors)
