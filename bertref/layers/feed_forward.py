"""The feed-forward network with its residual and norm: the second half of an encoder layer.

    act = activation(x W₁ᵀ + b₁)                  (T, I)
    y   = layer_norm(dropout(act W₂ᵀ + b₂) + x)   (T, H)

Source: Devlin et al. 2019, section 3; `modeling.py`, `transformer_model`.
"""

from typing import Any, NamedTuple

from ..arrays import Array
from ..dropout import Dropout
from ..opset import OpSet
from ..probes import Probe
from .settings import Settings


class FeedForwardCache(NamedTuple):
    """The caches of the four ops in order."""

    expand: Any
    activation: Any
    contract: Any
    norm: Any


def forward(
    ops: OpSet,
    p: dict[str, Array],
    x: Array,
    settings: Settings,
    dropout: Dropout | None,
    site: int,
    probe: Probe | None = None,
) -> tuple[Array, FeedForwardCache]:
    """x (T, H) -> y (T, H). `site` is the layer's first dropout site."""
    expanded, expand = ops.dense.forward(x, p["intermediate.dense.weight"])
    act, activation = ops.bias_activation.forward(
        expanded, p["intermediate.dense.bias"], activation=settings.activation,
        probe=probe.inner({"pre": "ffn_pre"}, rows=True) if probe else None,
    )  # fmt: skip
    output, contract = ops.dense.forward(act, p["output.dense.weight"], p["output.dense.bias"])
    y, norm = ops.dropout_add_norm.forward(
        output, x, dropout.hidden(site + 2, x.shape[-1]) if dropout else None,
        p["output.LayerNorm.weight"], p["output.LayerNorm.bias"],
        scale=dropout.hidden_scale if dropout else 1.0, eps=settings.eps,
        probe=probe.inner({"sum": "ffn_sum"}, rows=True) if probe else None,
    )  # fmt: skip
    if probe:
        probe.rows("ffn_act", act)
        probe.rows("ffn_output", output)
        probe.rows("output", y)
    return y, FeedForwardCache(expand, activation, contract, norm)


def backward(
    ops: OpSet, dy: Array, cache: FeedForwardCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dy (T, H) -> dx (T, H) and the gradients of the two dense layers and the norm."""
    # y = layer_norm(dropout(output) + x)
    norm = ops.dropout_add_norm.backward(
        dy, cache.norm, probe=probe.inner({"sum": "ffn_sum"}, rows=True) if probe else None
    )
    # output = act W₂ᵀ + b₂
    contract = ops.dense.backward(norm.x, cache.contract)
    # act = activation(expanded + b₁)
    activation = ops.bias_activation.backward(
        contract.x, cache.activation, probe=probe.inner({"pre": "ffn_pre"}, rows=True) if probe else None
    )
    # expanded = x W₁ᵀ
    expand = ops.dense.backward(activation.x, cache.expand)
    if probe:
        probe.rows("output", dy)
        probe.rows("ffn_output", norm.x)
        probe.rows("ffn_act", contract.x)
    grads = {
        "intermediate.dense.weight": expand.weight,
        "intermediate.dense.bias": activation.bias,
        "output.dense.weight": contract.weight,
        "output.dense.bias": contract.bias,
        "output.LayerNorm.weight": norm.gamma,
        "output.LayerNorm.bias": norm.beta,
    }
    # x is used twice: by the residual and by the network
    dx, _ = ops.add.forward(norm.residual, expand.x)
    return dx, grads
