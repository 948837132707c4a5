"""Stretches of running text: the laws that they obey whatever is drawn, and the batches that they make."""

import random
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.pretraining.instances import PairingRules, PairSpans
from bertref.data.pretraining.pipeline import PretrainingData
from bertref.data.pretraining.running_text import text_spans

from .corpora import VOCAB, make, offsets, random_documents

lengths_of_corpora = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=9), min_size=1, max_size=6)


def stretches(corpus: list[list[int]], rules: PairingRules, seed: int) -> list[list[PairSpans]]:
    """Those of every document."""
    document_offsets = offsets([len(document) for document in corpus])
    sentence_offsets = offsets([length for document in corpus for length in document])
    rng = random.Random(seed)
    return [
        list(text_spans(number, document_offsets, sentence_offsets, rules, rng)) for number in range(len(corpus))
    ]


@given(lengths_of_corpora, st.integers(5, 40), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 2**32))
def test_every_token_is_in_one_stretch_of_its_document(
    corpus: list[list[int]], seq_len: int, short: float, seed: int
) -> None:
    ends = offsets([sum(document) for document in corpus])
    for number, spans in enumerate(stretches(corpus, PairingRules(seq_len, short), seed)):
        cuts = [spans[0][0], *(stop for _, stop, *_ in spans)]
        assert cuts == sorted(set(cuts))
        assert [start for start, *_ in spans] == cuts[:-1]
        assert (cuts[0], cuts[-1]) == (ends[number], ends[number + 1])
        assert max(stop - start for start, stop, *_ in spans) + 2 <= seq_len
        assert {(a_end == b_start == b_end, is_random) for _, a_end, b_start, b_end, is_random in spans} == {(True, 0)}


@given(lengths_of_corpora, st.integers(5, 40))
def test_a_stretch_ends_inside_a_sentence_only_if_that_does_not_fit_alone(
    corpus: list[list[int]], seq_len: int
) -> None:
    boundaries = set(offsets([length for document in corpus for length in document]).tolist())
    longest = max(length for document in corpus for length in document)
    for spans in stretches(corpus, PairingRules(seq_len, 0), 0):
        for start, stop, *_ in spans:
            if longest <= seq_len - 2:
                assert stop in boundaries
            elif stop not in boundaries:
                assert stop - start == seq_len - 2
            # and the next sentence would not have fitted
            later = [end for end in boundaries if end > stop and end <= spans[-1][1]]
            assert not later or min(later) - start > seq_len - 2 or stop not in boundaries


def test_short_lengths_are_drawn() -> None:
    spans = [s for document in stretches([[1] * 200] * 50, PairingRules(33, 1.0), 5) for s in document]
    assert len({stop - start for start, stop, *_ in spans}) > 20


def test_batches_of_running_text(tmp_path: Path) -> None:
    """One segment between [CLS] and [SEP] that goes on in the corpus, the same from step alone."""
    corpus = make(tmp_path / "c", random_documents(1, documents=11))
    options = {"seq_len": 24, "max_predictions": 5, "seed": 3, "pairs": False}
    data = PretrainingData(corpus, VOCAB, **options)  # type: ignore[arg-type]
    everything = corpus.tokens(0, int(corpus.sentence_offsets[-1])).tolist()
    text = "," + ",".join(map(str, everything)) + ","
    for step in range(6):
        batch = data.batch(step, 4)
        assert not batch.token_type_ids.any()
        assert not batch.next_sentence_label.any()
        for row in range(4):
            ids = batch.input_ids[row].copy()
            count = int(batch.masked_lm_weights[row].sum())
            assert count > 0
            ids[batch.masked_lm_positions[row, :count]] = batch.masked_lm_ids[row, :count]
            real = ids[batch.attention_mask[row] == 1].tolist()
            assert (real[0], real[-1]) == (VOCAB.cls, VOCAB.sep)
            assert "," + ",".join(map(str, real[1:-1])) + "," in text
    again = PretrainingData(corpus, VOCAB, **options).batch(5, 4)  # type: ignore[arg-type]
    assert np.array_equal(again.input_ids, batch.input_ids)
