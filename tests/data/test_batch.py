"""What every task has of a batch, and a task's own batch that adds to it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from bertref.config import BertConfig
from bertref.data.batch import Batch, FieldTable, check_range
from bertref.errors import InputError

CONFIG = BertConfig(
    vocab_size=50, hidden_size=8, num_attention_heads=2, max_position_embeddings=12, intermediate_size=8
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Labelled(Batch):
    """Texts, C scores for each, and a label."""

    LAYOUT: ClassVar[FieldTable] = {**Batch.LAYOUT, "scores": ("C", np.float32), "label": ("", np.int32)}

    scores: npt.NDArray[np.float32]
    label: npt.NDArray[np.int32]

    def validate(self, config: BertConfig) -> None:
        super().validate(config)
        check_range("label", self.label, self.scores.shape[1], "the number of scores")


def some() -> Labelled:
    batch = Labelled.zeros(3, {"S": 6, "C": 4})
    batch.input_ids[:] = np.arange(18).reshape(3, 6)
    batch.attention_mask[:, :5] = 1
    batch.label[:] = [0, 3, 1]
    batch.example[:] = [7, 8, 9]
    return batch


def test_a_batch_of_another_task_is_cut_and_padded_with_its_own_fields() -> None:
    part = some()[1:]
    assert isinstance(part, Labelled)
    assert part.label.tolist() == [3, 1]
    wide = some().padded({"S": 8, "C": 4})
    assert (wide.input_ids.shape, wide.scores.shape) == ((3, 8), (3, 4))
    with pytest.raises(InputError, match="scores has 4 columns; it can't be padded to 2"):
        some().padded({"S": 8, "C": 2})
    assert [name for name, _ in some().items()] == [*Batch.LAYOUT, "scores", "label"]


def test_what_is_common_and_what_is_its_own_is_checked() -> None:
    some().validate(CONFIG)
    for name, place, message in (
        ("input_ids", (2, 1), "input_ids, row 2, column 1: 50 is not in 0 to 49"),
        ("label", (1,), "label, row 1: 50 is not in 0 to 3"),
    ):
        batch = some()
        getattr(batch, name)[place] = 50
        with pytest.raises(InputError, match=message):
            batch.validate(CONFIG)


def test_the_common_batch_has_nothing_of_a_task() -> None:
    assert list(Batch.LAYOUT) == ["input_ids", "attention_mask", "token_type_ids", "example"]
    Batch.zeros(2, {"S": 3}).validate(CONFIG)
