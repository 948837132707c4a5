"""The work itself: what both sides are given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.bench import Job, finetuning_inputs, inputs
from bertref.bench.lengths import LEAST, MIXES, MOST, ragged
from bertref.bench.op_cases import cases
from bertref.bench.race import RAGGED_BATCHES, with_lengths
from bertref.bench.sides import make_side
from bertref.data.tasks.batches import ClassificationBatch, SpanBatch
from bertref.errors import InputError
from bertref.text import Tokenizer
from tests.bench import small


def test_the_headline_has_128_real_tokens_and_20_masked_positions_in_every_sequence() -> None:
    job = with_lengths(Job("pretrain", config="base"))
    (batch,) = inputs.pretraining_batches(job, 30522)
    assert batch.input_ids.shape == (32, 128)
    assert batch.attention_mask.all()
    assert (batch.masked_lm_weights.sum(axis=1) == 20).all()
    assert (np.diff(batch.masked_lm_positions, axis=1) > 0).all()


def test_batches_are_valid_and_ragged_ones_are_in_file_order(tmp_path: Path) -> None:
    job = small.job(tmp_path, ragged="squad", batch_size=4, seq_len=30)
    config, _ = inputs.architecture_of(job)
    batches = inputs.pretraining_batches(job, config.vocab_size)
    assert len(batches) == RAGGED_BATCHES
    for batch, lengths in zip(batches, job.batches, strict=True):
        batch.validate(config)
        assert batch.attention_mask.sum(axis=1).tolist() == list(lengths)
        assert batch.input_ids.shape[1] == max(lengths)
        masked = np.take_along_axis(batch.input_ids, batch.masked_lm_positions, axis=1)
        assert (masked[batch.masked_lm_weights > 0] == inputs.MASK).all()
    assert np.concatenate([b.example for b in batches]).tolist() == list(range(16))


@pytest.mark.parametrize(("mix", "kind"), [("squad", SpanBatch), ("imdb", ClassificationBatch)])
def test_batches_of_finetuning_are_those_of_the_mixs_task(tmp_path: Path, mix: str, kind: type[Any]) -> None:
    job = small.job(tmp_path, "finetune", ragged=mix, batch_size=4, seq_len=30)
    config, _ = inputs.architecture_of(job)
    batches: list[Any] = finetuning_inputs.batches(job, config.vocab_size)
    assert len(batches) == RAGGED_BATCHES
    for batch, lengths in zip(batches, job.batches, strict=True):
        batch.validate(config)
        assert type(batch) is kind
        assert batch.attention_mask.sum(axis=1).tolist() == list(lengths)
    assert np.concatenate([b.example for b in batches]).tolist() == list(range(16))
    if kind is ClassificationBatch:
        assert {int(label) for batch in batches for label in batch.labels} == {0, 1}
        assert not any(batch.token_type_ids.any() for batch in batches)


@given(st.lists(st.integers(LEAST, 60), min_size=1, max_size=5), st.integers(0, 99))
def test_an_answer_is_in_the_context_of_its_question(lengths: list[int], seed: int) -> None:
    """[CLS] question [SEP] context [SEP], at any length; the context is the second segment with its mark."""
    job = Job("finetune", config="tiny", ragged="squad-windows", lengths=tuple(lengths), seed=seed)
    (batch,) = finetuning_inputs.batches(job, 300)
    assert isinstance(batch, SpanBatch)
    for b, length in enumerate(lengths):
        ids, types = batch.input_ids[b, :length], batch.token_type_ids[b, :length]
        mark, end = np.flatnonzero(ids == inputs.SEP)
        assert 2 <= mark <= 1 + finetuning_inputs.QUESTION
        assert end == length - 1
        assert np.array_equal(types, np.arange(length) > mark)
        assert mark < batch.start_positions[b] <= batch.end_positions[b] < end


def test_questions_are_compared_without_padding_and_texts_with_it(tmp_path: Path) -> None:
    spans = small.job(tmp_path, "finetune", ragged="squad", seq_len=30)
    compared = finetuning_inputs.compared_batch(spans, 300)
    assert compared.attention_mask.all()
    assert compared.input_ids.shape == (3, min(spans.batches[0]))
    texts = replace(spans, ragged="imdb")
    first, again = finetuning_inputs.batches(texts, 300)[0], finetuning_inputs.compared_batch(texts, 300)
    assert not first.attention_mask.all()
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(first.items(), again.items(), strict=True))


def test_both_sides_get_the_same_work(tmp_path: Path) -> None:
    job = small.job(tmp_path)
    again = Job.from_json(job.of("transformers").to_json())
    assert again == replace(job, side="transformers")
    for a, b in zip(inputs.pretraining_batches(job, 300), inputs.pretraining_batches(again, 300), strict=True):
        assert all(np.array_equal(x, y) for (_, x), (_, y) in zip(a.items(), b.items(), strict=True))


@given(st.lists(st.integers(5, 60), min_size=1, max_size=5), st.integers(20, 900))
def test_a_text_becomes_the_sequence_that_it_was_made_of(lengths: list[int], size: int) -> None:
    job = Job("encode", config="tiny", seq_len=60, lengths=tuple(lengths))
    rows = inputs.rows(job, size)
    tokenizer = Tokenizer(inputs.vocabulary(size))
    assert [len(row) for row in rows] == lengths
    assert [e.input_ids for e in tokenizer.encode_batch(inputs.texts(rows, tokenizer.vocab))] == rows
    masked = [inputs.with_a_mask(row) for row in rows]
    found = tokenizer.encode_batch(inputs.texts(masked, tokenizer.vocab))
    assert [e.input_ids.count(inputs.MASK) for e in found] == [1] * len(rows)


def test_weights_are_rich(tmp_path: Path) -> None:
    config, numerics = inputs.architecture_of(small.job(tmp_path))
    params = inputs.rich_parameters(config, numerics, 7)
    assert all(np.ptp(array) > 0 for array in params.values())
    assert all(array.dtype == np.float32 for array in params.values())
    other = inputs.rich_parameters(config, numerics, 7)
    assert all(np.array_equal(params[name], other[name]) for name in params)


@pytest.mark.parametrize("mix", sorted(MIXES))
def test_a_mix_has_the_mean_of_its_texts(mix: str) -> None:
    lengths = ragged(mix, 4000, MOST, seed=1)
    assert min(lengths) >= LEAST
    assert max(lengths) <= MOST
    assert np.mean(lengths) == pytest.approx({"imdb": 264, "squad": 14.6, "squad-windows": 178.5}[mix], rel=0.05)
    assert lengths != tuple(sorted(lengths))


def test_mixes_are_quantiles() -> None:
    for quantiles in MIXES.values():
        assert len(quantiles) == 41
        assert list(quantiles) == sorted(quantiles)


def test_lengths_of_a_file_come_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one two, three four\n\na b c d e f g h i j\nw x y\n", encoding="utf-8")
    assert ragged(str(path), 5, 10, seed=0) == (7, 10, 5, 7, 10)
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[UNK]\n[CLS]\n[SEP]\none\nt\n##w\n##o\n,\n", encoding="utf-8")
    assert ragged(str(path), 1, 64, seed=0, vocab=str(vocab)) == (1 + 3 + 1 + 1 + 1 + 2,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"seq_len": 4}, "--seq-len is 4"),
        ({"seq_len": 65}, "longer than the 64 positions"),
        ({"ragged": "books"}, "neither a mix"),
        ({"side": "onnxruntime"}, "bench pretrain --peer onnxruntime: there are transformers, torch, reference"),
        ({"side": "reference", "peer_dtype": "bfloat16"}, "goes with --peer transformers"),
        ({"dtype": "float8"}, "float8"),
        ({"dtype": "bfloat16"}, "numpy computes in float32 and float64"),
    ],
)
def test_what_can_not_be_raced_is_said(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    def prepare() -> None:
        job = small.job(tmp_path, **changes)
        inputs.architecture_of(job)
        make_side(replace(job, folder=str(tmp_path)))

    with pytest.raises(InputError) as error:
        prepare()
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_cases_of_ops_are_those_of_a_step(tmp_path: Path) -> None:
    made = {name: make()[0] for name, make in cases(small.job(tmp_path, "ops")).items()}
    assert made["dense (expand)"]["weight"].shape == (32, 16)
    assert made["dense (contract)"]["x"].shape == (36, 32)
    assert made["attention"]["keep"].shape == (3, 2, 12, 12)
    assert made["decoder_cross_entropy"]["table"].shape == (300, 16)
    still = {name: make()[0] for name, make in cases(small.job(tmp_path, "ops", dropout=0.0)).items()}
    assert still["attention"]["keep"] is None
    assert still["dropout_add_norm"]["keep"] is None
