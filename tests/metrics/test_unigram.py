"""The unigram baseline against scipy's entropy and by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.metrics import unigram_loss

counts_lists = st.lists(st.integers(0, 1000), min_size=2, max_size=30)


@given(counts=counts_lists, seed=st.integers(0, 1000), smoothing=st.sampled_from([0.5, 1.0, 3.0]))
def test_it_is_entropy_plus_divergence(counts: list[int], seed: int, smoothing: float) -> None:
    """Cross-entropy of the held-out distribution q under p is H(q) + KL(q | p)."""
    ids = np.random.default_rng(seed).integers(0, len(counts), 50)
    q = np.bincount(ids, minlength=len(counts)) / len(ids)
    p = np.array(counts) + smoothing
    wanted = scipy.stats.entropy(q) + scipy.stats.entropy(q, p / p.sum())
    assert unigram_loss(counts, ids, smoothing) == pytest.approx(wanted, rel=1e-12)


def test_by_hand() -> None:
    """Counts 3, 1, 0 and one added to each: p = 4/7, 2/7, 1/7."""
    wanted = -(2 * math.log(4 / 7) + math.log(1 / 7)) / 3
    assert unigram_loss([3, 1, 0], [[0, 0, 2]]) == pytest.approx(wanted, rel=1e-14)


def test_the_true_frequencies_are_the_best_prediction() -> None:
    ids = np.repeat(np.arange(4), [7, 5, 2, 1])
    best = unigram_loss([7, 5, 2, 1], ids, smoothing=0)
    assert best == pytest.approx(scipy.stats.entropy([7, 5, 2, 1]), rel=1e-12)
    assert best < unigram_loss([7, 5, 2, 2], ids, smoothing=0)


def test_a_word_never_seen_costs_infinity_without_smoothing() -> None:
    assert unigram_loss([3, 0], [1], smoothing=0) == math.inf
    assert unigram_loss([3, 0], [0], smoothing=0) == 0.0
    assert math.isnan(unigram_loss([3, 0], []))


@pytest.mark.parametrize(
    ("counts", "ids", "smoothing"),
    [([1, 2], [2], 1.0), ([1, 2], [-1], 1.0), ([-1, 2], [0], 1.0), ([0, 0], [0], 0.0), ([[1, 2]], [0], 1.0),
     ([1, 2], [0], -1.0), ([1, 2], [0], math.nan)],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(counts: list[int], ids: list[int], smoothing: float) -> None:
    with pytest.raises(InputError):
        unigram_loss(counts, ids, smoothing)
