"""Each name of the table against scikit-learn or scipy, on one evaluation of each kind."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from bertref.errors import InputError
from bertref.metrics.registry import DEFAULTS, METRICS, Judged, Kind, evaluate, metric

from .oracles import quietly, same, undefined

random = np.random.default_rng(3)
N = 60


def of_classes(K: int) -> Judged:
    scores = random.normal(size=(N, K))
    scores /= np.abs(scores).sum(axis=1, keepdims=True)
    return Judged(random.integers(0, K, N), scores.argmax(axis=1), scores, K)


TWO, FOUR = of_classes(2), of_classes(4)
NUMBERS = Judged(random.normal(size=(N, 2)), random.normal(size=(N, 2)))
MARKS = Judged(random.integers(0, 2, (N, 3)), random.integers(0, 2, (N, 3)), random.normal(size=(N, 3)))
PARTS: dict[str, Callable[..., Any]] = {
    "f1": sklearn.f1_score, "precision": sklearn.precision_score, "recall": sklearn.recall_score,
}  # fmt: skip


def oracle(kind: Kind, name: str, given: Judged) -> float:
    labels, predictions, scores, K = given
    part, _, average = name.partition("_")
    if part in PARTS:
        usual = "binary" if kind == "classification" and K == 2 else "macro"
        return float(PARTS[part](labels, predictions, average=average or usual))
    if name == "auc" and kind == "classification":
        if K == 2:
            return float(sklearn.roc_auc_score(labels, scores[:, 1] - scores[:, 0]))  # type: ignore[call-overload, index]
        marks = np.asarray(labels)[:, None] == np.arange(K)
        return float(sklearn.roc_auc_score(marks, scores, average="macro"))
    if name in ("pearson", "spearman"):
        their = stats.pearsonr if name == "pearson" else stats.spearmanr
        return float(np.mean([their(labels[:, k], predictions[:, k]).statistic for k in range(2)]))  # type: ignore
    return float(
        {
            "accuracy": lambda: sklearn.accuracy_score(labels, predictions),
            "matthews": lambda: sklearn.matthews_corrcoef(labels, predictions),
            "mse": lambda: sklearn.mean_squared_error(labels, predictions),
            "mae": lambda: sklearn.mean_absolute_error(labels, predictions),
            "auc": lambda: sklearn.roc_auc_score(labels, scores, average="macro"),
            "label_ranking_average_precision": lambda: sklearn.label_ranking_average_precision_score(labels, scores),
        }[name]()
    )


@pytest.mark.parametrize(
    ("kind", "given"),
    [("classification", TWO), ("classification", FOUR), ("regression", NUMBERS), ("multi-label", MARKS)],
    ids=["two", "four", "numbers", "marks"],
)
def test_every_name(kind: Kind, given: Judged) -> None:
    found = evaluate(kind, given, METRICS[kind])
    assert list(found) == list(METRICS[kind])
    for name, value in found.items():
        same(value, quietly(oracle, kind, name, given))


def test_the_defaults() -> None:
    for kind, given in (("classification", TWO), ("regression", NUMBERS), ("multi-label", MARKS)):
        assert list(evaluate(kind, given)) == list(DEFAULTS[kind])  # type: ignore[index, arg-type]
    without = evaluate("classification", FOUR._replace(scores=None))
    assert list(without) == ["accuracy", "f1", "precision", "recall", "matthews"]


def test_numbers_of_one_column_or_none() -> None:
    x, y = NUMBERS.labels[:, 0], NUMBERS.predictions[:, 0]  # type: ignore[call-overload, index]
    assert evaluate("regression", Judged(x, y)) == evaluate("regression", Judged(x[:, None], y[:, None]))
    undefined(metric("regression", "pearson").compute(Judged(np.ones((3, 2)), np.ones((3, 2)))), float("nan"))


def test_which_way_is_better() -> None:
    smaller = {name for metrics in METRICS.values() for name, found in metrics.items() if found.smaller}
    assert smaller == {"mse", "mae"}


def test_refused() -> None:
    with pytest.raises(InputError, match="no metric 'bleu' for regression; choose from pearson, spearman, mse, mae"):
        evaluate("regression", NUMBERS, ["bleu"])
    with pytest.raises(InputError, match="'auc' needs the scores"):
        evaluate("classification", FOUR._replace(scores=None), ["auc"])
    with pytest.raises(InputError, match="shapes"):
        evaluate("regression", Judged(np.ones((3, 2)), np.ones(3)), ["pearson"])
