"""The laws of masking, and its proportions."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.pretraining.masking import MaskingRules, mask_tokens
from bertref.errors import InputError
from bertref.text import Vocab

from .corpora import VOCAB

WORDS = st.lists(st.integers(5, VOCAB.size - 1), min_size=1, max_size=60)


def instance(first: list[int], second: list[int]) -> list[int]:
    return [VOCAB.cls, *first, VOCAB.sep, *second, VOCAB.sep]


@given(
    WORDS, WORDS, st.floats(0.01, 1), st.integers(1, 30), st.booleans(), st.integers(0, 2**32)
)  # fmt: skip
def test_laws(
    first: list[int], second: list[int], probability: float, most: int, whole_word: bool, seed: int
) -> None:
    ids = instance(first, second)
    before = list(ids)
    rules = MaskingRules.of(VOCAB, probability=probability, max_predictions=most, whole_word=whole_word)
    masked = mask_tokens(ids, rules, random.Random(seed))
    assert ids == before
    assert masked.positions == sorted(set(masked.positions))
    assert masked.labels == [ids[position] for position in masked.positions]
    assert not {VOCAB.cls, VOCAB.sep} & set(masked.labels)
    assert all(0 <= replacement < VOCAB.size for replacement in masked.replacements)
    wanted = min(most, max(1, round(len(ids) * probability)))
    if whole_word:
        assert len(masked.positions) <= wanted
    else:
        assert len(masked.positions) == min(wanted, len(ids) - 3)


@given(WORDS, WORDS, st.floats(0.01, 1), st.integers(0, 2**32))
def test_whole_words_are_hidden_completely(
    first: list[int], second: list[int], probability: float, seed: int
) -> None:
    ids = instance(first, second)
    rules = MaskingRules.of(VOCAB, probability=probability, max_predictions=20, whole_word=True)
    chosen = set(mask_tokens(ids, rules, random.Random(seed)).positions)
    pieces = [i for i, id_ in enumerate(ids) if id_ not in (VOCAB.cls, VOCAB.sep)]
    words: list[list[int]] = []
    for position in pieces:
        if words and VOCAB.is_subword[ids[position]]:
            words[-1].append(position)
        else:
            words.append([position])
    for word in words:
        assert len(chosen & set(word)) in (0, len(word))


def test_a_short_text_has_one_prediction() -> None:
    rules = MaskingRules.of(VOCAB)
    assert len(mask_tokens(instance([7], [8]), rules, random.Random(0)).positions) == 1


def test_the_count_includes_the_special_tokens() -> None:
    """15 % of 11 tokens are 1.65; of the 8 that are not special, 1.2."""
    rules = MaskingRules.of(VOCAB)
    ids = instance([6] * 4, [7] * 4)
    assert len(mask_tokens(ids, rules, random.Random(0)).positions) == 2


def test_half_is_rounded_to_even() -> None:
    """As Python 3's round does in the original: 10 * 0.25 = 2.5."""
    rules = MaskingRules.of(VOCAB, probability=0.25)
    assert len(mask_tokens(instance([6] * 3, [7] * 4), rules, random.Random(0)).positions) == 2


def test_a_word_that_is_too_long_is_passed_over() -> None:
    piece = VOCAB.ids["##a"]
    rules = MaskingRules.of(VOCAB, probability=0.15, max_predictions=20, whole_word=True)
    only_long = instance([6, piece, piece], [7, piece, piece])
    assert mask_tokens(only_long, rules, random.Random(0)).positions == []
    one_short = instance([6, piece, piece], [7, piece, piece, 8])
    assert [mask_tokens(one_short, rules, random.Random(seed)).positions for seed in range(9)] == [[8]] * 9


def test_80_10_10() -> None:
    """Of 50,000 predictions: within five standard deviations of 80 % [MASK], 10 % kept, 10 % random."""
    big = Vocab((*VOCAB.tokens, *(f"w{number}" for number in range(2000))))
    rules = MaskingRules.of(big, probability=0.5, max_predictions=50)
    rng = random.Random(1)
    ids = instance([100] * 49, [200] * 49)
    kinds: Counter[str] = Counter()
    drawn: Counter[int] = Counter()
    where: Counter[int] = Counter()
    for _ in range(1000):
        masked = mask_tokens(ids, rules, rng)
        where.update(masked.positions)
        for label, replacement in zip(masked.labels, masked.replacements, strict=True):
            kind = "mask" if replacement == big.mask else "kept" if replacement == label else "random"
            kinds[kind] += 1
            if kind == "random":
                drawn[replacement] += 1
    total = kinds.total()
    assert total == 50_000
    for kind, share in (("mask", 0.8), ("kept", 0.1), ("random", 0.1)):
        assert abs(kinds[kind] / total - share) < 5 * (share * (1 - share) / total) ** 0.5 + 1 / big.size
    # random tokens are from all over the vocabulary, special tokens included
    assert min(drawn) < 5
    assert max(drawn) > big.size - 50
    assert np.mean(list(drawn.elements())) == pytest.approx(big.size / 2, rel=0.05)
    # and every position is as likely as any other
    assert set(where) == set(range(1, 50)) | set(range(51, 100))
    assert max(where.values()) < 50_000 / 98 + 5 * (1000 * 0.5 * 0.5) ** 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 0.0}, "masked_lm_prob is 0.0"),
        ({"probability": 1.1}, "masked_lm_prob is 1.1"),
        ({"max_predictions": 0}, "max_predictions is 0"),
    ],
)
def test_rules_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskingRules.of(VOCAB, **options)  # type: ignore[arg-type]


def test_a_vocabulary_without_mask_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[MASK\]"):
        MaskingRules.of(Vocab(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a")))
