"""The original's instances, reproduced; and the laws that pairs obey whatever is drawn."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import golden
from bertref.data.pretraining.instances import (
    Instance,
    PairingRules,
    PairSpans,
    create_instances,
    pair_spans,
    truncate_pair,
    with_specials,
)
from bertref.data.pretraining.masking import MaskingRules
from bertref.errors import InputError
from bertref.text import Vocab

from .corpora import offsets

CASES = {case["name"]: case for case in golden.details("original_instances")["cases"]}


def as_original(instance: Instance, tokens: np.ndarray, vocab: Vocab) -> dict[str, Any]:
    """An instance in the golden's words."""
    ids = with_specials(instance.spans, lambda start, end: tokens[start:end], vocab).input_ids
    for position, replacement in zip(instance.masked.positions, instance.masked.replacements, strict=True):
        ids[position] = replacement
    first = instance.spans[1] - instance.spans[0] + 2
    return {
        "tokens": " ".join(vocab.tokens[id_] for id_ in ids),
        "segment_ids": "0" * first + "1" * (len(ids) - first),
        "is_random_next": bool(instance.spans[4]),
        "masked_lm_positions": instance.masked.positions,
        "masked_lm_labels": " ".join(vocab.tokens[id_] for id_ in instance.masked.labels),
    }


@pytest.mark.parametrize("name", CASES)
def test_the_original_script_s_instances(name: str) -> None:
    case = CASES[name]
    options = case["options"]
    vocab = Vocab(tuple(golden.details("original_instances")["vocabulary"].split()))
    sentences = [[vocab.ids[token] for token in s.split()] for document in case["documents"] for s in document]
    tokens = np.array([id_ for sentence in sentences for id_ in sentence])
    instances = create_instances(
        offsets([len(document) for document in case["documents"]]),
        offsets([len(sentence) for sentence in sentences]),
        lambda start, end: tokens[start:end],
        PairingRules(options["max_seq_length"], options["short_seq_prob"]),
        MaskingRules.of(
            vocab,
            probability=options["masked_lm_prob"],
            max_predictions=options["max_predictions_per_seq"],
            whole_word=options["do_whole_word_mask"],
        ),
        vocab,
        random.Random(options["random_seed"]),
        options["dupe_factor"],
    )
    assert [as_original(instance, tokens, vocab) for instance in instances] == case["instances"]


def test_the_golden_has_what_it_is_for() -> None:
    """Cut at both ends, both labels, one-sentence documents, short and full sequences, words cut in two."""
    instances = [instance for case in CASES.values() for instance in case["instances"]]
    assert {instance["is_random_next"] for instance in instances} == {True, False}
    assert any(" [SEP] ##" in instance["tokens"] for instance in instances)
    lengths = {len(instance["segment_ids"]) for instance in CASES["short sequences"]["instances"]}
    assert 32 in lengths
    assert min(lengths) < 32
    assert any(len(document) == 1 for document in CASES["short sequences"]["documents"])


# ---------------------------------------------------------------------------------------------------------------------

lengths_of_corpora = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=9), min_size=1, max_size=6)


def all_pairs(
    corpus: list[list[int]], rules: PairingRules, seed: int
) -> Iterator[tuple[int, tuple[int, int], PairSpans]]:
    """(document, its token range, pair) for every pair of a pass."""
    document_offsets = offsets([len(document) for document in corpus])
    sentence_offsets = offsets([length for document in corpus for length in document])
    rng = random.Random(seed)
    for position in range(len(corpus)):
        bounds = sentence_offsets[document_offsets[position]], sentence_offsets[document_offsets[position + 1]]
        for spans in pair_spans(position, range(len(corpus)), document_offsets, sentence_offsets, rules, rng):
            yield position, bounds, spans


@given(lengths_of_corpora, st.integers(5, 40), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 2**32))
def test_pairs_obey_the_laws(corpus: list[list[int]], seq_len: int, short: float, seed: int) -> None:
    starts = offsets([length for document in corpus for length in document])
    documents_end = starts[offsets([len(document) for document in corpus])]
    for _, (begin, end), (a_start, a_end, b_start, b_end, is_random) in all_pairs(
        corpus, PairingRules(seq_len, short), seed
    ):
        assert begin <= a_start < a_end <= end  # the first segment is text of the document
        assert b_start < b_end
        assert a_end - a_start + b_end - b_start + 3 <= seq_len
        inside = np.searchsorted(documents_end, b_start, "right") == np.searchsorted(documents_end, b_end, "left")
        assert inside  # the second segment lies in one document
        if not is_random:
            assert begin <= b_start
            assert b_end <= end
            # between the two lie only tokens that were cut off the end of the first and the front of the second
            assert a_end <= b_start
            assert np.any((starts >= a_end) & (starts <= b_start))


