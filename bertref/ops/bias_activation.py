"""Bias and activation of the feed-forward layer in one op.

    h = x + b            x (..., I)   b (I)
    y = act(h)           act: gelu_erf, gelu_tanh, relu or tanh

A composition, for a kernel to fuse: the product before it is left without its bias. With a `probe` it shows h as `pre`.

Gradient: dx = the activation's own at h; db = Σ dx over all rows.

Source: Devlin et al. 2019, section 3 (GELU); `modeling.py`, `intermediate` in `transformer_model`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..arrays import Array, Namespace
from . import gelu_erf, gelu_tanh, relu, tanh
from ._wide import sum_rows
from .op import AnyOp, Op

ACTIVATIONS: dict[str, AnyOp] = {
    "gelu_erf": gelu_erf.gelu_erf,
    "gelu_tanh": gelu_tanh.gelu_tanh,
    "relu": relu.relu,
    "tanh": tanh.tanh,
}
InnerProbe = Callable[[str, Array], None]


class BiasActivationCache(NamedTuple):
    """The activation's name and its own cache; the addition needs none."""

    activation: str
    inner: Any


class BiasActivationGrads(NamedTuple):
    """x (..., I), bias (I)."""

    x: Array
    bias: Array


def forward(
    xp: Namespace, x: Array, bias: Array, *, activation: str, probe: InnerProbe | None = None
) -> tuple[Array, BiasActivationCache]:
    """x (..., I), bias (I) -> y (..., I)."""
    h = x + bias
    if probe:
        probe("pre", h)
    y, inner = ACTIVATIONS[activation].forward(xp, h)
    return y, BiasActivationCache(activation, inner)


def backward(
    xp: Namespace, dy: Array, cache: BiasActivationCache, *, probe: InnerProbe | None = None
) -> BiasActivationGrads:
    """dy (..., I) -> gradients of x and bias."""
    # y = act(h)
    dh = ACTIVATIONS[cache.activation].backward(xp, dy, cache.inner).x
    if probe:
        probe("pre", dh)
    # h = x + bias
    return BiasActivationGrads(dh, sum_rows(xp, dh))


bias_activation = Op("bias_activation", forward, backward, probes=("pre",))
