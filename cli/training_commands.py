"""What the commands that train have in common: options with a record's defaults, where a run reports, how it ends."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import click
from click.core import ParameterSource

from ..train.report import Report
from .plot_evaluation import check_file, is_inside
from .render import Training
from .reporters import JsonLines, Later, Plot, Reporter, TensorBoard, all_of
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
    drawn: type[Training],
    picture: type[Plot],
    *,
    out: str,
    as_json: bool,
    plot: str | None,
    log_json: str | None,
    tensorboard: str | None,
    quiet: bool = False,
) -> None:
    """Runs with every report that was asked for, or `quiet` without any; a run that a signal ended after its step exits
    with its number. What is to lie in the run's folder `out` is made when the run begins."""
    reporters: list[Reporter] = []
    if not quiet:
        reporters += [picture(plot, later=is_inside(plot, out))] if plot else []
        reporters += [_log(log_json, later=is_inside(log_json, out))] if log_json else []
        reporters += [_board(tensorboard, later=is_inside(tensorboard, out))] if tensorboard else []
        reporters.insert(0, JsonLines(sys.stdout) if as_json else drawn(every_report=_is_given("log_every")))
    stop = Stop()
    with stop, all_of(*reporters) as report:
        result = run(report, stop.asked)
    if result.status == "interrupted":
        sys.exit(128 + (stop.number or 0))


def _log(path: str, *, later: bool) -> Reporter:
    check_file(path, "--log-json", later=later)
    return Later(partial(JsonLines.append, path)) if later else JsonLines.append(path)


def _board(folder: str, *, later: bool) -> Reporter:
    TensorBoard.check()
    return Later(partial(TensorBoard, folder)) if later else TensorBoard(folder)


def _is_given(name: str) -> bool:
    """Whether the command line itself has an option."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE
