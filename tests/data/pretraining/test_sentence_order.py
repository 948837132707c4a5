"""Pairs of neighbours in either order."""

import random

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from bertref.data.pretraining.instances import PairingRules
from bertref.data.pretraining.sentence_order import ordered_spans

DOCUMENTS = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=12), min_size=1, max_size=4)


def offsets(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Those of documents given by the lengths of their sentences."""
    lengths = [length for document in documents for length in document]
    return np.cumsum([0, *map(len, documents)]), np.cumsum([0, *lengths])


@given(DOCUMENTS, st.integers(5, 40), st.integers(0, 2**32 - 1))
def test_the_two_are_neighbours_in_one_document(documents: list[list[int]], seq_len: int, seed: int) -> None:
    by_document, by_sentence = offsets(documents)
    for number in range(len(documents)):
        first, last = (int(by_sentence[by_document[number + i]]) for i in (0, 1))
        end = first
        pairs = ordered_spans(
            number, by_document, by_sentence, PairingRules(seq_len, 0.5), random.Random(seed)
        )
        for a_start, a_end, b_start, b_end, changed in pairs:
            before, after = ((b_start, b_end), (a_start, a_end)) if changed else ((a_start, a_end), (b_start, b_end))
            assert end <= before[0] < before[1] <= after[0] < after[1] <= last
            assert before[1] - before[0] + after[1] - after[0] <= seq_len - 3
            end = after[1]


def test_half_of_them_have_changed_places() -> None:
    by_document, by_sentence = offsets([[6] * 4000])
    rules = PairingRules(32, 0.0)
    found = list(ordered_spans(0, by_document, by_sentence, rules, random.Random(1)))
    assert len(found) == 800  # five sentences of six tokens a chunk
    assert abs(sum(pair[4] for pair in found) - 400) < 4 * np.sqrt(200)
    assert sum(a_end - a_start + b_end - b_start for a_start, a_end, b_start, b_end, _ in found) == 29 * 800


def test_a_long_sentence_is_cut_inside_and_a_single_token_is_left_out() -> None:
    by_document, by_sentence = offsets([[50], [1]])
    rules = PairingRules(16, 0.0)
    ((a_start, a_end, b_start, b_end, _),) = ordered_spans(0, by_document, by_sentence, rules, random.Random(3))
    assert a_end - a_start + b_end - b_start == 13
    assert not list(ordered_spans(1, by_document, by_sentence, rules, random.Random(3)))
