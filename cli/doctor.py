"""bertref doctor"""

import json

import click

from . import render
from .options import debug_option, json_option


@click.command()
@json_option
@debug_option
def doctor(as_json: bool) -> None:
    """What is installed and usable here, and what to install for the rest.

    \b
    Example:
        bertref doctor
    """
    from ..backends.report import report

    found = report()
    if as_json:
        click.echo(json.dumps({"schema": 1, **found}))
    else:
        render.doctor(found)
