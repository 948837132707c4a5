"""Initial weights: their distribution, their addresses, their bits."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import transformers

from bertref.config import BertConfig, Numerics
from bertref.errors import InputError
from bertref.heads import parameter_shapes
from bertref.init import initial_parameter, initial_parameters

TINY = BertConfig.preset("tiny", vocab_size=2000)
GOOGLE, HUGGINGFACE = Numerics.preset("google"), Numerics.preset("huggingface")
WORDS = "bert.embeddings.word_embeddings.weight"
SIGMA = 0.02
ORACLES = {"google": scipy.stats.truncnorm(-2, 2, scale=SIGMA), "huggingface": scipy.stats.norm(scale=SIGMA)}


def drawn(dialect: Numerics, seed: int = 7, rows: slice = slice(1, None)) -> np.ndarray:
    """A large sample: the word embeddings without the row of the padding token."""
    values: np.ndarray = initial_parameters(TINY, dialect, seed, dtype="float64")[WORDS][rows].reshape(-1)
    return values


def check(values: np.ndarray, dialect: str) -> None:
    """Bounds, moments within four standard errors, and Kolmogorov-Smirnov."""
    oracle = ORACLES[dialect]
    low, high = oracle.support()
    assert low <= values.min()
    assert values.max() <= high
    mean, variance, skewness, kurtosis = (float(moment) for moment in oracle.stats("mvsk"))
    n = values.size
    assert abs(values.mean() - mean) < 4 * np.sqrt(variance / n)
    assert abs(values.var() / variance - 1) < 4 * np.sqrt((kurtosis + 2) / n)
    assert abs(scipy.stats.skew(values) - skewness) < 4 * np.sqrt(6 / n)
    assert abs(scipy.stats.kurtosis(values) - kurtosis) < 4 * np.sqrt(24 / n)
    assert scipy.stats.kstest(values, oracle.cdf).pvalue > 1e-4


@pytest.mark.parametrize("dialect", ["google", "huggingface"])
def test_distribution(dialect: str) -> None:
    check(drawn(Numerics.preset(dialect)), dialect)


def test_truncation_narrows_the_deviation() -> None:
    """0.8796 of the 0.02 that the configuration says; nothing beyond 0.04, and something close to it."""
    values = drawn(GOOGLE)
    np.testing.assert_allclose(values.std() / SIGMA, 0.8796, rtol=0.01)
    assert 0.0399 < np.abs(values).max() <= 0.04


def clipped() -> np.ndarray:
    return np.clip(drawn(HUGGINGFACE), -2 * SIGMA, 2 * SIGMA)


def rescaled() -> np.ndarray:
    return drawn(GOOGLE) / 0.8796


def cut_at_1_9() -> np.ndarray:
    values = drawn(GOOGLE)
    return values[np.abs(values) < 1.9 * SIGMA]


def shifted() -> np.ndarray:
    return np.clip(drawn(GOOGLE) + 0.01 * SIGMA, -2 * SIGMA, 2 * SIGMA)


@pytest.mark.parametrize("twin", [clipped, rescaled, cut_at_1_9, shifted, lambda: drawn(HUGGINGFACE)])
def test_wrong_distributions_are_rejected(twin: Any) -> None:
    with pytest.raises(AssertionError):
        check(twin(), "google")


def test_normal_rejects_the_truncated() -> None:
    with pytest.raises(AssertionError):
        check(drawn(GOOGLE), "huggingface")


@pytest.mark.parametrize("dialect", [GOOGLE, HUGGINGFACE])
def test_norms_are_the_identity_and_biases_zero(dialect: Numerics) -> None:
    heads = ("pretraining", "question_answering")
    for name, values in initial_parameters(TINY, dialect, 1, heads=heads).items():
        assert values.dtype == np.float32
        if name.endswith("bias"):
            assert not values.any(), name
        elif "LayerNorm" in name:
            assert (values == 1).all(), name
        else:
            assert 0.5 * SIGMA < values.std() < 1.5 * SIGMA, name


def test_padding_row_follows_the_dialect() -> None:
    """Hugging Face zeroes the row of [PAD] in a new model, Google draws it like any other."""
    config = replace(TINY, pad_token_id=3, vocab_size=50)
    theirs = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=50, hidden_size=128, num_hidden_layers=0, num_attention_heads=2, pad_token_id=3
        )
    )
    rows = theirs.embeddings.word_embeddings.weight.detach().numpy()
    assert [i for i in range(50) if not rows[i].any()] == [3]
    for dialect, zero in ((HUGGINGFACE, [3]), (GOOGLE, [])):
        mine = initial_parameters(config, dialect, 1)[WORDS]
        assert [i for i in range(50) if not mine[i].any()] == zero


def test_same_seed_same_bits_and_other_seed_others() -> None:
    one, two, other = (initial_parameters(TINY, GOOGLE, seed) for seed in (5, 5, 6))
    assert list(one) == list(parameter_shapes(TINY))
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
        if values.std() > 0:
            assert not np.array_equal(values, other[name]), name


def test_parameters_are_independent_of_each_other() -> None:
    params = initial_parameters(TINY, GOOGLE, 5)
    names = [n for n, v in params.items() if v.shape == (128, 128)]
    assert len(names) == 2 * 4 + 2
    for i, name in enumerate(names):
        for other in names[i + 1 :]:
            correlation = np.corrcoef(params[name].ravel(), params[other].ravel())[0, 1]
            assert abs(correlation) < 5 / 128, (name, other)


def test_depth_and_heads_change_no_other_parameter() -> None:
    shallow = initial_parameters(TINY, GOOGLE, 5, heads=())
    deep = initial_parameters(replace(TINY, num_hidden_layers=4), GOOGLE, 5, heads=("question_answering",))
    for name, values in shallow.items():
        np.testing.assert_array_equal(values, deep[name])
    head = initial_parameter("qa_outputs.weight", (2, 128), TINY, GOOGLE, 5)
    np.testing.assert_array_equal(head.astype(np.float32), deep["qa_outputs.weight"])


def test_float32_is_float64_rounded() -> None:
    narrow, wide = (initial_parameters(TINY, GOOGLE, 5, dtype=dtype) for dtype in ("float32", "float64"))
    for name, values in wide.items():
        np.testing.assert_array_equal(narrow[name], values.astype(np.float32))
    with pytest.raises(InputError):
        initial_parameters(TINY, GOOGLE, 5, dtype="float16")


@pytest.mark.parametrize(
    ("dialect", "wanted"),
    [
        ("google", "3cbcc26d72ecf7a3b05e9b6249ff49b1d50068fbcc8eeb4dee42938263d5c8a9"),
        ("huggingface", "e97dcd5b7096b8f452e81b0f2f12d2954d7eb3e75b5df4c76b579cbc22b3ee93"),
    ],
)
def test_bits_are_pinned(dialect: str, wanted: str) -> None:
    """Seed 12345: a change here changes every model that will ever be started."""
    config = BertConfig.preset("tiny", vocab_size=100, max_position_embeddings=16)
    digest = hashlib.sha256()
    for name, values in initial_parameters(config, Numerics.preset(dialect), 12345).items():
        digest.update(name.encode() + np.ascontiguousarray(values, dtype="<f4").tobytes())
    assert digest.hexdigest() == wanted
