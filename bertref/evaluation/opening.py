"""Which data an evaluation reads, and which model with which labels."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .. import backends
from ..api import Model, load
from ..config import BertConfig
from ..data.tasks.catalogue import DataSetInfo
from ..data.tasks.examples import Part
from ..data.tasks.opening import ReadingOptions, open_data_set, reading_of
from ..data.tasks.splits import sampled
from ..errors import InputError
from ..tasks.labels import unnamed
from .applicable import TEXTS
from .options import EvaluateOptions

Note = Callable[[str], None]
FILE_IS = {"ax": "test"}
"""The part that a file is, if nobody says it and it is not "dev": AX has no other, and maybe no labels."""


def open_parts(options: EvaluateOptions, info: DataSetInfo, note: Note) -> dict[str, Part]:
    """The parts to evaluate, by name.

    Raises `InputError` for a part that the data don't have, several parts for one file of predictions, and what reading
    the data raises.
    """
    reading = reading_of(info, options, note)
    path = Path(options.data)
    if path.is_dir():
        parts = chosen(dict(open_data_set(info.name, path, reading=reading).parts), options)
        if "train" in parts and not options.parts:
            note(f"{path}: there is no dev and no test part; the train part is judged")
    else:
        parts = _one_file(path, options, info, reading)
    if options.predictions is not None and len(parts) > 1:
        raise InputError(f"{options.predictions} holds answers for one part; name it with --part: {', '.join(parts)}")
    if options.max_examples:
        parts = {name: sampled(part, options.max_examples, options.seed) for name, part in parts.items()}
    return parts


def _one_file(path: Path, options: EvaluateOptions, info: DataSetInfo, reading: ReadingOptions) -> dict[str, Part]:
    if len(options.parts) > 1:
        raise InputError(f"{path} is one file, but --part names {len(options.parts)} parts")
    name = options.parts[0] if options.parts else FILE_IS.get(info.name, "dev")
    role = name.split("-")[0]
    if role not in ("train", "dev", "test"):
        raise InputError(f"--part is {name!r}; a file is train, dev or test (or dev-mismatched, ...)")
    train = path if role == "train" else None
    dev, test = (path if role == each else None for each in ("dev", "test"))
    found = open_data_set(info.name, train, dev=dev, test=test, reading=reading).parts[role]
    return {name: replace(found, name=name)}


def chosen(parts: dict[str, Part], options: EvaluateOptions) -> dict[str, Part]:
    """Of the parts of a folder: those that are named, else those for development, else for test, else the only one."""
    for name in options.parts:
        if name not in parts:
            raise InputError(f"{options.data}: has no part {name!r}; there are {', '.join(parts)}")
    if options.parts:
        return {name: parts[name] for name in options.parts}
    for role in ("dev", "test"):
        found = {name: part for name, part in parts.items() if name.startswith(role)}
        if found:
            return found
    if len(parts) > 1:
        raise InputError(f"{options.data}: which part? Name it with --part: {', '.join(parts)}")
    return parts


def open_model(options: EvaluateOptions, info: DataSetInfo, note: Note) -> Model:
    """The model, and its labels named as the data name them.

    Raises what `bertref.load` raises, and `InputError` for labels that are more or fewer than the model's.
    """
    assert options.model is not None
    backend = backends.local(options.backend)
    model = load(options.model, backend=backend, dtype=options.dtype, kernels=options.kernels, freeze=False)
    if model.coverage:
        note(f"{model.coverage.file}: {model.coverage.summary()}")
    return _with_labels(model, options, info, note)


def _with_labels(model: Model, options: EvaluateOptions, info: DataSetInfo, note: Note) -> Model:
    if options.labels:
        if len(options.labels) != len(model.labels):
            raise InputError(f"--labels names {len(options.labels)} labels, but the model has {len(model.labels)}")
        if set(options.labels) == set(model.labels):
            return model
        if not unnamed(model.labels):
            said, known = (", ".join(labels) for labels in (options.labels, model.labels))
            raise InputError(f"--labels says {said}, but the model's are {known}")
        return replace(model, labels=options.labels)
    if info.labels and unnamed(model.labels) and len(info.labels) == len(model.labels):
        note(f"The model's labels have no names; they are taken as {', '.join(info.labels)} (--labels).")
        return replace(model, labels=info.labels)
    return model


def max_length(options: EvaluateOptions, info: DataSetInfo, config: BertConfig) -> int:
    """Tokens of a sequence: as it is said, else as the model was fine-tuned, else the data set's habit.

    Raises `InputError` for more than the model has positions.
    """
    limit = config.max_length
    if options.max_length is not None and options.max_length > limit:
        raise InputError(f"--max-length {options.max_length} is longer than the model's {limit} positions")
    known = trained(options.model).get("max_length")
    return options.max_length or min(known or info.max_length, limit)


def as_recorded(options: EvaluateOptions, kind: str, model: Model, note: Note) -> EvaluateOptions:
    """The options with the windows that the model's folder records, where nothing is said of lengths."""
    given = (options.truncate, options.max_length, options.stride, options.windows or None)
    if model.windows is None or kind not in TEXTS or any(each is not None for each in given):
        return options
    length, stride = model.windows
    note(f"Longer texts are seen through windows of {length} tokens, as the model's folder says (--truncate cuts).")
    return replace(options, windows=True, max_length=length, stride=stride)


def trained(model: str | None) -> dict[str, int]:
    """How a model was fine-tuned, as the `results.json` in its folder says: "best_step", "max_length", and whether some
    questions had no answer, "unanswerable"; {} without."""
    path = Path(model or "") / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if model else {}
        values = {"best_step": content["best_step"], "max_length": content["options"]["max_length"],
                  "unanswerable": content.get("unanswerable")}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {name: value for name, value in values.items() if isinstance(value, int)}
