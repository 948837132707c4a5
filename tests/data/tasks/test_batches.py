"""The batches of the tasks: cutting, padding, and what is refused."""

from typing import Any

import numpy as np
import pytest

from bertref.config import BertConfig
from bertref.data.batch import Batch
from bertref.data.tasks.batches import (
    ChoiceBatch,
    ClassificationBatch,
    MultiLabelBatch,
    RegressionBatch,
    SpanBatch,
    TokenBatch,
)
from bertref.errors import InputError

CONFIG = BertConfig(
    vocab_size=50, hidden_size=8, num_attention_heads=2, max_position_embeddings=12, intermediate_size=8
)
SIZES = {"S": 6, "K": 3, "C": 2}


def some(kind: type[Batch]) -> Any:
    """Four examples of five tokens and one of padding."""
    batch = kind.zeros(4, SIZES)
    batch.attention_mask[..., :5] = 1
    batch.input_ids[..., :5] = 7
    batch.example[...] = np.arange(batch.example.size).reshape(batch.example.shape)
    return batch


KINDS = [ClassificationBatch, RegressionBatch, MultiLabelBatch, SpanBatch, TokenBatch, ChoiceBatch]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_cut_and_padded(kind: type[Batch]) -> None:
    batch = some(kind)
    batch.validate(CONFIG)
    assert len(batch) == 4
    part = batch[np.array([3, 1])]
    assert isinstance(part, kind)
    assert part.example.tolist() == batch.example[[3, 1]].tolist()
    wide = batch.padded({**SIZES, "S": 9})
    wide.validate(CONFIG)
    assert wide.input_ids.shape == (*batch.input_ids.shape[:-1], 9)
    assert wide.input_ids[..., :6].tolist() == batch.input_ids.tolist()
    assert not wide.attention_mask[..., 6:].any()


def test_padding_of_token_labels_is_ignored() -> None:
    batch = some(TokenBatch)
    assert (batch.labels == -100).all()
    batch.labels[:, :5] = 1
    assert (batch.padded({"S": 9}).labels[:, 5:] == -100).all()


def test_a_choice_can_not_be_made_of_padding() -> None:
    with pytest.raises(InputError, match="examples of 2 choices can't be padded to 3"):
        some(ChoiceBatch).padded({**SIZES, "C": 3})


REFUSED = [
    (RegressionBatch, "labels", (2, 1), np.nan, "labels, row 2, column 1: nan is not a finite number"),
    (RegressionBatch, "labels", (0, 0), np.inf, "labels, row 0, column 0: inf is not a finite number"),
    (MultiLabelBatch, "labels", (3, 2), 0.5, "labels, row 3, column 2: 0.5 is neither 0 nor 1"),
    (MultiLabelBatch, "labels", (3, 2), np.nan, "labels, row 3, column 2: nan is neither 0 nor 1"),
    (TokenBatch, "labels", (1, 5), 0, "labels, row 1, column 5: 0 is a label of padding; write -100 there"),
    (ChoiceBatch, "labels", (1,), 2, r"labels, row 1: 2 is not in 0 to 1 \(the number of choices\)"),
    (ChoiceBatch, "input_ids", (1, 1, 4), 50, "input_ids, row 1, choice 1, column 4: 50 is not in 0 to 49"),
    (SpanBatch, "start_positions", (2,), 5, "row 2: the answer's tokens are 5 to 0, of which one is outside"),
    (SpanBatch, "end_positions", (0,), -1, "row 0: the answer's tokens are 0 to -1, of which one is outside"),
]


@pytest.mark.parametrize(("kind", "name", "place", "value", "message"), REFUSED)
def test_what_a_model_can_not_learn_from_is_refused(
    kind: type[Batch], name: str, place: tuple[int, ...], value: float, message: str
) -> None:
    batch = some(kind)
    getattr(batch, name)[place] = value
    with pytest.raises(InputError, match=message):
        batch.validate(CONFIG)


def test_labels_that_the_model_does_not_have_are_refused() -> None:
    texts, tokens = some(ClassificationBatch), some(TokenBatch)
    texts.labels[3] = 2
    texts.check_labels(3)
    with pytest.raises(InputError, match=r"labels, row 3: 2 is not in 0 to 1 \(the model's labels\)"):
        texts.check_labels(2)
    tokens.labels[2, :5] = 3
    tokens.check_labels(4)
    with pytest.raises(InputError, match="labels, row 2, column 0: 3 is neither -100 nor in 0 to 2"):
        tokens.check_labels(3)


@pytest.mark.parametrize("outside", [5, 6, 100, -1])
def test_answers_outside_do_not_count(outside: int) -> None:
    batch = some(SpanBatch)
    batch.start_positions[1] = batch.end_positions[1] = outside
    batch.validate(CONFIG)
    assert batch.inside.tolist() == [True, False, True, True]
