"""The masked language model, at the masked positions only.

    transform = layer_norm(activation(x[positions] Wᵀ + b))        (N, E)
    logits    = transform Eᵀ + bias                                (N, V)

Here E is the word embeddings (V, E) (the decoder is tied), or `cls.predictions.decoder.weight` (V, E) where a model has
a decoder of its own; their width is H unless the embeddings are factorised.

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_masked_lm_output`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..arrays import Array
from ..layers import Settings
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe, padded
from ..row import ACTIVATION, DENSE, GATHER, LAYER_NORM, Parameter, TensorRow, weight_and_bias
from .head import Head, Use

WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
TRANSFORM = "cls.predictions.transform."
DECODER_BIAS = "cls.predictions.bias"
DECODER = "cls.predictions.decoder.weight"
"""(V, E), only where it is not tied to the word embeddings."""


class TransformCache(NamedTuple):
    """The caches of the four ops in order."""

    gather: Any
    dense: Any
    activation: Any
    norm: Any


def decoder_name(params: Mapping[str, Array]) -> str:
    """The parameter that the decoder compares with: its own table if the model has one, else the word embeddings."""
    return DECODER if DECODER in params else WORD_EMBEDDINGS


def transform_forward(
    ops: OpSet,
    params: dict[str, Array],
    sequence: Array,
    positions: Array,
    settings: Settings,
    probe: Probe | None = None,
) -> tuple[Array, TransformCache]:
    """sequence (T, H), positions (N) rows of it -> the vectors that the decoder compares with every word, (N, E)."""
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
    """dy (N, E) -> gradient of the sequence (T, H) and of the transform's parameters."""
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
    logits, _ = ops.dense.forward(transformed, params[decoder_name(params)], params[DECODER_BIAS])
    if probe:
        probe.array("mlm.logits", logits)
    return logits


def _answer(
    ops: OpSet, params: dict[str, Array], sequence: Array, settings: Settings, layout: Layout, probe: Probe | None
) -> dict[str, Array]:
    every = ops.xp.arange(layout.batch * layout.length)
    logits = masked_lm_logits(ops, params, sequence, every, settings, probe)
    return {"prediction_logits": padded(ops.xp, logits, layout)}


MASKED_LM = Head(
    name="masked_lm",
    parameters={
        DECODER_BIAS: ("V",),
        TRANSFORM + "dense.weight": ("E", "H"),
        TRANSFORM + "dense.bias": ("E",),
        TRANSFORM + "LayerNorm.weight": ("E",),
        TRANSFORM + "LayerNorm.bias": ("E",),
    },
    architectures=("BertForMaskedLM",),
    pooler=False,
    task="fill-mask",
    use=Use("fill masks", '"The [MASK] sat down."'),
    outputs=("prediction_logits",),
    forward=transform_forward,
    backward=transform_backward,
    answer=_answer,
    rows=(
        TensorRow("mlm.dense", "dense", ("{x}",), weight_and_bias(TRANSFORM + "dense", "mlm.dense"), "B P H",
                  "predictions", "mlm.dense", (GATHER, DENSE), TRANSFORM + "dense", ("masked_lm_positions",)),
        TensorRow("mlm.act", "activation", ("mlm.dense",), (), "B P H", "predictions", "mlm.act", (ACTIVATION,)),
        TensorRow("mlm.transform", "layer_norm", ("mlm.act",), weight_and_bias(TRANSFORM + "LayerNorm", "mlm.norm"),
                  "B P H", "predictions", "mlm.transform", (LAYER_NORM,), TRANSFORM.removesuffix(".")),
        TensorRow("mlm.logits", "decoder", ("mlm.transform",),
                  (Parameter(WORD_EMBEDDINGS, "word"), Parameter(DECODER_BIAS, "mlm.bias")), "B P V", "predictions",
                  "mlm.logits", (DENSE,), "cls.predictions"),
    ),
    tensorflow={DECODER_BIAS: "cls/predictions/output_bias"},
)  # fmt: skip
