"""Against scikit-learn, on labels with empty classes and with one class only."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics as sklearn

from bertref.errors import InputError
from bertref.metrics import classification as ours
from bertref.metrics.averages import Scores

from .oracles import quietly, same, two_labellings, undefined, warns

Labellings = tuple[list[int], list[int]]


@given(two_labellings())
def test_confusion_matrix(pair: Labellings) -> None:
    labels, predictions = pair
    same(ours.confusion_matrix(labels, predictions, classes=6), sklearn.confusion_matrix(*pair, labels=range(6)))
    largest = max(labels + predictions)
    same(ours.confusion_matrix(*pair), quietly(sklearn.confusion_matrix, *pair, labels=range(largest + 1)))


@given(two_labellings())
def test_accuracy_and_matthews(pair: Labellings) -> None:
    same(ours.accuracy(*pair), sklearn.accuracy_score(*pair))
    same(ours.matthews(*pair), quietly(sklearn.matthews_corrcoef, *pair))
    assert ours.matthews(*pair).undefined == (len(set(pair[0])) == 1 or len(set(pair[1])) == 1)


@given(pair=two_labellings())
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_averages(pair: Labellings, average: ours.Average) -> None:
    for our, their in TWINS:
        same(our(*pair, average), quietly(their, *pair, average=average))
        assert our(*pair, average).undefined == warns(their, *pair, average=average)


TWINS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (ours.precision, sklearn.precision_score),
    (ours.recall, sklearn.recall_score),
    (ours.f1, sklearn.f1_score),
]


@given(pair=two_labellings(classes=2))
@pytest.mark.parametrize("positive", [0, 1])
def test_binary(pair: Labellings, positive: int) -> None:
    for our, their in TWINS:
        same(our(*pair, positive=positive), quietly(their, *pair, labels=[positive], average="micro"))
        assert our(*pair, positive=positive).undefined == warns(their, *pair, labels=[positive], average="micro")
    hits = ours.outcomes(*pair, positive)
    rest = 1 - positive
    matrix = sklearn.confusion_matrix(*pair, labels=[positive, rest])
    assert (hits.true_positives, hits.false_negatives, hits.false_positives, hits.true_negatives) == tuple(
        matrix.ravel().tolist()
    )


@given(two_labellings())
def test_scores_of_each_class(pair: Labellings) -> None:
    rows = ours.scores_by_class(*pair, classes=6)
    same(
        np.array([[row.precision.value, row.recall.value, row.f1.value, row.support] for row in rows]).T,
        quietly(sklearn.precision_recall_fscore_support, *pair, labels=range(6)),
    )
    assert rows[5].f1.undefined


@given(two_labellings())
def test_report(pair: Labellings) -> None:
    found = ours.classification_report(*pair)
    wanted = quietly(sklearn.classification_report, *pair, output_dict=True, labels=sorted({*pair[0], *pair[1]}))
    assert [str(label) for label in found.rows] == [key for key in wanted if key.isdigit()]
    same(found.accuracy, wanted["accuracy"])
    rows = {**{str(label): row for label, row in found.rows.items()},
            "macro avg": found.macro, "weighted avg": found.weighted}  # fmt: skip
    for name, row in rows.items():
        assert isinstance(row, Scores)
        same([row.precision.value, row.recall.value, row.f1.value, row.support], list(wanted[name].values()))


def test_undefined() -> None:
    undefined(ours.precision([1, 0], [0, 0]), 0.0)
    undefined(ours.recall([0, 0], [1, 0]), 0.0)
    undefined(ours.f1([0, 0], [0, 0]), 0.0)
    undefined(ours.accuracy([], []), float("nan"))
    undefined(ours.matthews([], []), 0.0)
    undefined(ours.f1([], [], "macro"), float("nan"))
    assert not ours.f1([1, 0], [0, 1]).undefined
    assert ours.f1([1, 0], [0, 1]).value == 0.0


def test_matthews_of_a_million_examples_does_not_overflow() -> None:
    labels = np.arange(1_000_000, dtype=np.int32) % 2
    predictions = np.where(np.arange(1_000_000) % 10, labels, 1 - labels)
    same(ours.matthews(labels, predictions), sklearn.matthews_corrcoef(labels, predictions))


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0], "shapes"),
        ([0.5, 1.0], [0, 1], "integers"),
        ([0, -1], [0, 1], "labels number 2 is -1"),
        ([[0], [1]], [0, 1], "shape"),
    ],
)
def test_refused(labels: Any, predictions: Any, message: str) -> None:
    for function in (ours.accuracy, ours.f1, ours.matthews, ours.classification_report):
        with pytest.raises(InputError, match=message):
            function(labels, predictions)


def test_a_class_or_average_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="a class 3, but only 3"):
        ours.confusion_matrix([3], [0], classes=3)
    with pytest.raises(InputError, match="no average 'mean'"):
        ours.f1([0], [0], "mean")  # type: ignore[arg-type]
