"""What the commands that train have in common: options with a record's defaults, where a run reports, how it ends."""

import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import click

from ..train.report import Report
from .reporters import JsonLines, Reporter, TensorBoard, all_of
from .stop import Stop

F = TypeVar("F", bound=Callable[..., Any])


class Ended(Protocol):
    """How a run ended."""

    @property
    def status(self) -> str: ...


def defaulted(record: Any) -> Callable[..., Callable[[F], F]]:
    """Makes options whose defaults are the fields of `record`; where one is None, the help says what stands for it."""

    def shown(name: str, *, help: str, **settings: Any) -> Callable[[F], F]:
        default = getattr(record, name.replace("-", "_"))
        return click.option(f"--{name}", default=default, show_default=default is not None, help=help, **settings)

    return shown


def report_options(command: F) -> F:
    """--plot --log-json --tensorboard"""
    for option in (
        click.option("--tensorboard", metavar="DIR", help="Write TensorBoard files (needs bertref[tensorboard])."),
        click.option("--log-json", metavar="FILE", help="Append every event as a JSON line."),
        click.option("--plot", "plot", metavar="FILE",
                     help="Draw the loss curve into a picture (needs bertref[plot])."),
    ):  # fmt: skip
        command = option(command)
    return command


def carry_out(
    run: Callable[[Report, Callable[[], bool]], Ended],
    drawn: Callable[[], Reporter],
    picture: Callable[[str], Reporter],
    *,
    as_json: bool,
    plot: str | None,
    log_json: str | None,
    tensorboard: str | None,
    quiet: bool = False,
) -> None:
    """Runs with every report that was asked for, or `quiet` without any; a run that a signal ended after its step exits
    with its number."""
    reporters: list[Reporter] = []
    if not quiet:
        reporters += [picture(plot)] if plot else []
        reporters += [JsonLines.append(log_json)] if log_json else []
        reporters += [TensorBoard(tensorboard)] if tensorboard else []
        reporters.insert(0, JsonLines(sys.stdout) if as_json else drawn())
    stop = Stop()
    with stop, all_of(*reporters) as report:
        result = run(report, stop.asked)
    if result.status == "interrupted":
        sys.exit(128 + (stop.number or 0))
