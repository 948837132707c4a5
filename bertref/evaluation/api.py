"""Evaluation from options to results: `bertref.evaluate`.

The answers come from a model, or from a file with answers that somebody else computed, for which no model is loaded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..api import Model
from ..data.tasks.catalogue import DataSetInfo, data_set_info
from ..data.tasks.examples import Part
from ..data.tasks.places import with_path
from ..errors import InputError
from ..inference.sequence_classification import problem_of
from ..inference.team import Team
from ..metrics.bootstrap import Interval, intervals
from ..metrics.registry import METRICS
from ..plumbing.fields import must_be
from .applicable import check_applicable
from .files import former_files, write_evaluation
from .kinds import KINDS, EvaluationKind
from .opening import Note, as_recorded, max_length, open_model, open_parts, trained
from .options import EvaluateOptions
from .records import Record, worst
from .results import EvaluateResult, Evaluation, PartResult
from .settings import for_parts
from .texts import PROBLEMS
from .token_metrics import strays, strays_note
from .vectors import Vectors, cls_vectors

Advance = Callable[[str, int], None]
"""Told the name of a part and how many more of its examples were read."""


def evaluate(
    options: EvaluateOptions,
    note: Note = lambda text: None,
    advance: Advance = lambda part, count: None,
    team: Team | None = None,
) -> EvaluateResult:
    """Judges a model, or a file of predictions, on a task; writes what it found to `options.out`, if that is given.

    `note` is told what a person should know, `advance` how far it is. The processes of a `team`, all of which are asked
    the same, share the model's work; process 0 alone writes. Raises `InputError` for anything that can't be
    used, `CheckpointError` for a model that can't be read, `BackendUnavailable` for a backend that can't be used here.
    """
    must_be(options, EvaluateOptions)
    info = data_set_info(options.task)
    kind = KINDS[info.kind]
    check_applicable(options, info.kind)
    _check_out(options)
    parts = open_parts(options, info, note)
    answered = _by_model(options, info, kind, parts, note, team) if options.model else _by_file(options, info, kind)
    found = {}
    for name, part in parts.items():
        found[name] = _result(options, info, kind, part, answered, partial(advance, name))
        if info.kind == "token-classification" and (odd := strays(found[name].evaluation.answers.labels)):
            note(strays_note(odd))
    source = options.model or options.predictions
    result = EvaluateResult(info.name, info.kind, str(source), found, trained(options.model).get("best_step"))
    if options.out is not None and (team is None or team.rank == 0):
        write_evaluation(Path(options.out), result, kind)
    return result


@dataclass(frozen=True)
class _Answered:
    """How answers come about; `vectors` only of a model."""

    answers: Callable[[Part], Any]
    vectors: Callable[[Part], Vectors] | None = None


def _by_model(
    options: EvaluateOptions, info: DataSetInfo, kind: EvaluationKind, parts: dict[str, Part], note: Note,
    team: Team | None,
) -> _Answered:  # fmt: skip
    if options.vectors and info.kind not in METRICS:
        raise InputError(f"--plot-vectors is for texts; {info.name} is {info.kind}")
    model: Model = open_model(options, info, note)
    _check_labels(options, info, model)
    asked = as_recorded(options, info.kind, model, note)
    settings = kind.settings(replace(asked, max_length=max_length(asked, info, model.config)))
    settings = for_parts(settings, asked, parts.values(), taught=bool(trained(options.model).get("unanswerable")))
    return _Answered(
        lambda part: kind.answer(model, part, settings, team=team),
        lambda part: cls_vectors(model, part, settings, options.vectors, team),
    )


def _check_labels(options: EvaluateOptions, info: DataSetInfo, model: Model) -> None:
    """Refuses a classifier that can't say the labels of the data: files without labels would not show it."""
    able = "sequence_classification" in model.heads and problem_of(model) == PROBLEMS["classification"]
    if info.labels and able and not set(info.labels) <= set(model.labels):
        raise InputError(
            f"{options.model}: its labels are {', '.join(model.labels)}, but those of {info.name} are "
            f"{', '.join(info.labels)}; choose a model of that task"
        )


def _by_file(options: EvaluateOptions, info: DataSetInfo, kind: EvaluationKind) -> _Answered:
    path = Path(str(options.predictions))
    named = replace(options, labels=options.labels or info.labels or ())
    return _Answered(lambda part: kind.given(part, path, named))


def _result(
    options: EvaluateOptions, info: DataSetInfo, kind: EvaluationKind, part: Part, answered: _Answered,
    advance: Callable[[int], None],
) -> PartResult:  # fmt: skip
    with with_path(part):
        answers = answered.answers(_counted(part, advance))
    if not len(answers):
        raise InputError(f"{options.data}: {part.name} holds no example")
    also = [name for name in (info.metric, *info.metrics) if name in METRICS.get(cast(Any, info.kind), ())]
    evaluation = Evaluation(info.kind, part.name, len(answers), kind.metrics(answers, also), answers)
    vectors = answered.vectors(part) if options.vectors and answered.vectors else None
    if not evaluation.metrics:
        return PartResult(evaluation, part, vectors=vectors)
    kept = _worst(options, kind, answers, part)
    return PartResult(evaluation, part, _intervals(options, kind, answers), kind.report(answers), kept, vectors)


def _worst(options: EvaluateOptions, kind: EvaluationKind, answers: Any, part: Part) -> list[Record]:
    if not options.worst:
        return []
    kept = worst(kind.records(answers, part), options.worst)
    if not kept and any(record.right is False for record in kind.records(answers, part)):
        raise InputError(f"--worst needs to know how sure the answers are; {options.predictions} has no scores")
    return kept


def _counted(part: Part, advance: Callable[[int], None]) -> Part:
    """The part, and whoever reads it tells how many examples were read."""

    def read() -> Iterator[Any]:
        for example in part.read():
            yield example
            advance(1)

    return replace(part, read=read)


def _intervals(options: EvaluateOptions, kind: EvaluationKind, answers: Any) -> dict[str, Interval]:
    if not options.bootstrap:
        return {}
    count, metrics = kind.resampled(answers)
    return intervals(
        metrics, np.arange(count), resamples=options.bootstrap, level=options.confidence, seed=options.seed
    )


def _check_out(options: EvaluateOptions) -> None:
    """Refuses what is a file, and to replace results that are no evaluation's, such as those of a run."""
    for path in (Path(options.out), *Path(options.out).parents) if options.out else ():
        if path.is_file():
            raise InputError(f"--out {path}: is a file; a folder is needed")
    if options.out and options.model and Path(options.out).resolve() == Path(options.model).resolve():
        raise InputError(f"--out {options.out}: is the model's own folder; its results.json would be replaced")
    if options.out:
        replaced = {path.resolve() for path in former_files(Path(options.out))}
        for name, given in (("predictions", options.predictions), ("null-odds", options.null_odds)):
            if given and Path(given).resolve() in replaced:
                raise InputError(
                    f"--{name} {given}: is a file of the evaluation in --out {options.out}, which would be replaced; "
                    "choose another --out"
                )
