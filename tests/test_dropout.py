"""Which elements dropout keeps: the definition written a second time, from Philox's words up, and its laws."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import backends, dropout
from bertref.dropout import Dropout

SEED, STEP = 2**40 + 7, 12
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
EXAMPLES = np.array([4, 2**50, 17, 0, 9])
HIDDEN, PROBS = 0.3, 0.15


@pytest.fixture(scope="module")
def xp(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.config.getoption("--backend")).xp


def decisions(site: int, example: int, count: int, probability: float) -> np.ndarray:
    """Lane j of word i decides element 4 i + j; arithmetic on Python integers, no views."""
    key = np.array([SEED, 1_000_000 + site], np.uint64)
    bits = np.random.Philox(counter=np.array([0, STEP, example, 0], np.uint64), key=key)
    words = [int(word) for word in bits.random_raw(count // 4 + 1)]
    lanes = [(words[j // 4] >> (16 * (j % 4))) & 0xFFFF for j in range(count)]
    return np.array([lane >= round(65536 * probability) for lane in lanes], bool)


def make(
    xp: Any, *, packed: bool = False, rows: Any = slice(None), hidden: float = HIDDEN, probs: float = PROBS
) -> Dropout:
    return Dropout(xp, SEED, STEP, EXAMPLES[rows], MASK[rows], packed, hidden, probs)


def test_hidden_states_follow_the_definition(xp: Any) -> None:
    keep = xp.to_numpy(make(xp).hidden(5, 7)).reshape(5, 5, 7)
    for b, example in enumerate(EXAMPLES):
        real = np.flatnonzero(MASK[b])
        want = decisions(5, int(example), len(real) * 7, HIDDEN)
        assert keep[b, real].tolist() == want.reshape(-1, 7).tolist()


def test_probabilities_follow_the_definition(xp: Any) -> None:
    keep = xp.to_numpy(make(xp).probs(8, 3))
    assert keep.shape == (5, 3, 5, 5)
    for b, example in enumerate(EXAMPLES):
        real = np.flatnonzero(MASK[b])
        want = iter(decisions(8, int(example), 3 * len(real) ** 2, PROBS).tolist())
        for head in range(3):
            for query in real:
                for key in real:
                    assert keep[b, head, query, key] == next(want)


def test_a_vector_a_sequence_follows_the_definition(xp: Any) -> None:
    keep = xp.to_numpy(make(xp).first(dropout.HEAD_SITE, 6))
    want = [decisions(1, int(example), 6, HIDDEN).tolist() for example in EXAMPLES]
    assert keep.tolist() == want


def test_literal_decisions() -> None:
    drawn = dropout.kept(0, 0, 0, 0, 24, 0.5)
    assert "".join("01"[int(x)] for x in drawn) == "111101011000011000111100"


def test_the_sites_are_literal() -> None:
    assert (dropout.EMBEDDINGS_SITE, dropout.HEAD_SITE) == (0, 1)
    assert [dropout.layer_site(i) for i in range(4)] == [2, 5, 8, 11]


def test_packed_rows_are_the_real_rows_of_the_rectangle(xp: Any) -> None:
    rectangle = xp.to_numpy(make(xp).hidden(3, 7)).reshape(5, 5, 7)
    packed = xp.to_numpy(make(xp, packed=True).hidden(3, 7))
    assert packed.tolist() == rectangle[MASK].tolist()
    probs = [xp.to_numpy(make(xp, packed=p).probs(3, 2)).tolist() for p in (False, True)]
    assert probs[0] == probs[1]


@given(st.permutations(range(5)), st.integers(1, 4))
def test_chunks_and_any_order_drop_the_same(order: list[int], cut: int) -> None:
    xp = backends.get("numpy").xp
    whole = make(xp)
    for rows in (np.array(order[:cut]), np.array(order[cut:])):
        part = make(xp, rows=rows)
        hidden = np.asarray(whole.hidden(2, 3)).reshape(5, 5, 3)[rows]
        assert np.asarray(part.hidden(2, 3)).tolist() == hidden.reshape(-1, 3).tolist()
        assert np.asarray(part.probs(2, 3)).tolist() == np.asarray(whole.probs(2, 3))[rows].tolist()
        assert np.asarray(part.first(2, 3)).tolist() == np.asarray(whole.first(2, 3))[rows].tolist()


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They draw for long examples only; in whatever order they do, each example gets its own bits."""
    numpy = backends.get("numpy")
    asked = []

    def backwards(draw: Callable[[int], None], examples: int) -> None:
        asked.append(examples)
        for b in reversed(range(examples)):
            draw(b)

    alone = make(numpy.xp)
    for share, few, times in ((backwards, 1 << 16, 0), (backwards, 0, 2), (numpy.share, 0, 0)):
        asked.clear()
        monkeypatch.setattr(dropout, "FEW", few)
        together = replace(alone, share=share)
        np.testing.assert_array_equal(together.hidden(2, 3), alone.hidden(2, 3))
        np.testing.assert_array_equal(together.probs(2, 3), alone.probs(2, 3))
        assert asked == [5] * times


def test_more_padding_changes_nothing(xp: Any) -> None:
    wide = np.pad(MASK, ((0, 0), (0, 4)))
    padded = Dropout(xp, SEED, STEP, EXAMPLES, wide, False, HIDDEN, PROBS)
    assert xp.to_numpy(padded.hidden(2, 3)).reshape(5, 9, 3)[wide].tolist() == (
        xp.to_numpy(make(xp).hidden(2, 3)).reshape(5, 5, 3)[MASK].tolist()
    )
    narrow = xp.to_numpy(make(xp).probs(2, 3))
    assert xp.to_numpy(padded.probs(2, 3))[:, :, :5, :5].tolist() == narrow.tolist()


def test_steps_sites_seeds_and_examples_differ() -> None:
    base = dropout.kept(1, 2, 3, 4, 256, 0.5)
    for address in [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)]:
        assert (dropout.kept(*address, 256, 0.5) != base).any()


def test_probability_zero_makes_no_mask(xp: Any) -> None:
    none = make(xp, hidden=0.0, probs=0.0)
    assert none.hidden(0, 3) is None
    assert none.first(0, 3) is None
    assert none.probs(2, 3) is None
    assert none.hidden_scale == none.probs_scale == 1.0
    mixed = make(xp, hidden=0.0)
    assert mixed.hidden(0, 3) is None
    assert mixed.probs(2, 3) is not None


@given(st.floats(0, 0.999))
def test_the_scale_is_the_exact_inverse_of_the_kept_share(probability: float) -> None:
    below = dropout.threshold(probability)
    assert abs(below - 65536 * probability) <= 0.5
    lanes_kept = sum(lane >= below for lane in range(65536))
    # a quotient of whole numbers, so even the last bit is defined
    assert dropout.scale(probability) == 65536 / lanes_kept
    assert make(backends.get("numpy").xp, hidden=probability).hidden_scale == 65536 / lanes_kept


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_kept_share(probability: float) -> None:
    count = 200_000
    share = dropout.kept(3, 4, 5, 6, count, probability).mean()
    deviation = (probability * (1 - probability) / count) ** 0.5
    assert abs(share - (1 - probability)) < 4 * deviation


def test_an_empty_batch(xp: Any) -> None:
    empty = Dropout(xp, SEED, STEP, EXAMPLES[:0], MASK[:0], False, HIDDEN, PROBS)
    assert tuple(empty.hidden(0, 3).shape) == (0, 3)
    assert tuple(empty.first(0, 3).shape) == (0, 3)
    assert tuple(empty.probs(2, 3).shape) == (0, 3, 5, 5)
