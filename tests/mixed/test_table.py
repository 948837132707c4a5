"""The table of mixed precision: every op has a row, and what a model computes in is what the table says."""

from typing import Any, get_type_hints

import numpy as np
import pytest

from bertref import backends
from bertref.backends import Backend
from bertref.layers import Settings
from bertref.mixed import TABLE, mixed
from bertref.objectives import TOTAL, PretrainingObjective, losses_and_gradients
from bertref.ops import OPS
from bertref.opset import OpSet
from bertref.probes import Recorder
from bertref.topology import probe_names
from bertref.verify.cases.case import generate
from bertref.verify.emulation.rounding import Arithmetic
from bertref.verify.emulation.variants import EmulatedOps

CASE = generate(3)
PRODUCTS = (
    "query", "key", "value", "scores", "probs", "context", "attention_output", "ffn_pre", "ffn_act", "ffn_output",
    "pooled_pre", "pooled", "mlm.dense", "mlm.act", "mlm.logits", "nsp.logits",
)  # fmt: skip
"""Probes that are products, or elementwise functions of them; softmax's probabilities are rounded for the product with
the values."""


def pretrained(ops: Any, weights: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The losses of the case, all probes, and the gradients of the parameters."""
    recorder = Recorder()
    settings = Settings(CASE.config, CASE.numerics)
    outcome, grads = losses_and_gradients(
        PretrainingObjective(), ops, weights, CASE.batch, settings, recorder=recorder
    )
    return outcome.losses, recorder.values, grads


def in_mixed(backend: Backend, half: str) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    ops = mixed(OpSet(backend), half)
    return ops.xp, *pretrained(ops, {n: ops.xp.from_numpy(a.astype(np.float32)) for n, a in CASE.params.items()})


def test_every_op_has_a_row_and_casts_what_has_a_gradient() -> None:
    assert TABLE.keys() == OPS.keys()
    for name, row in TABLE.items():
        gradients = get_type_hints(OPS[name].backward)["return"]._fields
        wanted = () if row.type == "given" else ("bias",) if name == "bias_activation" else gradients
        assert tuple(row.arguments.split()) == wanted, name


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_products_are_halves_and_the_rest_is_float32(half_backend: Backend, half: str) -> None:
    xp, losses, probes, grads = in_mixed(half_backend, half)
    forward = probe_names(CASE.config)
    assert set(forward) <= set(probes)
    for name in forward:
        wanted = half if name.endswith(PRODUCTS) else "float32"
        assert xp.dtype_name(probes[name].dtype) == wanted, name
    assert {xp.dtype_name(value.dtype) for value in (*losses.values(), *grads.values())} == {"float32"}


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_gradients_have_the_types_of_what_they_belong_to(half_backend: Backend, half: str) -> None:
    _, _, probes, _ = in_mixed(half_backend, half)
    for name in probe_names(CASE.config):
        if not name.startswith("loss."):
            assert probes[f"grad:{name}"].dtype == probes[name].dtype, name


def test_verify_emulates_the_same_types(half_backend: Backend) -> None:
    """But for a norm of halves, which torch leaves in halves on the CPU: for the noise floor the larger rounding."""
    xp, _, probes, _ = in_mixed(half_backend, "bfloat16")
    ops = EmulatedOps(Arithmetic("mixed-bfloat16"))
    _, emulated, _ = pretrained(ops, {name: ops.xp.from_numpy(a, "float32") for name, a in CASE.params.items()})
    for name in probe_names(CASE.config):
        if name != "mlm.transform":
            assert emulated[name].dtype.name == xp.dtype_name(probes[name].dtype), name
    assert emulated["mlm.transform"].dtype.name == "bfloat16"


@pytest.mark.parametrize(("half", "limit"), [("bfloat16", 0.02), ("float16", 0.003)])
def test_the_losses_are_near_float32s(half_backend: Backend, half: str, limit: float) -> None:
    _, losses, _, _ = in_mixed(half_backend, half)
    ops = OpSet(backends.get("numpy"), kernels=False)
    exact, _, _ = pretrained(ops, CASE.params)
    assert 0 < abs(float(losses[TOTAL]) - float(exact[TOTAL])) < limit * float(exact[TOTAL])


def test_no_gradients_are_kept_where_none_are_wanted(half_backend: Backend) -> None:
    ops = mixed(OpSet(half_backend), "bfloat16").forward_only()
    x = ops.xp.from_numpy(np.ones((2, 3), np.float32))
    y, run = ops.tanh.forward(x)
    with pytest.raises(ValueError, match="tanh: forward kept nothing"):
        ops.tanh.backward(y, run)
    assert ops.explain("dense", x, x).module == "bertref.mixed.pairs"
