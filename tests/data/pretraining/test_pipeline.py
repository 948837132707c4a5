"""Batches as a function of the step: passes, order, static and dynamic masks, held-out documents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.config import BertConfig
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.data.pretraining.corpus import Corpus
from bertref.data.pretraining.documents import Document
from bertref.data.pretraining.instances import PairingRules, pair_spans, with_specials
from bertref.data.pretraining.masking import MaskingRules, mask_tokens
from bertref.data.pretraining.pipeline import PretrainingData, split_documents
from bertref.errors import InputError
from bertref.rng import StreamRandom
from bertref.text import Vocab

from .corpora import VOCAB, make, random_documents


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make(tmp_path_factory.mktemp("corpus") / "c", random_documents(1, documents=11))


def data(corpus: Corpus, **options: Any) -> PretrainingData:
    return PretrainingData(corpus, VOCAB, **{"seq_len": 24, "max_predictions": 5, "seed": 3, **options})


def equal(one: PretrainingBatch, other: PretrainingBatch, *, but: tuple[str, ...] = ()) -> bool:
    return all(np.array_equal(array, dict(other.items())[name]) for name, array in one.items() if name not in but)


def rows(batches: list[PretrainingBatch]) -> list[bytes]:
    """Each example's content, without its number."""
    return [
        b"".join(np.ascontiguousarray(array[row]).tobytes() for name, array in batch.items() if name != "example")
        for batch in batches
        for row in range(len(batch))
    ]


def test_shapes_never_change(corpus: Corpus) -> None:
    source = data(corpus)
    for step in range(5):
        batch = source.batch(step, 7)
        assert batch.input_ids.shape == (7, 24)
        assert batch.masked_lm_ids.shape == (7, 5)
        assert batch.example.tolist() == list(range(7 * step, 7 * step + 7))
        batch.validate(BertConfig(vocab_size=VOCAB.size, max_position_embeddings=24))


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_a_batch_depends_on_its_step_alone(corpus: Corpus, masking: str) -> None:
    """Whatever was asked for before: nothing, everything, later steps; also across the ends of passes."""
    in_turn = data(corpus, masking=masking, dupe_factor=2)
    steps = 3 * len(in_turn.instances(0)) // 7 + 2
    expected = [in_turn.batch(step, 7) for step in range(steps)]
    backwards = data(corpus, masking=masking, dupe_factor=2)
    for step in reversed(range(steps)):
        assert equal(backwards.batch(step, 7), expected[step])
        assert equal(data(corpus, masking=masking, dupe_factor=2).batch(step, 7), expected[step])
    assert len(in_turn.pass_counts) >= 3


def test_accumulation_chunks_are_the_big_batch(corpus: Corpus) -> None:
    whole = data(corpus).batch(2, 8)
    half = data(corpus)
    assert equal(whole[:4], half.batch(4, 4))
    assert equal(whole[4:], half.batch(5, 4))


