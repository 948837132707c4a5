"""Whole training steps with the CUDA files run on the CPU: the losses of the reference, whatever the layout."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bertref import backends
from bertref.backends.cupy.kernels import kernels, updates
from bertref.backends.cupy.kernels.philox import Drawn
from bertref.opset import OpSet
from bertref.train.step import initial_state, train_step

from ....model_cases import case
from ....train.test_kernels import OFF, plan, run
from .on_cpu import Cpu

KINDS = {"adamw": {"adam"}, "google": {"adam"}, "lamb": {"lamb_direction", "lamb_apply"}}
ALWAYS = {
    "norm", "norm_back", "bias_add", "bias_gelu", "bias_gelu_back", "softmax", "softmax_back", "cross_entropy",
    "column_sum", "gather_rows", "scatter_rows", "squares", "total", "keep_hidden", "keep_probs",
}  # fmt: skip


def ops_on(device: Cpu) -> OpSet:
    numpy = backends.get("numpy")
    made = replace(numpy, kernels=kernels(device), updates=updates(device), draw=partial(Drawn, device),
                   share=None, freeze=None)  # fmt: skip
    return OpSet(made)


@pytest.mark.parametrize(("kind", "changes"), [
    ("adamw", {"packed": True}),
    pytest.param("google", {}, marks=pytest.mark.slow),
    pytest.param("lamb", {"chunks": 2}, marks=pytest.mark.slow),
    pytest.param("adamw", {"recompute": "layers"}, marks=pytest.mark.slow),
])  # fmt: skip
def test_the_losses_are_the_references(kind: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, with dropout; every kernel does its part, and no op falls back."""
    monkeypatch.setattr("tests.train.test_kernels.STEPS", 3)
    c = case(dialect="google" if kind == "google" else "huggingface",
             hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)  # fmt: skip
    device = Cpu()
    ops = ops_on(device)
    (on, _), (off, _) = (run(o, plan(c, kind, "float32", **changes), c) for o in (ops, OFF))
    for a, b in zip(on, off, strict=True):
        for name in ("total", "mlm", "nsp"):
            np.testing.assert_allclose(a.losses[name], b.losses[name], rtol=3e-5, err_msg=name)
        np.testing.assert_allclose(a.gradient_norm, b.gradient_norm, rtol=3e-5)
    assert on[0].loss != on[-1].loss
    assert {kernel.partition("<")[0] for kernel in device.launched} == ALWAYS | KINDS[kind]
    assert not [name for name, op in ops._ops.items() if op._fell_back]


@pytest.mark.parametrize("precision", ["mixed-bfloat16", pytest.param("mixed-float16", marks=pytest.mark.slow)])
def test_mixed_precision(precision: str) -> None:
    """One step: kernels see halves where autocast computes in halves, and the loss differs by rounding."""
    c = case(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    device, half = Cpu(), {"bfloat16": "__nv_bfloat16", "float16": "__half"}[precision.removeprefix("mixed-")]
    losses, norms = [], []
    for ops in (ops_on(device), OFF):
        recipe = plan(c, "adamw", precision)
        _, result = train_step(ops, recipe, initial_state(ops, recipe, c.params), c.batch)
        losses.append(result.loss)
        norms.append(result.gradient_norm)
    assert abs(losses[0] / losses[1] - 1) < 2e-3
    np.testing.assert_allclose(norms[0], norms[1], rtol=2e-2)  # in float16 both overflow at the first loss scale
    used = set(device.launched)
    halves = f"bias_add<{half}, ", f"bias_gelu<float, {half}, ", f"softmax<{half}, ", f"cross_entropy<{half}, "
    for kernel in (*halves, "norm<float, "):
        assert any(name.startswith(kernel) for name in used), kernel
