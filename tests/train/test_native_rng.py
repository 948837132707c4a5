"""Training with `--rng native`: forward and backward take the same decisions, a resumed run ends with the same bits."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.errors import InputError
from bertref.layers import Settings
from bertref.opset import OpSet
from bertref.train import PretrainOptions
from bertref.train.step import TrainingRecipe, gradients, initial_state

from ..model_cases import Case
from .pretraining.running import equal, run, weights
from .test_step import batches, dropping, must_be_equal, recipe
from .test_step import run as make_steps

NATIVE = {"backend": "torch", "rng": "native", "dropout": 0.2}


def native(c: Case, **changes: Any) -> TrainingRecipe:
    return recipe(c, rng="native", **changes)


@pytest.fixture(scope="module")
def ops() -> OpSet:
    return OpSet(backends.get("torch"))


@pytest.mark.parametrize("packed", [False, True])
def test_backward_takes_the_decisions_of_forward(ops: OpSet, packed: bool) -> None:
    """The slope of the loss along a random direction is what the gradients say, to seven digits."""
    c = dropping(layers=1)
    batch = next(batches(c, 1))
    rng = np.random.default_rng(5)
    along = {name: rng.normal(size=p.shape) for name, p in c.params.items()}
    plan = native(c, packed=packed)

    def loss(h: float) -> tuple[float, dict[str, Any]]:
        moved = {name: p + h * along[name] for name, p in c.params.items()}
        outcome, grads = gradients(ops, plan, initial_state(ops, plan, moved), batch)
        return float(outcome.losses["total"]), grads

    def slope(grads: dict[str, Any]) -> float:
        return sum(float((ops.xp.to_numpy(g) * along[name]).sum()) for name, g in grads.items())

    h = 1e-4
    ends = [loss(k * h)[0] for k in (-2, -1, 1, 2)]
    found, said = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h), slope(loss(0.0)[1])
    assert abs(found - said) < 1e-7 * abs(said)
    _, others = gradients(ops, replace(plan, rng="reference"), initial_state(ops, plan, c.params), batch)
    assert abs(slope(others) - said) > 1e-3 * abs(said), "other decisions don't show"


@pytest.mark.parametrize("recompute", ["attention", "layers"])
def test_what_is_computed_again_drops_the_same(ops: OpSet, recompute: str) -> None:
    c = dropping(layers=1)
    kept = native(c)
    again = replace(kept, settings=Settings(c.config, c.numerics, recompute))
    (one, results), (other, its) = make_steps(ops, c, kept, 2), make_steps(ops, c, again, 2)
    assert results == its
    must_be_equal(ops, one, other)


def test_parts_of_a_batch_drop_other_elements_than_each_other(ops: OpSet) -> None:
    """Two halves that hold the same texts under other numbers."""
    c = dropping(layers=1)
    batch = next(batches(c, 1))
    twice = type(batch)(**{name: np.concatenate([a, a]) for name, a in batch.items()})
    twice = replace(twice, example=np.arange(len(twice)))
    plan = native(c)
    state = initial_state(ops, plan, c.params)
    losses = [float(gradients(ops, plan, state, twice[rows])[0].losses["total"]) for rows in (slice(0, 4), slice(4, 8))]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    run(tmp_path, "whole", **NATIVE)
    run(tmp_path, "parts", stop_after=6, **NATIVE)
    run(tmp_path, "parts", resume=True, **NATIVE)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["options"]["rng"] == "native"
    with pytest.raises(InputError, match="--rng was 'native' and is 'reference'"):
        run(tmp_path, "parts", resume=True, **{**NATIVE, "rng": "reference"})
    run(tmp_path, "reference", **{**NATIVE, "rng": "reference"})
    assert not equal(weights(tmp_path / "whole"), weights(tmp_path / "reference"))


def test_where_there_is_no_such_generator_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--rng native: numpy draws dropout by the reference's numbers alone; leave"):
        run(tmp_path, rng="native")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="--rng is 'fast'; one of reference, native"):
        PretrainOptions(rng="fast")