@given(lengths_of_corpora, st.integers(0, 2**32))
def test_no_sentence_of_a_document_is_lost_when_nothing_is_cut(corpus: list[list[int]], seed: int) -> None:
    """With room for everything, first segments and true second segments cover each document exactly once."""
    covered: dict[int, list[int]] = {}
    for document, _, (a_start, a_end, b_start, b_end, is_random) in all_pairs(corpus, PairingRules(2000, 0), seed):
        covered.setdefault(document, []).extend(range(a_start, a_end))
        if not is_random:
            covered[document] += range(b_start, b_end)
    everything = [token for document in sorted(covered) for token in covered[document]]
    assert everything == list(range(sum(sum(document) for document in corpus)))


def test_the_second_segment_is_random_half_of_the_time_where_there_is_a_choice() -> None:
    """SEED's law is conditional: a chunk of one sentence has no next sentence, so it always gets a random one."""
    corpus = [[4] * 30 for _ in range(300)]
    labels = [spans[4] for _, _, spans in all_pairs(corpus, PairingRules(19, 0), 1)]
    # every chunk has four sentences, but possibly a document's last
    assert len(labels) > 3000
    chosen = np.mean(labels)
    lonely = [[9]] * 200
    assert {spans[4] for _, _, spans in all_pairs(lonely, PairingRules(19, 0), 1)} == {1}
    # last chunks of one sentence shift the share by at most one pair in a document
    assert 0.5 < chosen < 0.5 + 300 / len(labels) + 4 * 0.5 / len(labels) ** 0.5


def test_random_segments_come_from_another_document() -> None:
    corpus = [[3] * 20 for _ in range(20)]
    same = total = 0
    for _, (begin, end), (_, _, b_start, _, is_random) in all_pairs(corpus, PairingRules(19, 0), 3):
        if is_random:
            total += 1
            same += begin <= b_start < end
    assert total > 30
    assert same == 0


def test_a_corpus_of_one_document_pairs_with_itself() -> None:
    pairs = [spans for _, _, spans in all_pairs([[5]], PairingRules(32, 0), 0)]
    assert pairs == [(0, 5, 0, 5, 1)]


def test_short_sequences_are_as_frequent_as_asked() -> None:
    """With probability 1 the targets are uniform from 2 to the longest; with 0 every full chunk reaches it."""
    corpus = [[1] * 200 for _ in range(200)]

    def longest(short: float) -> list[int]:
        best: dict[int, int] = {}
        for document, _, (a_start, a_end, b_start, b_end, is_random) in all_pairs(
            corpus, PairingRules(33, short), 5
        ):
            if not is_random:
                best[document] = max(best.get(document, 0), a_end - a_start + b_end - b_start)
        return list(best.values())

    assert set(longest(0)) == {30}
    lengths = longest(1)
    assert 12 < np.mean(lengths) < 20  # uniform on 2..30 has mean 16
    assert min(lengths) == 2
    assert max(lengths) == 30


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 40), st.integers(0, 2**32))
def test_truncation_cuts_the_longer_at_both_ends(a: int, b: int, most: int, seed: int) -> None:
    a_start, a_end, b_start, b_end = truncate_pair(100, 100 + a, 500, 500 + b, most, random.Random(seed))
    assert (a_end - a_start) + (b_end - b_start) == min(a + b, most)
    assert 100 <= a_start < a_end <= 100 + a
    assert 500 <= b_start < b_end <= 500 + b
    if a + b > most:
        # water finds its level: only what is longer than half is cut
        assert a_end - a_start == min(a, max(most - b, (most + 1) // 2))


def test_truncation_uses_front_and_back_equally() -> None:
    fronts = [truncate_pair(0, 40, 100, 101, 21, random.Random(seed))[0] for seed in range(500)]
    assert abs(np.mean(fronts) - 10) < 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seq_len": 4}, "seq_len is 4"), ({"short_seq_prob": 1.5}, "short_seq_prob is 1.5")],
)
def test_rules_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PairingRules(**options)
