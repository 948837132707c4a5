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
    given = probe is None  # what a kernel may write over, because nobody looks at it any more
    act, activation = ops.bias_activation.hinted(given=given).forward(
        expanded, p["intermediate.dense.bias"], activation=settings.activation,
        probe=probe.inner({"pre": "ffn_pre"}, rows=True) if probe else None,
    )  # fmt: skip
    output, contract = ops.dense.forward(act, p["output.dense.weight"], p["output.dense.bias"])
    dropping = settings.at_branch(dropout, "feed_forward")
    y, norm = ops.dropout_add_norm.hinted(given=given).forward(
        output, x, dropping.hidden(site + 2, x.shape[-1]) if dropping else None,
        p["output.LayerNorm.weight"], p["output.LayerNorm.bias"],
        scale=dropping.hidden_scale if dropping else 1.0, eps=settings.eps,
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
    runs = list(cache)  # what is (T, I) is let go as soon as it has served: nothing else in a layer is as large
    del cache
    # y = layer_norm(dropout(output) + x)
    norm = ops.dropout_add_norm.backward(
        dy, runs.pop(), probe=probe.inner({"sum": "ffn_sum"}, rows=True) if probe else None
    )
    # output = act W₂ᵀ + b₂
    dact, d_contract, d_output_bias = ops.dense.backward(norm.x, runs.pop())
    if probe:
        probe.rows("ffn_act", dact)
    # act = activation(expanded + b₁)
    dexpanded, d_bias = ops.bias_activation.backward(
        dact, runs.pop(), probe=probe.inner({"pre": "ffn_pre"}, rows=True) if probe else None
    )
    del dact
    # expanded = x W₁ᵀ
    expand = ops.dense.backward(dexpanded, runs.pop())
    if probe:
        probe.rows("output", dy)
        probe.rows("ffn_output", norm.x)
    grads = {
        "intermediate.dense.weight": expand.weight,
        "intermediate.dense.bias": d_bias,
        "output.dense.weight": d_contract,
        "output.dense.bias": d_output_bias,
        "output.LayerNorm.weight": norm.gamma,
        "output.LayerNorm.bias": norm.beta,
    }
    # x is used twice: by the residual and by the network
    dx, _ = ops.add.forward(norm.residual, expand.x)
    return dx, grads
