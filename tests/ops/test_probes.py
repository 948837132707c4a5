"""A composition shows what lies inside, under the names that its record lists, and showing changes nothing."""

from typing import Any

import numpy as np
import pytest
import torch

from bertref import backends
from bertref.golden.generate import op_torch
from bertref.golden.generate.op_inputs import INPUTS
from bertref.ops import OPS

from .checks import random_case
from .harness import arguments, close, place

COMPOSITIONS = [name for name, op in OPS.items() if op.probes]


def inner(op: str, inputs: dict[str, Any], options: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The inner values as leaves of torch's graph, and the output that follows from them."""
    if op == "bias_activation":
        pre = (inputs["x"] + inputs["bias"]).detach().requires_grad_()
        return {"pre": pre}, op_torch.ACTIVATIONS[options["activation"]](pre)
    if op == "dropout_add_norm":
        dropped = op_torch.dropout(inputs["x"], inputs["keep"], scale=options["scale"])
        total = (dropped + inputs["residual"]).detach().requires_grad_()
        return {"sum": total}, op_torch.layer_norm(total, inputs["gamma"], inputs["beta"], eps=options["eps"])
    if op == "decoder_cross_entropy":
        logits = (inputs["x"] @ inputs["table"].T + inputs["bias"]).detach().requires_grad_()
        data = {name: inputs[name] for name in ("labels", "weights", "denominator")}
        return {"logits": logits}, op_torch.cross_entropy(logits, **data)
    heads = (options["heads"], -1)
    q, k, v = (inputs[name].unflatten(-1, heads).transpose(1, 2) for name in ("query", "key", "value"))
    scores = (q @ k.mT * options["scale"]).requires_grad_()
    masked = scores.masked_fill(~inputs["mask"][:, None, None, :], -torch.inf)
    probs = torch.softmax(masked, -1)
    probs.retain_grad()
    dropped = op_torch.dropout(probs, inputs["keep"], scale=options["dropout_scale"])
    return {"scores": scores, "probs": probs}, (dropped @ v).transpose(1, 2).flatten(-2)


@pytest.mark.parametrize("op", COMPOSITIONS)
def test_probes_show_inner_values_and_gradients(op: str, xp: Any, request: pytest.FixtureRequest) -> None:
    sizes = dict(zip(INPUTS[op].sizes, range(2, 8), strict=False))
    case, upstream, _ = random_case(op, 11, sizes)
    given = arguments(xp, case, "float64")
    seen: dict[str, Any] = {}
    y, cache = OPS[op].forward(xp, **given, probe=seen.__setitem__)
    assert tuple(seen) == OPS[op].probes
    gradients_seen: dict[str, Any] = {}
    dy = place(xp, upstream, "float64")
    gradients = OPS[op].backward(xp, dy, cache, probe=gradients_seen.__setitem__)
    assert set(gradients_seen) == set(OPS[op].probes)

    tensors = {name: None if a is None else torch.tensor(a) for name, a in case.inputs.items()}
    values, output = inner(op, tensors, case.options)
    output.backward(torch.tensor(upstream))
    for name, value in values.items():
        close(xp.to_numpy(seen[name]), value.detach().numpy(), 1e-12, f"{op}, {name}")
        close(xp.to_numpy(gradients_seen[name]), value.grad.numpy(), 1e-12, f"{op}, gradient of {name}")

    plain_y, plain_cache = OPS[op].forward(xp, **given)
    plain = OPS[op].backward(xp, dy, plain_cache)
    compiled = backends.get(request.config.getoption("--backend")).static_shapes
    for got, expected in zip((y, *gradients), (plain_y, *plain), strict=True):
        must_be_the_same(xp.to_numpy(got), xp.to_numpy(expected), compiled)


def must_be_the_same(got: np.ndarray, expected: np.ndarray, compiled: bool) -> None:
    """To the bit; but a compiler that makes one program of all that is asked for multiplies and adds with one rounding,
    unless the product is shown: then to some units in the last place."""
    if compiled:
        close(got, expected, 1e-14, "shown and not shown")
    else:
        assert np.array_equal(got, expected)