def test_a_pass_has_every_instance_once(corpus: Corpus) -> None:
    source = data(corpus)
    count = len(source.instances(0))
    one_by_one = [source.batch(number, 1) for number in range(count)]
    in_order = list(source.in_order(4))
    assert [len(batch) for batch in in_order[:-1]] == [4] * (count // 4 if count % 4 else count // 4 - 1)
    assert np.concatenate([batch.example for batch in in_order]).tolist() == list(range(count))
    assert sorted(rows(one_by_one)) == sorted(rows(in_order))
    assert rows(one_by_one) != rows(in_order)


def test_dynamic_passes_differ_and_static_ones_return(corpus: Corpus) -> None:
    dynamic = [sorted(rows(list(data(corpus).in_order(8, pass_number=p)))) for p in range(4)]
    assert len({tuple(some) for some in dynamic}) == 4
    source = data(corpus, masking="static", dupe_factor=3)
    static = [sorted(rows(list(source.in_order(8, pass_number=p)))) for p in range(7)]
    assert static[0] == static[3] == static[6]
    assert static[1] == static[4]
    assert len({tuple(some) for some in static[:3]}) == 3
    assert static[0] == dynamic[0]


def test_static_passes_return_in_another_order(corpus: Corpus) -> None:
    source = data(corpus, masking="static", dupe_factor=1)
    count = len(source.instances(0))
    first = rows([source.batch(number, 1) for number in range(count)])
    second = rows([source.batch(number, 1) for number in range(count, 2 * count)])
    assert sorted(first) == sorted(second)
    assert first != second


def test_the_seed_decides(corpus: Corpus) -> None:
    assert equal(data(corpus, seed=1).batch(0, 8), data(corpus, seed=1).batch(0, 8))
    assert not equal(data(corpus, seed=1).batch(0, 8), data(corpus, seed=2).batch(0, 8))


def test_rows_hold_the_text_of_the_corpus(corpus: Corpus) -> None:
    """Undoing the masks gives [CLS] A [SEP] B [SEP] with A and B from the corpus, and zeros behind it."""
    source = data(corpus)
    spans = source.instances(0)
    for batch in source.in_order(1):
        a_start, a_end, b_start, b_end, label = spans[batch.example[0]]
        ids = batch.input_ids[0].copy()
        used = batch.masked_lm_weights[0] > 0
        ids[batch.masked_lm_positions[0, used]] = batch.masked_lm_ids[0, used]
        a, b = corpus.tokens(a_start, a_end), corpus.tokens(b_start, b_end)
        expected = [VOCAB.cls, *a, VOCAB.sep, *b, VOCAB.sep]
        assert ids.tolist() == expected + [0] * (24 - len(expected))
        assert batch.attention_mask[0].tolist() == [1] * len(expected) + [0] * (24 - len(expected))
        types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        assert batch.token_type_ids[0].tolist() == types + [0] * (24 - len(types))
        assert batch.next_sentence_label[0] == label
        assert not batch.masked_lm_ids[0, ~used].any()
        assert not batch.masked_lm_positions[0, ~used].any()


def test_choices_come_from_the_streams_that_the_design_names(corpus: Corpus) -> None:
    source = data(corpus, documents=[4, 1, 6])
    rules = MaskingRules.of(VOCAB, max_predictions=5)
    offsets = corpus.document_offsets, corpus.sentence_offsets
    for number in (0, 3):
        expected = [
            pair
            for position, document in enumerate([4, 1, 6])
            for pair in pair_spans(
                position,
                [4, 1, 6],
                *offsets,
                PairingRules(24),
                StreamRandom(3, "sentence_pairing", number, document),
            )
        ]
        assert [tuple(spans) for spans in source.instances(number).tolist()] == expected
        for batch, spans in zip(source.in_order(1, pass_number=number), expected, strict=True):
            ids = with_specials(spans, corpus.tokens, VOCAB).input_ids
            masked = mask_tokens(ids, rules, StreamRandom(3, "masking", number, int(batch.example[0])))
            count = len(masked.positions)
            assert batch.masked_lm_positions[0, :count].tolist() == masked.positions
            assert batch.input_ids[0, masked.positions].tolist() == masked.replacements


def test_masks_differ_between_instances_and_whole_words_are_an_option(corpus: Corpus) -> None:
    batches = list(data(corpus, whole_word=True, masked_lm_prob=0.5, max_predictions=12).in_order(100))
    assert len({row.tobytes() for batch in batches for row in batch.masked_lm_positions}) > 5
    for batch in batches:
        for row in range(len(batch)):
            used = batch.masked_lm_weights[row] > 0
            positions = set(batch.masked_lm_positions[row, used].tolist())
            original = batch.input_ids[row].copy()
            original[batch.masked_lm_positions[row, used]] = batch.masked_lm_ids[row, used]
            for position in range(2, int(batch.attention_mask[row].sum())):
                one_word = VOCAB.is_subword[original[position]] and original[position - 1] not in (2, 3)
                assert not one_word or (position in positions) == (position - 1 in positions)


def test_a_resumed_run_need_not_count_the_passes_again(corpus: Corpus) -> None:
    source = data(corpus)
    step = 4 * len(source.instances(0)) // 8
    expected = source.batch(step, 8)
    counts = source.pass_counts
    made = []

    class Watched(PretrainingData):
        def _make_instances(self, number: int) -> Any:
            made.append(number)
            return super()._make_instances(number)

    resumed = Watched(corpus, VOCAB, seq_len=24, max_predictions=5, seed=3, pass_counts=counts)
    assert equal(resumed.batch(step, 8), expected)
    assert min(made) >= len(counts) - 2
    assert resumed.pass_counts == counts


def test_a_run_resumed_on_other_data_is_refused(corpus: Corpus) -> None:
    counts = [count + 1 for count in data(corpus).pass_counts or [len(data(corpus).instances(0))]]
    with pytest.raises(InputError, match=r"pass 0 has \d+ instances, not the \d+ of the resumed run"):
        data(corpus, pass_counts=counts).batch(0, 8)


def test_tiny_corpora_fill_any_batch(tmp_path: Path) -> None:
    """A batch may span many passes over a corpus of two sentences."""
    corpus = make(tmp_path / "c", [Document("d", ["a b", "c d"])])
    batch = data(corpus).batch(3, 64)
    assert batch.attention_mask.any(axis=1).all()
    assert {tuple(ids[:1]) for ids in batch.input_ids.tolist()} == {(VOCAB.cls,)}


def test_only_the_documents_asked_for_are_used(corpus: Corpus) -> None:
    chosen = [2, 5, 7]
    spans = data(corpus, documents=chosen).instances(0)
    starts = corpus.sentence_offsets[corpus.document_offsets]
    for column in (0, 2):
        documents = np.searchsorted(starts, spans[:, column], "right") - 1
        assert set(documents) == set(chosen)
    assert data(corpus, documents=chosen).tokens == corpus.document_lengths()[chosen].sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masking": "other"}, 'must be "static" or "dynamic"'),
        ({"dupe_factor": 0}, "dupe_factor is 0"),
        ({"documents": []}, "no document"),
        ({"documents": [11]}, "not in 0 to 10"),
        ({"seq_len": 4}, "seq_len is 4"),
        ({"max_predictions": 0}, "max_predictions is 0"),
    ],
)
def test_options_out_of_range_are_refused(corpus: Corpus, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        data(corpus, **options)


def test_steps_and_sizes_out_of_range_are_refused(corpus: Corpus) -> None:
    for step, size in ((-1, 4), (0, 0)):
        with pytest.raises(InputError, match="steps count from 0"):
            data(corpus).batch(step, size)


# ---------------------------------------------------------------------------------------------------------------------


def of_lengths(lengths: list[int]) -> Corpus:
    """A corpus without tokens, of one-sentence documents: enough for splitting."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    empty: Any = ()
    return Corpus(np.arange(len(lengths) + 1), ends, Vocab(("a",)), empty, empty, ends)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.floats(0, 0.99), st.integers(0, 100))
def test_every_document_is_on_one_side(lengths: list[int], fraction: float, seed: int) -> None:
    train, held_out = split_documents(of_lengths(lengths), fraction, seed)
    assert sorted([*train, *held_out]) == list(range(len(lengths)))
    assert train.tolist() == sorted(train)
    assert held_out.tolist() == sorted(held_out)
    assert len(train) >= 1
    assert bool(len(held_out)) == (len(lengths) > 1 and fraction > 0)
    again = split_documents(of_lengths(lengths), fraction, seed)
    assert np.array_equal(again[1], held_out)


def test_the_share_is_of_tokens() -> None:
    lengths = np.random.default_rng(0).integers(1, 5000, 400).tolist()
    for seed in range(20):
        held_out = split_documents(of_lengths(lengths), 0.05, seed)[1]
        share = sum(lengths[number] for number in held_out) / sum(lengths)
        assert share == pytest.approx(0.05, abs=2500 / sum(lengths))  # half of the longest document
    assert len({tuple(split_documents(of_lengths(lengths), 0.05, seed)[1]) for seed in range(5)}) == 5


def test_a_document_that_is_a_little_too_long_is_better_than_none() -> None:
    """Aim 10 of 100 tokens: either of 14 and 13 comes closer than nothing; which one, the seed decides."""
    found = {tuple(split_documents(of_lengths([14, 13, 73]), 0.1, seed)[1]) for seed in range(20)}
    assert found == {(0,), (1,)}


def test_where_every_document_is_too_long_the_shortest_is_held_out() -> None:
    assert split_documents(of_lengths([50, 20, 90]), 0.01, 0)[1].tolist() == [1]


def test_a_share_out_of_range_is_refused() -> None:
    for fraction in (-0.1, 1.0):
        with pytest.raises(InputError, match="held-out share"):
            split_documents(of_lengths([1, 2]), fraction, 0)
