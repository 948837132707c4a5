"""The memory formula against the arrays that a step really keeps, and against the process that made one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.bench import Job, inputs, memory
from bertref.bench.process import Process, environment
from bertref.bench.race import arena, with_lengths
from bertref.dropout import Dropout
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective
from bertref.opset import OpSet
from tests.bench import small


def arrays_of(cache: Any) -> dict[int, int]:
    """Address of the memory -> bytes, of every array that a cache leads to; views count as what they are views of."""
    found: dict[int, int] = {}
    seen: set[int] = set()
    left = [cache]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            while isinstance(value.base, np.ndarray):
                value = value.base
            found[value.__array_interface__["data"][0]] = value.nbytes
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
        elif hasattr(value, "__dict__"):
            left += vars(value).values()
        elif callable(value) and getattr(value, "__closure__", None):
            left += [cell.cell_contents for cell in value.__closure__]
    return found


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("recompute", ["none", "attention"])
def test_what_forward_keeps(tmp_path: Path, kernels: bool, recompute: str) -> None:
    """Within a fifth: the formula leaves out what has the size of a row or less."""
    path = small.config(tmp_path, hidden_size=32, intermediate_size=96, num_hidden_layers=3)
    job = with_lengths(Job("pretrain", config=path, batch_size=8, seq_len=32, kernels=kernels))
    config, numerics = inputs.architecture_of(job)
    ops = OpSet(backends.get("numpy"), kernels=kernels)
    batch = inputs.pretraining_batches(job, config.vocab_size)[0]
    params = inputs.rich_parameters(config, numerics, 1)
    objective = PretrainingObjective()
    prepared = objective.prepare(ops.xp, batch, numerics, packed=False, dtype="float32")
    dropout = Dropout(ops.xp, 1, 0, batch.example, batch.attention_mask != 0, False, 0.1, 0.1)
    _, cache = objective.forward(ops, params, prepared, Settings(config, numerics, recompute), dropout=dropout)
    held = arrays_of(cache.model.layers)
    held.update(arrays_of(cache.model.embeddings))
    for array in (*params.values(), *arrays_of(prepared.inputs).values()):
        if isinstance(array, np.ndarray):
            held.pop(array.__array_interface__["data"][0], None)
    shape = memory.Shapes(8, 32, 8 * 32, 8 * inputs.options(job).predictions)
    factors = memory.KERNELS if kernels else memory.REFERENCE
    expected = memory.kept(config, shape, factors, 4, True, recompute)
    if recompute == "attention":  # backward makes one layer's again
        expected -= memory.kept_by_a_layer(config, shape, factors, 4, True)[1]
    assert sum(held.values()) == pytest.approx(expected, rel=0.2)


PEAKS = [
    pytest.param(command, kernels, marks=() if kernels is (command != "finetune") else pytest.mark.slow)
    for command in ("pretrain", "finetune", "predict")
    for kernels in (False, True)
]


@pytest.mark.parametrize(("command", "kernels"), PEAKS)
def test_the_peak_of_a_process(tmp_path: Path, command: str, kernels: bool) -> None:
    path = small.config(
        tmp_path, vocab_size=2000, hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4
    )
    job = with_lengths(Job(command, config=path, batch_size=32, seq_len=48, kernels=kernels))
    with arena(job) as folder, Process("ours", environment(1)) as process:
        baseline = process.ask("forget_peak")["now"]
        process.ask("set_up", job=with_folder(job, folder).to_json())
        process.ask("run", unit="step", times=1)
        peak = process.ask("memory")["peak"]
    predicted = memory.predicted(job)
    assert predicted is not None
    assert 0.6 < (baseline + predicted) / peak < 1.4


def with_folder(job: Job, folder: Path) -> Job:
    from dataclasses import replace

    return replace(job, folder=str(folder))


def test_more_of_anything_takes_more(tmp_path: Path) -> None:
    def bytes_of(**changes: Any) -> int:
        found = memory.predicted(small.job(tmp_path, **{"batch_size": 32, "seq_len": 48, **changes}))
        assert found is not None
        return found

    usual = bytes_of()
    assert bytes_of(batch_size=64) > usual
    assert bytes_of(seq_len=64) > usual
    assert bytes_of(dtype="float64") == pytest.approx(2 * usual, rel=0.1)
    assert bytes_of(recompute="layers") < bytes_of(recompute="attention") < usual
    assert bytes_of(kernels=False) > usual
    assert bytes_of(dropout=0.0) < usual


@pytest.mark.parametrize("changes", [{"command": "ops"}, {"backend": "torch"}])
def test_what_can_not_be_told_is_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert memory.predicted(small.job(tmp_path, **changes)) is None
