"""Against scipy's percentile bootstrap, and against the normal approximation where that is good."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bertref.errors import InputError
from bertref.metrics import classification, correlation, ranking
from bertref.metrics.bootstrap import Interval, interval, mean_interval
from bertref.metrics.value import Value

random = np.random.default_rng(5)


def mean(values: Any) -> Value:
    return Value(float(np.mean(values)))


@pytest.mark.parametrize("values", [random.normal(3, 2, 400), random.random(2000) < 0.9], ids=["numbers", "hits"])
def test_the_mean_by_all_ways(values: Any) -> None:
    """Three estimates of the same two percentiles; 4000 resamples leave each about 0.03 standard errors of noise."""
    N = len(values)
    error = np.std(values) / math.sqrt(N)
    middle = np.mean(values)
    for found in (interval(mean, values, resamples=4000), mean_interval(values, resamples=4000)):
        assert found.undefined == 0
        np.testing.assert_allclose((found.low - middle) / error, -1.96, atol=0.2)
        np.testing.assert_allclose((found.high - middle) / error, 1.96, atol=0.2)


def test_any_metric_as_scipy_does() -> None:
    x = random.normal(size=200)
    y = x + random.normal(size=200)
    theirs = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, n_resamples=2000,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = interval(correlation.pearson, x, y, resamples=2000)
    np.testing.assert_allclose([found.low, found.high], [theirs.low, theirs.high], atol=0.02)


def test_the_level() -> None:
    values = random.normal(size=300)
    wide, narrow = mean_interval(values, level=0.99), mean_interval(values, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (wide.level, narrow.level) == (0.99, 0.5)


def test_a_seed_gives_one_interval() -> None:
    labels, predictions = random.integers(0, 2, 100), random.integers(0, 2, 100)
    assert interval(classification.f1, labels, predictions) == interval(classification.f1, labels, predictions)
    assert interval(classification.f1, labels, predictions) != interval(classification.f1, labels, predictions, seed=1)
    assert mean_interval(labels) == mean_interval(labels)
    assert mean_interval(labels) != mean_interval(labels, seed=1)


def test_rows_are_drawn_together() -> None:
    labels = np.arange(50) % 5
    assert interval(classification.accuracy, labels, labels, resamples=50) == Interval(1.0, 1.0, 0.95, 0)


def test_undefined_resamples_are_left_out_and_counted() -> None:
    found = interval(ranking.auc, [0, 1], [0.1, 0.9], resamples=400)
    assert (found.low, found.high) == (1.0, 1.0)
    assert 120 < found.undefined < 280  # half of all draws of two examples show one class only
    assert math.isnan(interval(ranking.auc, [1, 1], [0.1, 0.9]).low)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    values = random.normal(size=90)
    whole = mean_interval(values, resamples=100)
    monkeypatch.setattr("bertref.metrics.bootstrap._DRAWN_AT_ONCE", 700)
    assert mean_interval(values, resamples=100) == whole


def test_refused() -> None:
    with pytest.raises(InputError, match="2, 3 rows"):
        interval(classification.accuracy, [0, 1], [0, 1, 1])
    for options, message in (({"resamples": 0}, "0 resamples"), ({"level": 95}, "the level is 95")):
        for function in (lambda **o: interval(mean, [1.0], **o), lambda **o: mean_interval([1.0], **o)):
            with pytest.raises(InputError, match=message):
                function(**options)
    with pytest.raises(InputError, match="no examples"):
        mean_interval([])
    with pytest.raises(InputError, match="values number 1 is nan"):
        mean_interval([float("nan")])
