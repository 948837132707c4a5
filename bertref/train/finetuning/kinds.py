"""What distinguishes the kinds of tasks in a run: the head, the features, the objective, the metric."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...data.batch import Batch
from ...data.tasks.catalogue import DataSetInfo, data_set_info
from ...data.tasks.examples import Part, TextExample
from ...data.tasks.places import with_path
from ...errors import InputError
from ...evaluation.settings import choice_settings, span_settings, text_settings, token_settings
from ...evaluation.token_metrics import default_metric
from ...objectives import (
    ChoiceObjective,
    ClassificationObjective,
    MultiLabelObjective,
    Objective,
    RegressionObjective,
    SpanObjective,
    TokenObjective,
)
from ...tasks.choices import ChoiceFeatures, ChoiceSettings
from ...tasks.labels import counts_of, found_labels, number_of, numbers_of
from ...tasks.spans import SpanFeatures
from ...tasks.store import Column, FeatureStore, Unit
from ...tasks.texts import TextFeatures
from ...tasks.tokens import TokenFeatures, label_numbers
from ...text import Tokenizer
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
    labels       (options, training part) -> the labels
    settings     options -> how examples become sequences, for training and evaluation alike
    features     (options, labels, settings, training part) -> `Features`
    objective    (options, labels, training part) -> the objective
    check        (example, label -> number): raises `InputError` for a label that is not in the table
    metric       (data set, labels) -> by which the best evaluation is chosen, unless another is asked for
    """

    head: str
    problem: str | None
    labels: Callable[[FinetuneOptions, Part], tuple[str, ...]]
    settings: Callable[[FinetuneOptions], Any]
    features: Callable[[FinetuneOptions, tuple[str, ...], Any, Part], Features]
    objective: Callable[[FinetuneOptions, tuple[str, ...], Part], Objective]
    metric: Callable[[DataSetInfo, tuple[str, ...]], str] = lambda info, labels: info.metric
    check: Callable[[Any, dict[str, int]], object] = lambda example, table: None

    def check_labels(self, part: Part, labels: tuple[str, ...]) -> None:
        """Reads a part to evaluate on, so that what is wrong with it is said before the training. Raises `InputError`,
        naming the place, for a label that is not among these."""
        table = numbers_of(labels)
        with with_path(part):
            for example in part.read():
                self.check(example, table)


def _known_labels(example: TextExample, table: dict[str, int]) -> None:
    label = example.label
    for each in (label,) if isinstance(label, str) else label or ():  # type: ignore[union-attr]
        number_of(table, each, example.place)


def _labels(options: FinetuneOptions, part: Part) -> tuple[str, ...]:
    """Those that are given, else those of the training part."""
    labels = (example.label for example in part.read())
    return options.labels or found_labels(labels, unlabelled=may_be_unlabelled(options))


def may_be_unlabelled(options: FinetuneOptions) -> bool:
    """Whether examples to learn from may lack a label: a teacher's answers are there to learn from."""
    return options.teacher is not None and data_set_info(options.task).kind == "classification"


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


def _text(kind: str) -> Callable[[FinetuneOptions, tuple[str, ...], Any, Part], Features]:
    return lambda options, labels, settings, part: TextFeatures(kind, labels, settings, may_be_unlabelled(options))


def _token_labels(options: FinetuneOptions, part: Part) -> tuple[str, ...]:
    found = options.labels or found_labels(example.labels for example in part.read())
    if len(found) < 2:
        raise InputError(f"{part.name}: every word has the label {found[0]!r}; there is nothing to tell apart")
    return found


def _tokens(options: FinetuneOptions, labels: tuple[str, ...], part: Part) -> Objective:
    weights = class_weights(options, labels, part, "labels")
    return TokenObjective(label_smoothing=options.label_smoothing, class_weights=weights)


def _choice_features(
    options: FinetuneOptions, labels: tuple[str, ...], settings: ChoiceSettings, part: Part
) -> Features:
    """Of as many choices as the first example has."""
    first = next(part.read(), None)
    if first is None:
        raise InputError(f"{part.name}: holds no example to learn from")
    return ChoiceFeatures(len(first.choices), settings)


KINDS: dict[str, Kind] = {
    "classification": Kind(
        "sequence_classification", "single_label_classification", _several, text_settings,
        _text("classification"), _classification, check=_known_labels,
    ),
    "regression": Kind(
        "sequence_classification", "regression", _one_number, text_settings, _text("regression"),
        lambda options, labels, part: RegressionObjective(),
    ),
    "multi-label": Kind(
        "sequence_classification", "multi_label_classification", _labels, text_settings,
        _text("multi-label"), lambda options, labels, part: MultiLabelObjective(), check=_known_labels,
    ),
    "multiple-choice": Kind(
        "multiple_choice", None, lambda options, part: (), choice_settings, _choice_features,
        lambda options, labels, part: ChoiceObjective(),
    ),
    "token-classification": Kind(
        "token_classification", None, _token_labels, token_settings,
        lambda options, labels, settings, part: TokenFeatures(labels, settings), _tokens,
        lambda info, labels: default_metric(labels), check=label_numbers,
    ),
    "question-answering": Kind(
        "question_answering", None, lambda options, part: (), span_settings,
        lambda options, labels, settings, part: SpanFeatures(settings), lambda options, labels, part: SpanObjective(),
    ),
}  # fmt: skip
