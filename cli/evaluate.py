"""bertref evaluate"""

import json
import os
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..data.tasks.catalogue import data_set_info
from ..errors import InputError
from . import render
from .data_options import column_options, format_options, names_of, sequence_options, task_argument
from .options import backend_option, debug_option, json_option, threads_option

GLUE = "glue"
GLUES = ("task", "data", "average", "as_json", "debug", "threads")
"""The parameters that say something of GLUE's average."""


@click.command()
@task_argument(GLUE)
@click.argument("data", metavar="DATA")
@click.option("--model", metavar="DIR", help="The model to judge; else $BERTREF_MODEL.")
@click.option("--predictions", metavar="FILE", help="Judge the answers in a file; no model is loaded.")
@click.option("--null-odds", metavar="FILE", help="With --predictions for SQuAD 2.0: null_odds.json.")
@click.option("--part", "parts", metavar="NAME", multiple=True, help="dev, test, train, dev-mismatched, ...; may be "
              "given again.  [default: dev parts, else test parts; a file is dev]")  # fmt: skip
@column_options
@click.option("--labels", metavar="A,B,...", help="The labels in order.  [default: the model's, or the data's]")
@format_options
@sequence_options
@click.option("--max-examples", type=int, help="Judge so many examples, drawn evenly.")
@click.option("--seed", default=12345, show_default=True, help="Of what is drawn.")
@click.option("--bootstrap", default=0, show_default=True, metavar="N", help="Intervals of the metrics from so many "
              "resamples of the examples.")  # fmt: skip
@click.option("--confidence", default=0.95, show_default=True, help="Share of the resamples inside an interval.")
@click.option("--worst", default=0, show_default=True, metavar="N", help="Show the N most confident mistakes.")
@click.option("--charts", is_flag=True, help="Draw curves and bars into the terminal.")
@click.option("--plot", metavar="FILE", help="Draw confusion, curves, calibration and probabilities into a picture "
              "(needs bertref[plot]).")  # fmt: skip
@click.option("--plot-vectors", metavar="FILE", help="Draw the texts' [CLS] vectors in the plane of their principal "
              "components, coloured by label (needs bertref[plot]).")  # fmt: skip
@click.option("--vectors", default=1000, show_default=True, metavar="N", help="Texts that --plot-vectors draws.")
@click.option("--average", type=click.Choice(["leaderboard", "table1"]), default="leaderboard", show_default=True,
              help="Which average glue gives: the leaderboard's, or that of the paper's Table 1.")  # fmt: skip
@click.option("--out", metavar="DIR", help="Write results.json, eval_results.txt, predictions.jsonl and the task's own "
              "files.")  # fmt: skip
@backend_option
@click.option("--dtype", default="float32", show_default=True, help="Compute dtype.")
@click.option("--kernels", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Faster versions.")
@threads_option
@json_option
@debug_option
def evaluate(
    task: str, data: str, average: str, charts: bool, plot: str | None, plot_vectors: str | None, vectors: int,
    as_json: bool, kernels: str, no_header: bool, labels: str | None, **values: Any,
) -> None:  # fmt: skip
    """Judge a model on a task, or answers that somebody else computed.

    TASK is a kind of task or the name of a data set, as for finetune; DATA is a folder with its files, or one file.
    With TASK glue, DATA is a folder with the results.json of GLUE's tasks, and the result is their average.

    Sequences are as long as in the model's fine-tuning unless --max-length says otherwise.

    --predictions takes SQuAD's predictions.json, GLUE's index and prediction between tabs, labelled words in columns
    (the prediction is the last), JSON lines with "prediction" or "scores", or a prediction a line.

    \b
    Example:
        bertref evaluate mrpc glue/MRPC --model mrpc-model --worst 5 --plot mrpc.png
        bertref evaluate squad dev-v1.1.json --predictions predictions.json
        bertref evaluate classification reviews.csv --model reviews-model --bootstrap 1000
        bertref evaluate glue results/ --average table1
    """
    _check_given(task, plot_vectors)
    if task == GLUE:
        _average(Path(data), average, as_json=as_json)
        return
    from ..evaluation import EvaluateOptions
    from ..evaluation import evaluate as run
    from ..train.parallel.agreement import must_want_the_same
    from ..train.parallel.torchrun import joined
    from .plot_evaluation import check, check_drawable, is_inside

    for option, path in (("--plot", plot), ("--plot-vectors", plot_vectors)):
        if path is not None:
            check(path, option, later=values["out"] is not None and is_inside(path, values["out"]))
    if plot is not None:
        check_drawable(data_set_info(task).kind)
    if values["predictions"] is None:
        values["model"] = values["model"] or os.environ.get("BERTREF_MODEL")
    options = EvaluateOptions(
        task=task, data=data, **values, labels=names_of(labels), header=not no_header, kernels=kernels == "on",
        vectors=vectors if plot_vectors else 0,
    )  # fmt: skip
    with joined() as world:
        must_want_the_same(world, asdict(options))
        first = world.rank == 0
        with render.progress("examples", lambda: None) if first else nullcontext(lambda count: None) as advance:
            note = render.message if first else lambda text: None
            result = run(options, note, lambda part, count: advance(count), world)
    if first:
        _show(result, as_json=as_json, charts=charts)
        _draw(result, plot, plot_vectors)


def _check_given(task: str, plot_vectors: str | None) -> None:
    """Raises `InputError` for an option that would do nothing, where the command line itself has it."""
    context = click.get_current_context()
    given = {
        parameter.name: parameter.opts[0] for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }  # fmt: skip
    if task == GLUE:
        nothing = [option for name, option in given.items() if name not in GLUES]
        if nothing:
            raise InputError(f"{nothing[0]} says nothing of glue, whose results are only averaged; leave it out")
    elif "average" in given:
        raise InputError(f"--average is for {GLUE}; leave it out")
    elif "vectors" in given and plot_vectors is None:
        raise InputError("--vectors does nothing without --plot-vectors; leave it out")


def _show(result: Any, *, as_json: bool, charts: bool) -> None:
    if as_json:
        from ..evaluation.as_json import result_as_json

        click.echo(json.dumps(result_as_json(result), ensure_ascii=False))
        return
    from . import render_evaluation

    render_evaluation.result(result, charts=charts)


def _draw(result: Any, plot: str | None, plot_vectors: str | None) -> None:
    from . import plot_evaluation

    if plot is not None:
        plot_evaluation.evaluation(result, plot)
    if plot_vectors is not None:
        plot_evaluation.vectors(result, plot_vectors)


def _average(folder: Path, which: str, *, as_json: bool) -> None:
    from ..evaluation.glue_results import glue_average, read_results

    results = read_results(folder)
    try:
        value = glue_average(results, which)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    if as_json:
        from ..evaluation.as_json import finite

        figures = {task: {name: finite(figure) for name, figure in each.items()} for task, each in results.items()}
        click.echo(json.dumps({"schema": 1, "average": which, "value": finite(value.value), "tasks": figures}))
        return
    from . import render_evaluation

    render_evaluation.glue(results, which, value)
