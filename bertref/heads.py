"""The two heads of pre-training.

Masked language model, at the masked positions only:

    transform = layer_norm(activation(x[positions] Wᵀ + b))        (N, H)
    logits    = transform Eᵀ + bias                                (N, V), E = the word embeddings (tied)

Next sentence prediction, on the pooled output:

    logits    = pooled Wᵀ + b                                      (B, 2), class 1 = a random sentence

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_masked_lm_output` and `get_next_sentence_output`.
"""

from typing import Any, NamedTuple

from .arrays import Array
from .layers import Settings
from .opset import OpSet
from .probes import Probe

WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
TRANSFORM = "cls.predictions.transform."
DECODER_BIAS = "cls.predictions.bias"
NEXT_SENTENCE = "cls.seq_relationship."


class TransformCache(NamedTuple):
    """The caches of the four ops in order."""

    gather: Any
    dense: Any
    activation: Any
    norm: Any


def transform_forward(
    ops: OpSet,
    params: dict[str, Array],
    sequence: Array,
    positions: Array,
    settings: Settings,
    probe: Probe | None = None,
) -> tuple[Array, TransformCache]:
    """sequence (T, H), positions (N) rows of it -> the vectors that the decoder compares with every word, (N, H)."""
    rows, gather = ops.gather.forward(sequence, positions)
    product, dense = ops.dense.forward(rows, params[TRANSFORM + "dense.weight"])
    act, activation = ops.bias_activation.forward(
        product, params[TRANSFORM + "dense.bias"], activation=settings.activation,
        probe=probe.inner({"pre": "mlm.dense"}, rows=False) if probe else None,
    )  # fmt: skip
    y, norm = ops.layer_norm.forward(
        act, params[TRANSFORM + "LayerNorm.weight"], params[TRANSFORM + "LayerNorm.bias"], eps=settings.eps
    )
    if probe:
        probe.array("mlm.act", act)
        probe.array("mlm.transform", y)
    return y, TransformCache(gather, dense, activation, norm)


def transform_backward(
    ops: OpSet, dy: Array, cache: TransformCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dy (N, H) -> gradient of the sequence (T, H) and of the transform's parameters."""
    norm = ops.layer_norm.backward(dy, cache.norm)
    activation = ops.bias_activation.backward(
        norm.x, cache.activation, probe=probe.inner({"pre": "mlm.dense"}, rows=False) if probe else None
    )
    dense = ops.dense.backward(activation.x, cache.dense)
    if probe:
        probe.array("mlm.transform", dy)
        probe.array("mlm.act", norm.x)
    grads = {
        TRANSFORM + "dense.weight": dense.weight,
        TRANSFORM + "dense.bias": activation.bias,
        TRANSFORM + "LayerNorm.weight": norm.gamma,
        TRANSFORM + "LayerNorm.bias": norm.beta,
    }
    return ops.gather.backward(dense.x, cache.gather).x, grads


def masked_lm_logits(
    ops: OpSet,
    params: dict[str, Array],
    sequence: Array,
    positions: Array,
    settings: Settings,
    probe: Probe | None = None,
) -> Array:
    """sequence (T, H), positions (N) -> logits (N, V), for prediction; training takes `ops.decoder_cross_entropy`."""
    transformed, _ = transform_forward(ops, params, sequence, positions, settings, probe)
    logits, _ = ops.dense.forward(transformed, params[WORD_EMBEDDINGS], params[DECODER_BIAS])
    if probe:
        probe.array("mlm.logits", logits)
    return logits


def next_sentence_forward(
    ops: OpSet, params: dict[str, Array], pooled: Array, probe: Probe | None = None
) -> tuple[Array, Any]:
    """pooled (B, H) -> logits (B, 2)."""
    logits, cache = ops.dense.forward(pooled, params[NEXT_SENTENCE + "weight"], params[NEXT_SENTENCE + "bias"])
    if probe:
        probe.array("nsp.logits", logits)
    return logits, cache


def next_sentence_backward(
    ops: OpSet, dlogits: Array, cache: Any, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (B, 2) -> gradient of the pooled output and of the head's parameters."""
    if probe:
        probe.array("nsp.logits", dlogits)
    dense = ops.dense.backward(dlogits, cache)
    return dense.x, {NEXT_SENTENCE + "weight": dense.weight, NEXT_SENTENCE + "bias": dense.bias}
