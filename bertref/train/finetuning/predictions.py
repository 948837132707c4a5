"""Answers of the finished model for further data, `--predict-on`: into files, by evaluation itself.

Each of them is a part of the data by its name, or a file in the layout of the task, whose labels may be missing. A file
of GLUE's diagnostics (AX) is answered by MNLI's model.
"""

from dataclasses import replace
from pathlib import Path

from ...data.tasks.catalogue import data_set_info
from ...data.tasks.glue import TASKS
from ...errors import InputError
from ...evaluation import EvaluateOptions, evaluate
from ...evaluation.opening import open_parts
from ..parallel.world import World
from ..report import Report
from .kinds import Kind
from .options import FinetuneOptions

FOLDER = "predictions"
SHARED = (
    "text", "pair", "label", "group", "delimiter", "header", "max_length", "truncate", "stride",
    "max_query_length", "max_answer_length", "null_threshold", "seed", "backend", "kernels",
)  # fmt: skip
"""Options that mean the same in both."""


def check(options: FinetuneOptions) -> None:
    """Opens what is to be predicted on, so that a wrong name is said before the training and not after it."""
    for wanted in _wanted(options, Path(options.out)):
        open_parts(wanted, data_set_info(wanted.task), lambda text: None)


def check_labels(options: FinetuneOptions, kind: Kind, labels: tuple[str, ...]) -> None:
    """Reads what is to be predicted on: wrong rows and unknown labels are said before the training, too."""
    for wanted in _wanted(options, Path(options.out)):
        if wanted.task == options.task:
            for part in open_parts(wanted, data_set_info(wanted.task), lambda text: None).values():
                kind.check_labels(part, labels)


def predict(options: FinetuneOptions, out: Path, report: Report, world: World) -> None:
    """Writes the answers of the model in `out` into `out`/predictions, a folder for each of `options.predict_on`; all
    processes share the work."""
    for wanted in _wanted(options, out):
        evaluate(wanted, note=lambda text: None, team=world)
        report("message", {"text": f"{wanted.data}, {wanted.parts[0]}: the answers are in {wanted.out}"})


def _wanted(options: FinetuneOptions, out: Path) -> list[EvaluateOptions]:
    shared = {name: getattr(options, name) for name in SHARED}
    shared["windows"] = options.windows or options.answer_windows
    if shared["windows"]:
        shared["truncate"] = None
    dtype = "float64" if options.precision == "float64" else "float32"
    found = []
    for name in options.predict_on:
        data, part = _data(options, name)
        asked = EvaluateOptions(options.task, data, model=str(out), parts=(part,), dtype=dtype, **shared)
        if options.task == "mnli" and Path(data).name in TASKS["ax"].files["test"] and part == "test":
            asked = replace(asked, task="ax")
        found.append(replace(asked, out=str(out / FOLDER / _stem(name))))
    if len({each.out for each in found}) < len(found):
        raise InputError(f"--predict-on: two of {', '.join(options.predict_on)} have the same name")
    return found


def _data(options: FinetuneOptions, name: str) -> tuple[str, str]:
    """The data and the part that a name stands for."""
    if Path(name).exists():
        return name, "test"
    given = {"dev": options.dev, "test": options.test}.get(name)
    if given:
        return given, name
    if not Path(options.data).is_dir() and name != "train":
        raise InputError(f"--predict-on {name!r}: there is no such file, and no such part of the data")
    return options.data, name


def _stem(name: str) -> str:
    return Path(name).name.split(".")[0]
