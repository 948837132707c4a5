"""bertref golden"""

import json
import sys
from typing import Any

import click

from . import render
from . import render_golden as draw
from .case_options import case_of, case_options
from .options import debug_option, json_option


@click.group()
def golden() -> None:
    """Right answers: the goldens of independent oracles, and cases for a program in any language.

    \b
    Example:
        bertref golden list
        bertref golden export my-case --expected probes
    """


@golden.command()
@click.argument("folder", metavar="DIR")
@case_options
@click.option("--expected", metavar="GROUPS", default="none", show_default=True,
              help="Right answers to write, too: probes, gradients, updates (any, with commas), all or none.")
@click.option("--format", "formats", metavar="FORMATS", default="bin", show_default=True,
              help="bin, npy, safetensors, with commas; the index points into the first.")
@click.option("--precision", metavar="NAME", help="What the program is asked to compute in, such as float32.")
@json_option
@debug_option
def export(
    folder: str, expected: str, formats: str, precision: str | None, as_json: bool, **options: Any
) -> None:  # fmt: skip
    """Write a case into a new folder DIR, for a program in any language: weights, a batch, an optimiser step.

    The program writes its answers into a folder of their own; `bertref verify dump:FOLDER` judges them.

    \b
    Example:
        bertref golden export my-case
        bertref golden export my-case --seed 3 --size small --expected probes,gradients --format npy
        bertref golden export my-case --model bertref-model --file texts.txt
    """
    from ..verify.exchange import EXPECTED, settings_digest
    from ..verify.exchange import export as write

    groups = EXPECTED if expected == "all" else () if expected == "none" else _listed(expected)
    case = case_of(options)
    with render.working("computing and writing"):
        path = write(case, folder, formats=_listed(formats), expected=groups, precision=precision)
    found = {"folder": str(path), "name": case.name, "case": settings_digest(case), "origin": dict(case.origin),
             "files": {p.relative_to(path).as_posix(): p.stat().st_size
                       for p in sorted(path.rglob("*")) if p.is_file()}}  # fmt: skip
    if as_json:
        click.echo(json.dumps({"schema": 1, **found}))
    else:
        draw.exported(found)


@golden.command("list")
@json_option
@debug_option
def list_(as_json: bool) -> None:
    """List the goldens, who computed them, and the command that makes them again.

    \b
    Example:
        bertref golden list
    """
    entries = _entries()
    if as_json:
        for entry in entries:
            click.echo(json.dumps({"schema": 1, **entry}))
    else:
        draw.listed(entries)


@golden.command()
@click.argument("name")
@json_option
@debug_option
def show(name: str, as_json: bool) -> None:
    """Show a golden: its oracle, its tolerances with their reasons, its arrays.

    \b
    Example:
        bertref golden show ops/layer_norm
    """
    from .. import golden as goldens

    known = goldens.entry(name)
    found = {**_described(known), "tolerances": {
        dtype: {"relative": t.relative, "reason": t.reason} for dtype, t in known.tolerances.items()}}  # fmt: skip
    if known.path.suffix == ".safetensors":
        arrays = goldens.load(name)
        found["arrays"] = {key: {"dtype": arrays[key].dtype.name, "shape": list(arrays[key].shape)}
                           for key in sorted(arrays)}  # fmt: skip
    else:
        found["content"] = sorted(goldens.details(name))
    if as_json:
        click.echo(json.dumps({"schema": 1, **found}))
    else:
        draw.shown(found)


@golden.command()
@json_option
@debug_option
def check(as_json: bool) -> None:
    """Check that every golden's file is the one in the manifest. Exit code 1 if one is not.

    \b
    Example:
        bertref golden check
    """
    from .. import golden as goldens
    from ..errors import InputError

    results = []
    for name in goldens.names():
        try:
            goldens.verify(name)
            results.append({"name": name, "right": True, "problem": ""})
        except InputError as error:
            results.append({"name": name, "right": False, "problem": str(error)})
    if as_json:
        for result in results:
            click.echo(json.dumps({"schema": 1, **result}))
    else:
        draw.checked(results)
    sys.exit(0 if all(result["right"] for result in results) else 1)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _entries() -> list[dict[str, Any]]:
    from .. import golden as goldens

    return [_described(goldens.entry(name)) for name in goldens.names()]


def _described(entry: Any) -> dict[str, Any]:
    return {"name": entry.name, "path": str(entry.path), "sha256": entry.sha256, "oracle": dict(entry.oracle),
            "command": entry.command}  # fmt: skip
