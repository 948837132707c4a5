"""Padded and packed rows: what stands where, and the way back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref import backends
from bertref.config import BertConfig
from bertref.errors import InputError
from bertref.layout import Inputs, inputs
from bertref.ops import OPS
from bertref.probes import padded

MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]])  # row 1 has a hole
IDS = np.arange(12).reshape(3, 4) + 50
TYPES = np.array([[0, 0, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0]])


@pytest.fixture(scope="module")
def xp(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.config.getoption("--backend")).xp


def host(xp: Any, x: Inputs) -> list[list[int]]:
    return [xp.to_numpy(a).tolist() for a in (x.input_ids, x.position_ids, x.token_type_ids)]


def test_padded_rows_are_the_rectangle_row_by_row(xp: Any) -> None:
    x = inputs(xp, IDS, MASK, TYPES)
    assert host(xp, x) == [IDS.reshape(-1).tolist(), [0, 1, 2, 3] * 3, TYPES.reshape(-1).tolist()]
    assert not x.layout.packed
    assert (x.layout.batch, x.layout.length) == (3, 4)
    assert xp.to_numpy(x.layout.mask).tolist() == (MASK != 0).tolist()
    assert xp.to_numpy(x.layout.first).tolist() == [0, 4, 8]


def test_packed_rows_are_the_tokens_and_keep_their_columns(xp: Any) -> None:
    x = inputs(xp, IDS, MASK, TYPES, packed=True)
    # the hole keeps its column: the token after it is still at position 2
    assert host(xp, x) == [[50, 51, 52, 53, 54, 56, 58], [0, 1, 2, 3, 0, 2, 0], [0, 0, 1, 1, 0, 1, 1]]
    assert x.layout.packed
    assert xp.to_numpy(x.layout.mask).tolist() == (MASK != 0).tolist()
    assert xp.to_numpy(x.layout.first).tolist() == [0, 4, 6]
    assert xp.to_numpy(x.layout.places).tolist() == [0, 1, 2, 3, 4, 6, 8]
    assert xp.to_numpy(x.layout.slots).tolist() == [0, 1, 2, 3, 4, 0, 5, 0, 6, 0, 0, 0]
    assert xp.to_numpy(x.layout.valid).tolist() == (MASK.reshape(-1) != 0).tolist()


masks = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width - 1, max_size=width - 1), min_size=1, max_size=5)
)


@given(masks)
def test_packing_and_unpacking_is_the_identity_on_tokens(rest: list[list[bool]]) -> None:
    xp = backends.get("numpy").xp
    mask = np.array([[True, *row] for row in rest])
    B, S = mask.shape
    values = np.random.default_rng(0).normal(size=(B, S, 3))
    layout = inputs(xp, np.zeros((B, S), int), mask, packed=True).layout
    indices = (layout.slots, layout.valid, layout.places)
    rows, _ = OPS["pack"].forward(xp, values.reshape(B * S, 3), *indices)
    assert rows.tolist() == values[mask].tolist()
    back = np.asarray(padded(xp, rows, layout))
    assert back.tolist() == np.where(mask[..., None], values, 0).tolist()
    assert rows[np.asarray(layout.first)].tolist() == values[:, 0].tolist()


def test_padded_values_pass_through(xp: Any) -> None:
    layout = inputs(xp, IDS, MASK).layout
    values = np.arange(36.0).reshape(12, 3)
    assert xp.to_numpy(padded(xp, xp.from_numpy(values), layout)).tolist() == values.reshape(3, 4, 3).tolist()


def test_absent_mask_and_types(xp: Any) -> None:
    for packed in (False, True):
        x = inputs(xp, IDS, packed=packed)
        assert host(xp, x) == [IDS.reshape(-1).tolist(), [0, 1, 2, 3] * 3, [0] * 12]
        assert xp.to_numpy(x.layout.mask).all()


def test_a_sequence_without_a_first_token_has_no_packed_layout(xp: Any) -> None:
    mask = np.array([[1, 1], [0, 1], [0, 0]])
    with pytest.raises(InputError, match="sequence 1 of the batch does not start with a token"):
        inputs(xp, IDS[:, :2], mask, packed=True)
    assert not inputs(xp, IDS[:, :2], mask).layout.packed


def test_a_sequence_without_columns_has_no_packed_layout(xp: Any) -> None:
    with pytest.raises(InputError, match="sequence 0"):
        inputs(xp, np.zeros((2, 0), int), packed=True)


@pytest.mark.parametrize("packed", [False, True])
def test_length_one(xp: Any, packed: bool) -> None:
    x = inputs(xp, np.array([[7], [8]]), np.ones((2, 1)), packed=packed)
    assert host(xp, x) == [[7, 8], [0, 0], [0, 0]]
    assert xp.to_numpy(x.layout.first).tolist() == [0, 1]


def test_transposed_input_is_read_in_its_own_order(xp: Any) -> None:
    x = inputs(xp, np.asfortranarray(IDS), np.asfortranarray(MASK))
    assert xp.to_numpy(x.input_ids).tolist() == IDS.reshape(-1).tolist()


CONFIG = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                    max_position_embeddings=4, type_vocab_size=2)  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_ids_are_checked_on_the_host(xp: Any, packed: bool) -> None:
    ids = IDS - 50
    assert host(xp, inputs(xp, ids, MASK, TYPES, packed=packed, config=CONFIG)) == host(
        xp, inputs(xp, ids, MASK, TYPES, packed=packed)
    )
    for changes, says in (
        ({"vocab_size": int(ids.max())}, rf"input_ids, row \d, column \d: .* no row {ids.max()}, as its vocab_size is"),
        ({"type_vocab_size": 1}, r"token_type_ids, row \d, column \d: .* no row 1, .* no pairs and no questions"),
        ({"max_position_embeddings": 3}, "sequences of 4 tokens; the model reads at most 3"),
    ):
        with pytest.raises(InputError, match=says):
            inputs(xp, ids, MASK, TYPES, packed=packed, config=replace(CONFIG, **changes))
    for name, bad in (("input_ids", (-ids, TYPES)), ("token_type_ids", (ids, TYPES - 1))):
        with pytest.raises(InputError, match=name):
            inputs(xp, bad[0], MASK, bad[1], packed=packed, config=CONFIG)
    assert inputs(xp, np.zeros((0, 0), int), config=CONFIG).input_ids.shape == (0,)
