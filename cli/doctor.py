"""bertref doctor"""

import json

import click

from . import render
from .options import backend_option, debug_option, json_option


@click.command()
@click.option("--ops", is_flag=True, help="List every op with the reference or the kernel that serves it, and why.")
@click.option("--config", default="base", show_default=True, metavar="NAME|FILE", help="With --ops: for this model.")
@click.option("--dtype", default="float32", show_default=True, help="With --ops: activations of this type.")
@backend_option
@json_option
@debug_option
def doctor(ops: bool, config: str, dtype: str, backend: str, as_json: bool) -> None:
    """What is installed and usable here, and what to install for the rest; with --ops, which implementation of each op
    runs.

    \b
    Example:
        bertref doctor
        bertref doctor --ops --config base --dtype float32
    """
    if ops:
        from ..workload import explained

        found = explained(config, backend=backend, dtype=dtype)
    else:
        from ..backends.report import report

        found = report()
    if as_json:
        click.echo(json.dumps({"schema": 1, **found}))
    elif ops:
        render.implementations(found)
    else:
        render.doctor(found)
