"""Other ways to compute an op that are as right as the reference's, for the emulated implementations.

    wide-activations  the activation in float32 and rounded once, as fused kernels do, not step by step
    flash             the softmax's gradient takes the sum of dprobs probs as that of dcontext context, which is equal,
                      and makes the probabilities again from the logarithm of their sum; fused attention does, because
                      it does not keep them
    narrow            what one op hands to another, and to its own backward, is in the half type: a norm's mean and
                      reciprocal deviation, log-probabilities, losses, gradients of parameters (torch's operators on
                      bfloat16 tensors). Without it they are float32. In mixed precision this is so only where an op
                      works on halves
    stepwise-norms    a norm's mean, variance, root, quotient and products are each rounded to the half type, as in
                      one that is written out; some multiply by the reciprocal root instead
    narrow-sums       sums over tokens that make gradients of biases, gains and tables are accumulated in the half
                      type, one after the other (beside `narrow`; torch's embeddings and norms do on the CPU)
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import Array, Namespace
from ...backends.backend import Backend
from ...ops import OPS, Op, attention, cross_entropy, dense, dropout_add_norm, embedding, layer_norm
from ...ops._wide import sum_rows, wide
from ...ops.bias_activation import ACTIVATIONS, BiasActivationCache, BiasActivationGrads
from ...ops.decoder_cross_entropy import DecoderCrossEntropyGrads
from ...opset import BoundOp, OpSet
from .rounding import Arithmetic, RoundedNamespace

Xp = Namespace
InnerProbe = Callable[[str, Array], None]


class EmulatedOps(OpSet):
    """The reference's ops in an `Arithmetic`, with its variants."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        xp = RoundedNamespace(arithmetic)
        super().__init__(Backend("emulated", "", xp, (arithmetic.compute.name,)), kernels=False)  # type: ignore[arg-type]
        self.arithmetic = arithmetic
        for variant in sorted(arithmetic.variants):
            for name, (forward, backward) in VARIANTS[variant].items():
                self._ops[name] = BoundOp(xp, Op(name, forward, backward, OPS[name].probes), None)


# ---------------------------------------------------------------------------------------------------------------------
# wide-activations


def _activation(
    xp: Xp, x: Array, bias: Array, *, activation: str, probe: InnerProbe | None = None
) -> tuple[Array, BiasActivationCache]:
    h = x + bias
    if probe:
        probe("pre", h)
    y, inner = ACTIVATIONS[activation].forward(xp, wide(xp, h))
    return xp.astype(y, h.dtype, copy=False), BiasActivationCache(activation, inner)


def _activation_back(xp: Xp, dy: Array, cache: BiasActivationCache, *, probe: InnerProbe | None = None) -> Any:
    dh = xp.astype(ACTIVATIONS[cache.activation].backward(xp, wide(xp, dy), cache.inner).x, dy.dtype, copy=False)
    if probe:
        probe("pre", dh)
    return BiasActivationGrads(dh, _over_tokens(xp, dh))


# ---------------------------------------------------------------------------------------------------------------------
# flash


def _attention(xp: Xp, *args: Any, **options: Any) -> tuple[Array, Any]:
    context, cache = attention.forward(xp, *args, **options)
    return context, (cache, context, _probs_again(xp, cache, args[3], options["mask_value"]))


def _probs_again(xp: Xp, cache: attention.AttentionCache, mask: Array, mask_value: float) -> Array:
    """exp(scores - log Σ exp scores): of the softmax only that logarithm is kept, and it is rounded like a score.

    The way back computes the scores anew, in blocks of another shape and so with other sums: where a score is large,
    its rounding no longer cancels against that of the logarithm."""
    w, again = (
        attention.add_mask(xp, xp.matmul(q, xp.matrix_transpose(k)) * cache.scale, mask, mask_value)
        for q, k in ((cache.query, cache.key), (_turned(xp, cache.query), _turned(xp, cache.key)))
    )
    largest = xp.max(w, axis=-1, keepdims=True)
    largest = xp.where(largest == -math.inf, xp.zeros_like(largest), largest)
    total = xp.sum(xp.exp(w - largest), axis=-1, keepdims=True)
    total = xp.where(total == 0, xp.ones_like(total), total)
    return xp.astype(xp.exp(again - (largest + xp.log(total))), cache.query.dtype, copy=False)


