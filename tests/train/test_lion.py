"""`pretrain --optimizer lion`: what it learns, what it keeps, and resuming."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertref import Numerics, PretrainOptions, backends, pretrain
from bertref.checkpoint import training as states
from bertref.errors import CheckpointError
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.precision import Precision
from bertref.train.step import State, TrainingRecipe, gradients, initial_state, train_step
from tests import small_run
from tests.train import autocast

WORK = autocast.work(5, 4, 16, 1, vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                     intermediate_size=32)  # fmt: skip
"""Batches and a small model."""
EXCLUDED = ("LayerNorm", "bias")


def run(folder: Path, out: str, stop_after: int = 10**6, **changes: Any) -> dict[str, np.ndarray]:
    left = iter(range(stop_after - 1))
    options = PretrainOptions(**small_run.options(folder, out, optimizer="lion", learning_rate=1e-3, **changes))
    pretrain(options, should_stop=lambda: next(left, None) is None)
    last = states.latest(Path(options.out))
    assert last is not None
    return load_file(last / "model.safetensors") | load_file(last / states.MOMENTS)


def learnt(recipe: TrainingRecipe, ops: OpSet) -> State:
    state = initial_state(ops, recipe, WORK.weights)
    for batch in WORK.batches:
        state, result = train_step(ops, recipe, state, batch)
        assert result.updated
    return state


def by_hand(recipe: TrainingRecipe, ops: OpSet) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Our gradients, clipped, and Chen et al. 2023, algorithm 2."""
    p = {name: value.astype(np.float64) for name, value in WORK.weights.items()}
    m = {name: np.zeros_like(value) for name, value in p.items()}
    for step, batch in enumerate(WORK.batches):
        state = State({name: ops.xp.from_numpy(value) for name, value in p.items()}, {}, step, None)
        g = {name: ops.xp.to_numpy(value) for name, value in gradients(ops, recipe, state, batch)[1].items()}
        norm = np.sqrt(sum(np.sum(value**2) for value in g.values()))
        for name in p:
            gradient = g[name] * min(1, 1 / (norm + 1e-6))
            decay = 0 if any(part in name for part in EXCLUDED) else 0.01
            update = np.sign(0.9 * m[name] + 0.1 * gradient) + decay * p[name]
            p[name] = p[name] - recipe.schedule.rate(step) * update
            m[name] = 0.99 * m[name] + 0.01 * gradient
    return p, m


def farthest(state: State, wanted: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]) -> float:
    """The largest difference of a parameter or moment."""
    p, m = wanted
    found = {**state.params, **{name.removesuffix("/m") + " m": value for name, value in state.moments.items()}}
    right = {**p, **{name + " m": value for name, value in m.items()}}
    assert found.keys() == right.keys()
    return max(float(np.max(np.abs(found[name] - right[name]))) for name in right if "key.bias" not in name)


def test_a_run_equals_ten_lines_of_numpy() -> None:
    """In float64. The gradient of the keys' biases is 0 but for rounding, of which a sign is taken: left out."""
    ops = OpSet(backends.get("numpy"))
    recipe = TrainingRecipe(
        PretrainingObjective(), Settings(WORK.config, Numerics.preset("huggingface")), Optimizer("lion"),
        Schedule(kind="huggingface", peak=1e-3, steps=5), Precision.preset("float64"),
    )  # fmt: skip
    wanted = by_hand(recipe, ops)
    assert farthest(learnt(recipe, ops), wanted) < 1e-12
    assert farthest(learnt(replace(recipe, optimizer=Optimizer("lion", beta2=0.9)), ops), wanted) > 1e-5


@pytest.mark.parametrize("stops", [[4], [5, 3]])
def test_resuming_is_bit_equal(tmp_path: Path, stops: list[int]) -> None:
    whole = run(tmp_path, "whole")
    for number, stop in enumerate(stops):
        run(tmp_path, "parts", stop, resume=number > 0)
    parts = run(tmp_path, "parts", resume=True)
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    moments = {name for name in whole if "/" in name}
    assert moments == {f"{name}/m" for name in whole if "/" not in name}


def test_it_learns_with_the_rate_that_it_takes_by_itself(tmp_path: Path) -> None:
    options = PretrainOptions(**small_run.options(tmp_path, optimizer="lion", learning_rate=None, steps=60))
    adamw = replace(options, optimizer="adamw")
    assert options.rate == pytest.approx(adamw.rate / 5)
    assert replace(options, learning_rate=0.01).rate == 0.01
    curve = pretrain(replace(options, learning_rate=2e-3)).curve
    assert curve[-1][1] < curve[0][1] - 0.7


def test_a_checkpoint_with_other_moments_is_refused(tmp_path: Path) -> None:
    """As one whose moments were lost is, and one that another optimiser made."""
    run(tmp_path, "out", 5)
    path = states.latest(tmp_path / "out")
    assert path is not None
    assert states.load(path, ("m",)).moments.keys() == states.load(path).moments.keys()
    with pytest.raises(CheckpointError, match="does not hold the moments of the parameters"):
        states.load(path, ("m", "v"))
    saved = states.load(path)
    kept = dict(list(saved.moments.items())[1:])
    states.save_state(path, kept, saved.step)
    with pytest.raises(CheckpointError, match="does not hold the moments of the parameters"):
        states.load(path)
