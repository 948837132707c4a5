"""The metrics of tasks by name, what each is computed from, and which are computed if nobody chooses.

    kind              labels               predictions            scores
    classification    class numbers (N,)   class numbers (N,)     (N, K), larger for a class that is more likely
    regression        (N,) or (N, K)       like labels            none
    multi-label       0 and 1 (N, K)       0 and 1 (N, K)         (N, K)

`f1`, `precision` and `recall` of two classes are those of class 1, as scikit-learn's default; of more classes, and of
several labels, the macro average. Of K numbers an example, correlations are the mean over columns. Questions and
entities have figures of their own (`spans`, `entities`).
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from . import classification, correlation, multi_label, ranking
from .averages import Scores
from .value import UNDEFINED, Value

Kind: TypeAlias = Literal["classification", "regression", "multi-label"]


class Judged(NamedTuple):
    """What an evaluation knows of its N examples. `classes` is K."""

    labels: ArrayLike
    predictions: ArrayLike
    scores: ArrayLike | None = None
    classes: int = 2


class Metric(NamedTuple):
    """`compute` takes what is given; `needs_scores` says whether predictions are not enough. `smaller`: of two models
    the one with the smaller figure is the better."""

    compute: Callable[[Judged], Value]
    needs_scores: bool = False
    smaller: bool = False


def _of_classes(part: str, average: classification.Average | None, given: Judged) -> Value:
    chosen = average or ("binary" if given.classes == 2 else "macro")
    scores = classification.precision_recall_f1(given.labels, given.predictions, chosen)
    return _part(scores, part)


def _of_labels(part: str, average: multi_label.Average, given: Judged) -> Value:
    return _part(multi_label.precision_recall_f1(given.labels, given.predictions, average), part)


def _part(scores: Scores, name: str) -> Value:
    value: Value = getattr(scores, name)
    return value


def _plain(function: Callable[[ArrayLike, ArrayLike], Value]) -> Metric:
    return Metric(lambda given: function(given.labels, given.predictions))


def _scored(function: Callable[[ArrayLike, ArrayLike], Value]) -> Metric:
    return Metric(lambda given: function(given.labels, _scores(given)), needs_scores=True)


def _scores(given: Judged) -> np.ndarray[Any, Any]:
    return np.asarray(given.scores)


def _by_column(function: Callable[[ArrayLike, ArrayLike], Value], given: Judged) -> Value:
    """The mean over the columns of (N, K); undefined if it is for one of them."""
    labels, predictions = (np.asarray(side) for side in (given.labels, given.predictions))
    if labels.ndim != 2 or labels.shape != predictions.shape:
        return function(labels, predictions)
    values = [function(labels[:, k], predictions[:, k]) for k in range(labels.shape[1])]
    if not values or any(value.undefined for value in values):
        return UNDEFINED
    return Value(math.fsum(value.value for value in values) / len(values))


def _auc(given: Judged) -> Value:
    """Of two classes by the scores of class 1 minus those of class 0, which may be logits; of more one against the
    rest."""
    scores = _scores(given)
    if given.classes == 2 and scores.ndim == 2:
        return ranking.auc(given.labels, scores[:, 1] - scores[:, 0])
    return ranking.auc_one_vs_rest(given.labels, scores)


_PARTS = ("f1", "precision", "recall")

METRICS: dict[Kind, dict[str, Metric]] = {
    "classification": {
        "accuracy": _plain(classification.accuracy),
        **{part: Metric(partial(_of_classes, part, None)) for part in _PARTS},
        **{f"{part}_{average}": Metric(partial(_of_classes, part, average))
           for part in _PARTS for average in ("micro", "macro", "weighted")},
        "matthews": _plain(classification.matthews),
        "auc": Metric(_auc, needs_scores=True),
    },
    "regression": {
        "pearson": Metric(partial(_by_column, correlation.pearson)),
        "spearman": Metric(partial(_by_column, correlation.spearman)),
        "mse": _plain(correlation.mean_squared_error)._replace(smaller=True),
        "mae": _plain(correlation.mean_absolute_error)._replace(smaller=True),
    },
    "multi-label": {
        "accuracy": _plain(multi_label.subset_accuracy),
        **{part: Metric(partial(_of_labels, part, "macro")) for part in _PARTS},
        **{f"{part}_{average}": Metric(partial(_of_labels, part, average))
           for part in _PARTS for average in get_args(multi_label.Average)},
        "auc": _scored(ranking.mean_auc),
        "label_ranking_average_precision": _scored(multi_label.label_ranking_average_precision),
    },
}  # fmt: skip
"""Kind -> name -> metric."""

DEFAULTS: dict[Kind, tuple[str, ...]] = {
    "classification": ("accuracy", "f1", "precision", "recall", "matthews", "auc"),
    "regression": ("pearson", "spearman", "mse"),
    "multi-label": ("accuracy", "f1_micro", "f1_macro", "f1_samples", "auc", "label_ranking_average_precision"),
}
"""What is computed if nobody chooses; the first is the one that models are chosen by."""


def evaluate(kind: Kind, given: Judged, names: Iterable[str] | None = None) -> dict[str, Value]:
    """The figures by name, in the order of `names`; `names=None`: the defaults, without those that need scores where
    there are none.

    Raises `InputError` for a name that the kind does not have, and for one that needs scores where there are none.
    """
    if names is None:
        names = [name for name in DEFAULTS[kind] if given.scores is not None or not METRICS[kind][name].needs_scores]
    return {name: metric(kind, name, given).compute(given) for name in names}


def metric(kind: Kind, name: str, given: Judged | None = None) -> Metric:
    """A metric by name; with `given`, whether that is enough for it. Raises as `evaluate` does."""
    known = METRICS[kind]
    if name not in known:
        raise InputError(f"there is no metric {name!r} for {kind}; choose from {', '.join(known)}")
    if given is not None and given.scores is None and known[name].needs_scores:
        raise InputError(f"the metric {name!r} needs the scores of all classes, but only predictions are given")
    return known[name]
