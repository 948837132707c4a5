"""The batch: slices, padding, Hugging Face's labels, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.config import BertConfig
from bertref.data.pretraining.batch import PretrainingBatch, from_labels, padded, zeros
from bertref.errors import InputError

CONFIG = BertConfig(
    vocab_size=50, hidden_size=8, num_attention_heads=2, max_position_embeddings=12, intermediate_size=8
)


def some(examples: int = 4, seq_len: int = 8, predictions: int = 3) -> PretrainingBatch:
    rng = np.random.default_rng(0)
    batch = zeros(examples, seq_len, predictions)
    batch.input_ids[:] = rng.integers(0, 50, batch.input_ids.shape)
    batch.attention_mask[:] = 1
    batch.masked_lm_positions[:] = rng.integers(0, seq_len, batch.masked_lm_positions.shape)
    batch.masked_lm_ids[:] = rng.integers(0, 50, batch.masked_lm_ids.shape)
    batch.masked_lm_weights[:] = 1
    batch.next_sentence_label[:] = rng.integers(0, 2, examples)
    batch.example[:] = np.arange(examples) + 100
    return batch


def test_dtypes_are_fixed() -> None:
    assert {name: array.dtype for name, array in some().items()} == {
        name: np.dtype(dtype) for name, (_, dtype) in PretrainingBatch.LAYOUT.items()
    }


def test_slices_are_views_of_the_same_examples() -> None:
    batch = some()
    assert len(batch) == 4
    part = batch[1:3]
    assert part.example.tolist() == [101, 102]
    assert all(np.shares_memory(array, dict(batch.items())[name]) for name, array in part.items())
    assert batch[np.array([3, 0])].example.tolist() == [103, 100]
    with pytest.raises(TypeError, match="slice"):
        batch[1]


def test_padding_adds_zeros_and_never_cuts() -> None:
    batch = some()
    wide = padded(batch, 10, 5)
    assert wide.input_ids.shape == (4, 10)
    assert wide.masked_lm_weights.shape == (4, 5)
    assert np.array_equal(wide.input_ids[:, :8], batch.input_ids)
    assert not wide.attention_mask[:, 8:].any()
    assert not wide.masked_lm_weights[:, 3:].any()
    assert {name: array.dtype for name, array in wide.items()} == {
        name: array.dtype for name, array in batch.items()
    }
    with pytest.raises(InputError, match="has 8 columns"):
        padded(batch, 7, 3)
    with pytest.raises(InputError, match="has 3 columns"):
        padded(batch, 8, 2)


label_rows = st.lists(
    st.lists(st.sampled_from([-100, -100, 0, 3, 49]), min_size=6, max_size=6), min_size=1, max_size=5
)


@given(label_rows)
def test_labels_and_predictions_say_the_same(rows: list[list[int]]) -> None:
    labels = np.array(rows)
    batch = from_labels(np.ones_like(labels), labels)
    back = np.full(labels.shape, -100)
    for row, slot in np.argwhere(batch.masked_lm_weights > 0):
        back[row, batch.masked_lm_positions[row, slot]] = batch.masked_lm_ids[row, slot]
    assert np.array_equal(back, labels)
    assert (np.diff(batch.masked_lm_weights, axis=1) <= 0).all()  # padding comes last
    assert batch.masked_lm_weights.sum() == (labels != -100).sum()
    assert batch.masked_lm_weights.shape[1] == (labels != -100).sum(1).max()
    for row in range(len(labels)):
        used = batch.masked_lm_positions[row, batch.masked_lm_weights[row] > 0]
        assert used.tolist() == sorted(used.tolist())
    batch.validate(CONFIG)


def test_defaults_are_hugging_face_s() -> None:
    ids = np.arange(12).reshape(2, 6)
    batch = from_labels(ids, np.full((2, 6), -100), predictions=4)
    assert batch.attention_mask.all()
    assert not batch.token_type_ids.any()
    assert batch.masked_lm_ids.shape == (2, 4)
    assert batch.example.tolist() == [0, 1]
    given_ = from_labels(
        ids,
        np.full((2, 6), -100),
        attention_mask=ids > 3,
        token_type_ids=ids % 2,
        next_sentence_label=[1, 0],
        example=[7, 9],
    )
    assert np.array_equal(given_.attention_mask, ids > 3)
    assert np.array_equal(given_.token_type_ids, ids % 2)
    assert given_.next_sentence_label.tolist() == [1, 0]
    assert given_.example.tolist() == [7, 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": np.zeros((2, 5), int)}, "labels have shape"),
        ({"labels": np.zeros((2, 6), int), "predictions": 2}, "row 0: 6 predictions, more than the 2"),
        ({"attention_mask": np.zeros((2, 5), int)}, "attention_mask has shape"),
        ({"next_sentence_label": [1, 0, 1]}, "next_sentence_label has shape"),
        ({"token_type_ids": np.zeros((2, 6))}, "token_type_ids has dtype float64"),
        ({"input_ids": np.full((2, 6), 2**32 + 1)}, "input_ids holds 4294967297"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"input_ids": np.ones((2, 6), int), "labels": np.full((2, 6), -100)}
    with pytest.raises(InputError, match=message):
        from_labels(**{**good, **arguments})


# ---------------------------------------------------------------------------------------------------------------------


def test_a_good_batch_passes() -> None:
    some().validate(CONFIG)
    some(seq_len=12).validate(CONFIG)
    some()[:0].validate(CONFIG)


def changed(name: str, place: tuple[Any, ...], value: float) -> PretrainingBatch:
    batch = some()
    dict(batch.items())[name][place] = value
    return batch


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("input_ids", (2, 5), 50, r"input_ids, row 2, column 5: 50 is not in 0 to 49 \(vocab_size\)"),
        ("input_ids", (3, 7), -1, "input_ids, row 3, column 7: -1 is not in 0 to 49"),
        ("attention_mask", (0, 1), 2, "attention_mask, row 0, column 1: 2 is not in 0 to 1"),
        ("token_type_ids", (1, 1), 2, r"token_type_ids, row 1, column 1: 2 .*\(type_vocab_size\)"),
        ("masked_lm_positions", (1, 2), 8, "masked_lm_positions, row 1, column 2: 8 is not in 0 to 7"),
        ("masked_lm_ids", (0, 0), 50, "masked_lm_ids, row 0, column 0: 50"),
        ("masked_lm_weights", (3, 1), -1, r"masked_lm_weights, row 3, column 1: -1\.0 is not a weight"),
        ("masked_lm_weights", (3, 1), np.nan, "masked_lm_weights, row 3, column 1: nan"),
        ("attention_mask", (2, slice(None)), 0, "masked_lm_positions, row 2, column 0: position . is padding"),
        ("next_sentence_label", (2,), 2, "next_sentence_label, row 2: 2 is not in 0 to 1"),
    ],
)
def test_what_the_model_cannot_read_is_refused(
    name: str, place: tuple[Any, ...], value: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        changed(name, place, value).validate(CONFIG)


def test_only_predictions_that_count_have_to_be_of_tokens() -> None:
    batch = some()
    batch.attention_mask[1, 4:] = 0
    batch.masked_lm_positions[1] = [3, 6, 2]
    batch.masked_lm_weights[1] = [1, 0, 1]
    batch.validate(CONFIG)
    batch.masked_lm_weights[1, 1] = 0.5
    with pytest.raises(InputError, match=r"row 1, column 1: position 6 is padding .* weight is 0\.5"):
        batch.validate(CONFIG)


def test_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(InputError, match="sequences of 13 tokens; the model has max_position_embeddings = 12"):
        some(seq_len=13).validate(CONFIG)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"token_type_ids": np.zeros((4, 7), np.int32)}, "token_type_ids has shape"),
        ({"masked_lm_ids": np.zeros((4, 2), np.int32)}, "masked_lm_ids has shape"),
        ({"example": np.zeros(3, np.int64)}, "example has shape"),
        ({"input_ids": np.zeros((4, 8), np.int64)}, "input_ids has dtype int64; int32 is needed"),
        ({"input_ids": np.zeros(4, np.int32)}, r"input_ids must be \(B, S\)"),
    ],
)
def test_shapes_and_dtypes_are_checked(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(some(), **arrays).validate(CONFIG)
