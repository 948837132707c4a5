"""Order and rates: each unit once an epoch, whatever the batch; scales by depth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.config import BertConfig
from bertref.errors import InputError
from bertref.heads import parameter_shapes
from bertref.train.finetuning.order import Order
from bertref.train.finetuning.scales import rate_scales

NAMES = list(parameter_shapes(BertConfig.preset("tiny"), ("sequence_classification",)))


@given(units=st.integers(1, 50), batch=st.integers(1, 60), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_each_unit_once_an_epoch(units: int, batch: int, seed: int, epoch: int) -> None:
    order = Order(units, batch, seed)
    batches = [order.batch(epoch * order.steps + i) for i in range(order.steps)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(units))
    assert all(len(b) == batch for b in batches[:-1])


def test_epochs_and_seeds_differ() -> None:
    order = Order(100, 100, 1)
    assert not np.array_equal(order.batch(0), order.batch(1))
    assert not np.array_equal(order.batch(0), Order(100, 100, 2).batch(0))
    assert np.array_equal(order.batch(1), Order(100, 100, 1).batch(1))


def test_layer_decay() -> None:
    scales = rate_scales(NAMES, 2, 0.5, None)
    for name in NAMES:
        power = 3 if ".embeddings." in name else 2 if ".layer.0." in name else 1 if ".layer.1." in name else 0
        assert scales.get(name, 1.0) == 0.5**power, name


@pytest.mark.parametrize(
    ("freeze", "parts"),
    [("embeddings", ["embeddings"]), ("1", ["embeddings", "layer.0"]), ("encoder", ["embeddings", "layer."]),
     ("0", ["embeddings"])],
)  # fmt: skip
def test_frozen(freeze: str, parts: list[str]) -> None:
    scales = rate_scales(NAMES, 2, 0.9, freeze)
    assert {name for name in NAMES if scales.get(name) == 0} == {
        name for name in NAMES if any(f".{part}" in name for part in parts)
    }


def test_what_cant_be_frozen() -> None:
    for wrong in ("3", "-1", "pooler"):
        with pytest.raises(InputError, match=f"--freeze is '{wrong}'"):
            rate_scales(NAMES, 2, 1.0, wrong)