def _turned(xp: Xp, x: Array) -> Array:
    """The elements of every vector in the opposite order."""
    return xp.take(x, xp.from_numpy(np.arange(x.shape[-1])[::-1].copy()), axis=-1)


def _attention_back(xp: Xp, dy: Array, cache: Any, *, probe: InnerProbe | None = None) -> attention.AttentionGrads:
    inner, context, probs = cache
    q, k, v = inner.query, inner.key, inner.value
    dcontext = attention.split_heads(xp, dy, q.shape[1])
    dprobs = xp.matmul(dcontext, xp.matrix_transpose(v))
    products = wide(xp, dcontext) * wide(xp, attention.split_heads(xp, context, q.shape[1]))
    dscores = xp.astype(probs * (dprobs - xp.sum(products, axis=-1, keepdims=True)), dy.dtype, copy=False)
    if probe:
        probe("probs", dprobs)
        probe("scores", dscores)
    dproduct = dscores * inner.scale
    gradients = (
        xp.matmul(dproduct, k), xp.matmul(xp.matrix_transpose(dproduct), q),
        xp.matmul(xp.matrix_transpose(probs), dcontext),
    )  # fmt: skip
    return attention.AttentionGrads(*(attention.merge_heads(xp, g) for g in gradients))


# ---------------------------------------------------------------------------------------------------------------------
# narrow


def _through(xp: Xp, x: Array, dtype: Any) -> Array:
    """x rounded to another format and taken back: what is left of it after it was stored there."""
    return xp.astype(xp.astype(x, dtype), x.dtype)


def _norm(xp: Xp, x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, Any]:
    y, cache = layer_norm.forward(xp, x, gamma, beta, eps=eps)
    w = wide(xp, x)
    mean = _through(xp, xp.mean(w, axis=-1, keepdims=True), x.dtype)
    reciprocal = _through(xp, cache.reciprocal, x.dtype)
    return y, layer_norm.LayerNormCache((w - mean) * reciprocal, reciprocal, gamma)


def _stepwise(xp: Xp, x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Array, layer_norm.LayerNormCache]:
    """The norm, written out in x's own type. Whoever adds up in another order multiplies by the reciprocal root."""
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    root = xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + eps)
    reciprocal = 1 / root
    normalised = centred * reciprocal if xp.arithmetic.order == "permuted" else centred / root
    y = xp.astype(normalised * gamma + beta, x.dtype, copy=False)
    return y, layer_norm.LayerNormCache(wide(xp, normalised), wide(xp, reciprocal), gamma)


def _over_tokens(xp: Xp, rows: Array) -> Array:
    """The sum over all axes but the last, in float32, or in the rows' own type one after the other."""
    if "narrow-sums" not in xp.arithmetic.variants or rows.dtype.bits != 16:
        return sum_rows(xp, rows)
    flat = rows.values.reshape(-1, rows.shape[-1])
    total = flat[0]
    for row in flat[1:]:
        total = xp.rounded(total + row, rows.dtype)
    return wide(xp, xp.wrap(total, rows.dtype))


def _norm_back(xp: Xp, dy: Array, cache: Any) -> layer_norm.LayerNormGrads:
    dx, dgamma, dbeta = layer_norm.backward(xp, dy, cache)
    if "narrow-sums" in xp.arithmetic.variants:
        dgamma, dbeta = (_over_tokens(xp, xp.astype(x, dy.dtype)) for x in (wide(xp, dy) * cache.normalised, dy))
    return layer_norm.LayerNormGrads(dx, _through(xp, dgamma, dy.dtype), _through(xp, dbeta, dy.dtype))


def _table_back(xp: Xp, dy: Array, cache: embedding.EmbeddingCache) -> embedding.EmbeddingGrads:
    if dy.dtype.bits != 16:
        return embedding.backward(xp, dy, cache)
    table = np.zeros(cache.table.shape, np.float32)
    for at, row in zip(cache.ids.tolist(), dy.values, strict=True):
        table[at] = xp.rounded(table[at] + row, dy.dtype)
    return embedding.EmbeddingGrads(xp.wrap(table, dy.dtype))


def _add_norm(
    xp: Xp, x: Array, residual: Array, keep: None, gamma: Array, beta: Array, *, scale: float, eps: float,
    probe: InnerProbe | None = None,
) -> tuple[Array, Any]:  # fmt: skip
    s = x + residual
    if probe:
        probe("sum", s)
    y, inner = (_stepwise if "stepwise-norms" in xp.arithmetic.variants else _norm)(xp, s, gamma, beta, eps=eps)
    return y, (inner, x.dtype)


