"""What distinguishes the kinds of tasks in a run: the head, the features, the objective, the metric that chooses."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from ...data.batch import Batch
from ...data.tasks.catalogue import data_set_info
from ...data.tasks.examples import Part
from ...errors import InputError
from ...objectives import (
    ClassificationObjective,
    MultiLabelObjective,
    Objective,
    RegressionObjective,
    SpanObjective,
)
from ...tasks.labels import counts_of, found_labels, numbers_of
from ...tasks.spans import SpanFeatures, SpanSettings
from ...tasks.store import Column, FeatureStore, Unit
from ...tasks.texts import TextFeatures, TextSettings
from ...text import Tokenizer
from ...text.encoding import Truncate
from .options import FinetuneOptions


class Features(Protocol):
    """How examples become units, and units a batch; see `tasks.texts.TextFeatures`."""

    @property
    def width(self) -> int: ...
    @property
    def columns(self) -> Mapping[str, Column]: ...
    def units(self, examples: Iterable[Any], tokenizer: Tokenizer, counted: dict[str, int]) -> Iterator[Unit]: ...
    def batch(self, store: FeatureStore, units: np.ndarray) -> Batch: ...


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    head         by its name in `bertref.heads`
    problem      the problem type that the model's config says
    metric       by which the best evaluation is chosen, unless another is asked for
    labels       (options, training part) -> the labels
    settings     options -> how examples become sequences, for training and evaluation alike
    features     (options, labels, settings) -> `Features`
    objective    (options, labels, training part) -> the objective
    """

    head: str
    problem: str | None
    metric: str
    labels: Callable[[FinetuneOptions, Part], tuple[str, ...]]
    settings: Callable[[FinetuneOptions], Any]
    features: Callable[[FinetuneOptions, tuple[str, ...], Any], Features]
    objective: Callable[[FinetuneOptions, tuple[str, ...], Part], Objective]


def text_settings(options: FinetuneOptions) -> TextSettings:
    assert options.max_length is not None
    return TextSettings(options.max_length, cast(Truncate, options.truncate), options.windows, options.stride)


def span_settings(options: FinetuneOptions) -> SpanSettings:
    assert options.max_length is not None
    info = data_set_info(options.task)
    return SpanSettings(
        options.max_length, options.stride or info.stride, options.max_query_length, options.max_answer_length,
        options.null_threshold if info.unanswerable else None,
    )  # fmt: skip


def _labels(options: FinetuneOptions, part: Part) -> tuple[str, ...]:
    """Those that are given, else those of the training part."""
    return options.labels or found_labels(example.label for example in part.read())


def _several(options: FinetuneOptions, part: Part) -> tuple[str, ...]:
    found = _labels(options, part)
    if len(found) < 2 and not options.labels:
        raise InputError(f"{part.name}: every example has the label {found[0]!r}; there is nothing to tell apart")
    return found


def _one_number(options: FinetuneOptions, part: Part) -> tuple[str, ...]:
    return options.labels or ("LABEL_0",)


def class_weights(options: FinetuneOptions, labels: tuple[str, ...], part: Part, name: str) -> tuple[float, ...] | None:
    """--class-weights: "balanced", N / (K n_k) for a class with n_k of N labels; or K numbers. `name` is the field of
    an example that holds its labels."""
    given = options.class_weights
    if given is None:
        return None
    if given == "balanced":
        counts = counts_of((getattr(e, name) for e in part.read()), numbers_of(labels))
        if 0 in counts:
            raise InputError(f"--class-weights balanced: {part.name} has no example of {labels[counts.index(0)]!r}")
        return tuple(sum(counts) / (len(counts) * count) for count in counts)
    try:
        weights = tuple(float(each) for each in given.split(","))
    except ValueError:
        weights = ()
    if len(weights) != len(labels) or not all(0 <= w < float("inf") for w in weights) or not any(weights):
        raise InputError(
            f"--class-weights is {given!r}; it must be balanced, or a number for each of {', '.join(labels)}"
        )
    return weights


def _classification(options: FinetuneOptions, labels: tuple[str, ...], part: Part) -> Objective:
    weights = class_weights(options, labels, part, "label")
    return ClassificationObjective(label_smoothing=options.label_smoothing, class_weights=weights)


def _text(kind: str) -> Callable[[FinetuneOptions, tuple[str, ...], Any], Features]:
    return lambda options, labels, settings: TextFeatures(kind, labels, settings)


KINDS: dict[str, Kind] = {
    "classification": Kind(
        "sequence_classification", "single_label_classification", "accuracy", _several, text_settings,
        _text("classification"), _classification,
    ),
    "regression": Kind(
        "sequence_classification", "regression", "spearman", _one_number, text_settings, _text("regression"),
        lambda options, labels, part: RegressionObjective(),
    ),
    "multi-label": Kind(
        "sequence_classification", "multi_label_classification", "f1_micro", _labels, text_settings,
        _text("multi-label"), lambda options, labels, part: MultiLabelObjective(),
    ),
    "question-answering": Kind(
        "question_answering", None, "f1", lambda options, part: (), span_settings,
        lambda options, labels, settings: SpanFeatures(settings), lambda options, labels, part: SpanObjective(),
    ),
}  # fmt: skip
