"""The objective: denominators, targets in both layouts, and the forms in which a batch may come."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.config import DIALECTS
from bertref.data.pretraining.batch import from_labels
from bertref.layout import inputs
from bertref.objectives import PretrainingObjective, ordered
from bertref.objectives.pretraining import targets
from bertref.opset import OpSet

from .. import model_cases as cases
from ..model_cases import case, check, expected, ours

denominators = PretrainingObjective().denominators


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def test_denominators() -> None:
    batch = case().batch  # 4 + 2 + 1 + 0 predictions in 4 rows
    assert denominators(batch, DIALECTS["huggingface"]) == {"mlm": 7.0, "nsp": 4.0}
    assert denominators(batch, DIALECTS["google"]) == {"mlm": 7.0 + 1e-5, "nsp": 4.0}
    heavy = replace(batch, masked_lm_weights=batch.masked_lm_weights * 0.5)
    assert denominators(heavy, DIALECTS["huggingface"]) == {"mlm": 3.5, "nsp": 4.0}


def test_no_denominator_is_zero() -> None:
    batch = case().batch
    without = replace(batch, masked_lm_weights=np.zeros_like(batch.masked_lm_weights))
    assert denominators(without, DIALECTS["huggingface"]) == {"mlm": 1.0, "nsp": 4.0}
    assert denominators(without, DIALECTS["google"]) == {"mlm": 1e-5, "nsp": 4.0}
    assert denominators(batch[0:0], DIALECTS["huggingface"]) == {"mlm": 1.0, "nsp": 1.0}


def test_a_weight_counts_in_float64() -> None:
    """A million float32 ones and a small weight: the sum must not lose the small one."""
    batch = case().batch
    weights = np.full((4, 2**23), 1.0, np.float32)
    weights[0, 0] = 0.25
    many = replace(batch, masked_lm_weights=weights)
    assert denominators(many, DIALECTS["huggingface"])["mlm"] == 4 * 2**23 - 0.75


@pytest.mark.parametrize("packed", [False, True])
def test_targets_name_the_rows_of_the_predictions(ops: OpSet, packed: bool) -> None:
    xp, batch = ops.xp, case().batch
    x = inputs(xp, batch.input_ids, batch.attention_mask, batch.token_type_ids, packed=packed)
    wanted = targets(xp, batch, x.layout, {"mlm": 7.0, "nsp": 4.0}, "float64")
    positions, ids, weights, slots = (
        xp.to_numpy(a) for a in (wanted.positions, wanted.ids, wanted.weights, wanted.slots)
    )
    assert len(positions) == (7 if packed else 16)
    rows, columns = np.nonzero(batch.masked_lm_weights)
    real = np.flatnonzero(weights)
    # the row that each target names holds the token that stands at the prediction's position
    tokens = xp.to_numpy(x.input_ids)[positions[real]]
    assert tokens.tolist() == batch.input_ids[rows, batch.masked_lm_positions[rows, columns]].tolist()
    places = xp.to_numpy(x.position_ids)[positions[real]]
    assert places.tolist() == batch.masked_lm_positions[rows, columns].tolist()
    assert ids[real].tolist() == batch.masked_lm_ids[rows, columns].tolist()
    assert slots[real].tolist() == (rows * 4 + columns).tolist()
    assert wanted.rectangle == (4, 4)


def test_labels_in_hugging_faces_style_give_the_same(ops: OpSet) -> None:
    c = case()
    theirs = {name: t.numpy() for name, t in cases.transformers_arguments(c.batch).items()}
    batch = from_labels(**theirs, example=c.batch.example)
    check(ours(replace(c, batch=batch), ops), expected(c))


def test_losses_are_those_of_a_calculation_by_hand(ops: OpSet) -> None:
    c = case(dialect="google")
    got = ours(c, ops, record=True)
    mlm, count = 0.0, 0
    for b in range(4):
        for j in range(4):
            if c.batch.masked_lm_weights[b, j]:
                logits = got.probes["mlm.logits"][b, j]
                mlm += np.log(np.exp(logits).sum()) - logits[c.batch.masked_lm_ids[b, j]]
                count += 1
    nsp = np.mean(
        [
            np.log(np.exp(row).sum()) - row[label]
            for row, label in zip(got.probes["nsp.logits"], c.batch.next_sentence_label, strict=True)
        ]
    )
    assert abs(got.losses["mlm"] - mlm / (count + 1e-5)) < 1e-12
    assert abs(got.losses["nsp"] - nsp) < 1e-12
    assert abs(got.losses["total"] - mlm / (count + 1e-5) - nsp) < 1e-12


def test_without_gradients_only_losses_come_back(ops: OpSet) -> None:
    c = case()
    got = ours(c, ops, gradients=False)
    assert got.grads == {}
    assert got.losses == ours(c, ops).losses


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_gradients_keep_the_dtype(ops: OpSet, dtype: str) -> None:
    c = case()
    cast: Any = replace(c, params={name: a.astype(dtype) for name, a in c.params.items()})
    got = ours(cast, ops, record=True)
    assert {g.dtype.name for g in got.grads.values()} == {dtype}
    assert {p.dtype.name for p in got.probes.values()} == {dtype}
    want = expected(c)
    check(got, want, 1e-10 if dtype == "float64" else 2e-4)


def test_ordered_follows_the_parameters() -> None:
    assert list(ordered({"a": 1, "b": 2}, {"b": 0, "a": 0})) == ["b", "a"]
    with pytest.raises(KeyError):
        ordered({"a": 1}, {"b": 0})