def _add_norm_back(
    xp: Xp, dy: Array, cache: Any, *, probe: InnerProbe | None = None
) -> dropout_add_norm.DropoutAddNormGrads:
    ds, dgamma, dbeta = _norm_back(xp, dy, cache[0])
    if probe:
        probe("sum", ds)
    return dropout_add_norm.DropoutAddNormGrads(_through(xp, ds, cache[1]), ds, dgamma, dbeta)


def _loss(xp: Xp, logits: Array, *args: Any) -> tuple[Array, Any]:
    loss, cache = cross_entropy.forward(xp, logits, *args)
    stored, factors = _through(xp, cache.log_probs, logits.dtype), _through(xp, cache.factors, logits.dtype)
    return _through(xp, loss, logits.dtype), cache._replace(log_probs=stored, factors=factors)


def _decoder_loss(
    xp: Xp, x: Array, table: Array, bias: Array, *args: Any,
    probe: InnerProbe | None = None, figure: InnerProbe | None = None,
) -> tuple[Array, Any]:
    logits, product = dense.forward(xp, x, table, bias)
    if probe:
        probe("logits", logits)
    if figure:
        figure("predicted", xp.argmax(logits, axis=-1))
    loss, cache = _loss(xp, logits, *args)
    return loss, (product, cache)


def _decoder_loss_back(xp: Xp, dy: Array, cache: Any, *, probe: InnerProbe | None = None) -> DecoderCrossEntropyGrads:
    dlogits = cross_entropy.backward(xp, dy, cache[1]).logits
    if probe:
        probe("logits", dlogits)
    dx, dtable, dbias = _dense_back(xp, dlogits, cache[0])
    assert dbias is not None
    return DecoderCrossEntropyGrads(dx, dtable, dbias)


def _dense_back(xp: Xp, dy: Array, cache: dense.DenseCache) -> dense.DenseGrads:
    dx, dweight, dbias = dense.backward(xp, dy, cache)
    return dense.DenseGrads(dx, dweight, None if dbias is None else _through(xp, _over_tokens(xp, dy), dy.dtype))


VARIANTS: dict[str, dict[str, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    "wide-activations": {"bias_activation": (_activation, _activation_back)},
    "flash": {"attention": (_attention, _attention_back)},
    "narrow": {
        "layer_norm": (_norm, _norm_back),
        "dropout_add_norm": (_add_norm, _add_norm_back),
        "cross_entropy": (_loss, cross_entropy.backward),
        "decoder_cross_entropy": (_decoder_loss, _decoder_loss_back),
        "dense": (dense.forward, _dense_back),
    },
    "narrow-sums": {"embedding": (embedding.forward, _table_back)},
    "stepwise-norms": {"layer_norm": (_stepwise, _norm_back), "dropout_add_norm": (_add_norm, _add_norm_back)},
}


def arithmetics(precision: str, count: int, *, composed: frozenset[str] = frozenset()) -> list[Arithmetic]:
    """`count` correct implementations in a precision, as different as the free choices allow, the most telling first.
    `composed`: "activations", "norms" or both, which are computed step by step instead of being rounded once.

    Rounding to the nearest half gives nearly the same errors whatever the order of sums, so halves are mostly rounded
    by chance: a sample of equal members says little.
    """
    plain = frozenset({"wide-activations"} if "activations" not in composed else ())
    if "norms" in composed:
        plain |= {"stepwise-norms"}
    flash, narrow = plain | {"flash"}, plain | {"narrow"}
    sums = narrow | {"narrow-sums"}
    if precision.endswith("float16"):
        choices = [
            ("nearest", "native", False, narrow), ("stochastic", "permuted", True, sums | flash),
            ("stochastic", "sequential", True, sums), ("stochastic", "native", False, plain),
            ("nearest", "permuted", True, flash), ("stochastic", "permuted", False, narrow | flash),
        ]  # fmt: skip
    else:
        choices = [
            ("nearest", "permuted", True, flash), ("nearest", "sequential", True, plain),
            ("nearest", "native", False, plain), ("stochastic", "permuted", False, flash),
            ("nearest", "permuted", False, flash), ("stochastic", "native", True, plain),
        ]  # fmt: skip
    if precision == "float64":  # the plain one is the reference itself
        choices.pop(2)
    return [Arithmetic(precision, *choices[i % len(choices)], seed=i) for i in range(count)]
