"""The four evaluation figures against scikit-learn over the whole evaluation, cut into unequal batches."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from bertref.errors import InputError
from bertref.metrics import WeightedMean

from .pretraining_metrics import PretrainingMetrics

random = np.random.default_rng(17)
B, P = 11, 5
PREDICTED = random.integers(0, 4, (B, P))
LABELS = random.integers(0, 4, (B, P))
LOSSES = random.random((B, P)).astype(np.float32)
WEIGHTS = (np.arange(P) < random.integers(1, P + 1, (B, 1))).astype(np.float32)
NEXT, NEXT_LABELS = random.integers(0, 2, B), random.integers(0, 2, B)
NEXT_LOSSES = random.random(B)
BATCHES = [slice(0, 4), slice(4, 5), slice(5, 11)]


def wanted() -> dict[str, float]:
    real = WEIGHTS.ravel() > 0
    return {
        "masked_lm_accuracy": accuracy_score(LABELS.ravel()[real], PREDICTED.ravel()[real]),
        "masked_lm_loss": float(LOSSES.ravel()[real].astype(float).mean()),
        "next_sentence_accuracy": accuracy_score(NEXT_LABELS, NEXT),
        "next_sentence_loss": float(NEXT_LOSSES.mean()),
    }


def gather(batches: list[slice], weights: Any = WEIGHTS) -> PretrainingMetrics:
    metrics = PretrainingMetrics()
    for rows in batches:
        metrics = metrics.add_masked_lm(PREDICTED[rows], LABELS[rows], LOSSES[rows], weights[rows])
        metrics = metrics.add_next_sentence(NEXT[rows], NEXT_LABELS[rows], NEXT_LOSSES[rows])
    return metrics


def test_figures_are_those_of_the_whole_evaluation() -> None:
    assert gather(BATCHES).values() == pytest.approx(wanted(), rel=1e-12)
    assert list(gather(BATCHES).values()) == list(wanted())


def test_workers_add_up() -> None:
    apart = gather(BATCHES[:1]) + gather(BATCHES[1:])
    assert apart.values() == pytest.approx(wanted(), rel=1e-12)


def test_padded_predictions_counted_would_be_noticed() -> None:
    figures = gather(BATCHES, np.ones_like(WEIGHTS)).values()
    for name in ("masked_lm_accuracy", "masked_lm_loss"):
        assert figures[name] != pytest.approx(wanted()[name], rel=1e-3)


def test_means_of_batch_means_would_be_noticed() -> None:
    means = [gather([rows]).values() for rows in BATCHES]
    for name, value in wanted().items():
        assert np.mean([figures[name] for figures in means]) != pytest.approx(value, rel=1e-3)


def test_only_what_was_added_is_counted() -> None:
    metrics = PretrainingMetrics().add_next_sentence([1], [1], [0.5])
    assert metrics.next_sentence_loss == WeightedMean(0.5, 1.0)
    assert metrics.masked_lm_loss == WeightedMean()


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(InputError, match="must agree"):
        PretrainingMetrics().add_next_sentence(NEXT, NEXT_LABELS[:, None], NEXT_LOSSES)
    with pytest.raises(InputError, match="must agree"):
        PretrainingMetrics().add_masked_lm(PREDICTED, LABELS, LOSSES, WEIGHTS[:, :1])
