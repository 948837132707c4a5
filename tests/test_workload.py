"""Which implementation serves an op is said before a model exists, and is what then happens."""

import json
import tracemalloc

import numpy as np
import pytest

from bertref import backends, workload
from bertref.config import BertConfig, Numerics
from bertref.errors import InputError
from bertref.ops import OPS
from bertref.opset import ForwardRun, OpSet

from .cli_helpers import in_process

SMALL = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
NUMPY = backends.get("numpy")


def choices(ops: OpSet, dtype: str = "float32", config: BertConfig = SMALL) -> dict[str, workload.Choice]:
    return {choice.op: choice for choice in workload.explain(ops, config, Numerics(), dtype)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernels", [True, False])
def test_what_is_said_is_what_runs(dtype: str, kernels: bool) -> None:
    """The same calls, with values, are served by the pair that was named."""
    ops = OpSet(NUMPY, kernels=kernels)
    sizes = workload.Sizes(batch=2, length=3, predictions=2)
    made = workload.calls(ops.xp, SMALL, Numerics(), sizes, dtype)
    assert made.keys() == OPS.keys()
    said = {c.op: c for c in workload.explain(ops, SMALL, Numerics(), dtype, sizes)}
    for name, call in made.items():
        args, options = call()
        args = tuple(np.ones_like(a) if a is not None and a.dtype.kind in "fb" else a for a in args)
        if name in ("pack", "unpack"):
            args = (args[0], np.arange(6), np.ones(6, bool), np.arange(6))
        _, run = getattr(ops, name).forward(*args, **options)
        assert isinstance(run, ForwardRun)
        assert run.pair.forward.__module__ == said[name].module, name
        assert (said[name].implementation == "kernel") == (run.pair is not OPS[name])


def test_every_op_and_every_pass_is_listed() -> None:
    found = choices(OpSet(NUMPY))
    assert found.keys() >= OPS.keys() | NUMPY.updates.keys()
    assert all(found[name].implementation == "kernel" for name in NUMPY.updates)
    assert {name for name in OPS if found[name].implementation == "kernel"} == set(NUMPY.kernels)


def test_why_not() -> None:
    assert choices(OpSet(NUMPY))["softmax"].why == "the backend has none"
    assert "exact GELU in float32" in choices(OpSet(NUMPY), "float64")["bias_activation"].why
    with_probe = OpSet(NUMPY).explain(
        "bias_activation", *np.ones((2, 3, 4), "f"), activation="gelu_erf", probe=lambda *_: None
    )
    assert with_probe.why == "a value inside is shown"
    assert choices(OpSet(NUMPY, kernels=False))["dense"].implementation == "reference"
    assert choices(OpSet(NUMPY, kernels=False))["adamw_update"].implementation == "reference"


def test_asking_takes_no_memory() -> None:
    tracemalloc.start()
    choices(OpSet(NUMPY), config=BertConfig.preset("large"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_doctor_lists_them() -> None:
    found = json.loads(in_process("doctor", "--ops", "--config", "tiny", "--json").stdout)
    assert found["schema"] == 1
    assert {c["op"]: c["implementation"] for c in found["ops"]}["dense"] == "kernel"
    text = in_process("doctor", "--ops", "--backend", "torch", "--dtype", "bfloat16").stdout
    assert "base in bfloat16 on torch:cpu" in text
    assert "ops.dense" in text
    refused = in_process("doctor", "--ops", "--dtype", "float16")
    assert refused.returncode == 2
    assert "numpy computes in float32, float64" in refused.stderr


def test_a_config_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="--config giant: neither a preset"):
        workload.explained("giant")
