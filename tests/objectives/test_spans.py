"""Answer spans: padding has no part in the softmax, unless the dialect counts it."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertref import backends
from bertref.config import Numerics
from bertref.data.tasks.batches import SpanBatch
from bertref.errors import InputError
from bertref.layers import Settings
from bertref.objectives import losses_and_gradients
from bertref.opset import OpSet

from .fine_tuning import TASKS, WIDTH, Task, arguments, check_steps, texts

TASK = TASKS["question-answering"]
COUNTED = Numerics(span_padding="counted")


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def ragged(random: Any, config: Any) -> SpanBatch:
    """Rows of unequal length; the last row's answer is outside."""
    fields = texts(random, 5, config)
    start = random.integers(0, 3, 5).astype(np.int32)
    end = (start + random.integers(0, 2, 5)).astype(np.int32)
    start[-1], end[-1] = WIDTH + 1, WIDTH
    return SpanBatch(**fields, start_positions=start, end_positions=end)


RAGGED = Task(TASK.objective, ragged, TASK.theirs, 2)


def without_padding(model: Any, batch: Any) -> torch.Tensor:
    """Of transformers' logits: the softmax of each sequence over its own tokens."""
    given = arguments(batch)
    start, end = given.pop("start_positions"), given.pop("end_positions")
    found = model(**given)
    losses = []
    for logits, wanted in ((found.start_logits, start), (found.end_logits, end)):
        masked = logits.masked_fill(given["attention_mask"] == 0, -torch.inf)
        inside = wanted < WIDTH
        losses.append(F.cross_entropy(masked[inside], wanted[inside]))
    return sum(losses) / 2


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_padding_is_no_place_for_an_answer(ops: OpSet, packed: bool) -> None:
    check_steps(ops, RAGGED, 5, without_padding, packed=packed)


def test_counted_padding_is_what_transformers_does(ops: OpSet) -> None:
    check_steps(ops, RAGGED, 5, numerics=COUNTED)


def test_the_two_differ(ops: OpSet) -> None:
    with pytest.raises(AssertionError):
        check_steps(ops, RAGGED, 1, without_padding, numerics=COUNTED)
    with pytest.raises(AssertionError):
        check_steps(ops, RAGGED, 1)


def test_counted_padding_needs_the_padded_layout(ops: OpSet) -> None:
    with pytest.raises(InputError, match="span_padding is 'counted', but the packed layout has no padding"):
        check_steps(ops, RAGGED, 1, numerics=COUNTED, packed=True)


def loss_of(ops: OpSet, batch: SpanBatch, numerics: Numerics = COUNTED, packed: bool = False) -> float:
    params = {name: ops.xp.from_numpy(array) for name, array in TASK.params().items()}
    outcome, _ = losses_and_gradients(
        TASK.objective, ops, params, batch, Settings(TASK.config, numerics), packed=packed
    )
    return float(ops.xp.to_numpy(outcome.losses["total"]))


def test_more_padding_changes_the_loss_only_where_it_is_counted(ops: OpSet) -> None:
    batch = next(RAGGED.batches(1))[:4]
    wide = batch.padded({"S": WIDTH + 4})
    excluded = Numerics()
    assert loss_of(ops, wide, excluded) == pytest.approx(loss_of(ops, batch, excluded), rel=1e-12)
    assert loss_of(ops, wide) != pytest.approx(loss_of(ops, batch), rel=1e-3)


def test_an_answer_outside_stays_outside_when_the_batch_is_padded(ops: OpSet) -> None:
    batch = next(RAGGED.batches(1))
    wide = batch.padded({"S": WIDTH + 4})
    assert wide.inside.tolist() == batch.inside.tolist() == [True] * 4 + [False]


def test_a_batch_without_an_answer_inside_has_loss_0(ops: OpSet) -> None:
    assert loss_of(ops, next(RAGGED.batches(1))[4:], Numerics(), packed=True) == 0
