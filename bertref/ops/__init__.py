"""The reference: every operation of BERT, forward and backward, one file each. `OPS` lists them all.

`bertref.ops.layer_norm` is the file; `bertref.ops.layer_norm.layer_norm` is the op (its `forward` and `backward`).
"""

from . import (
    add,
    attention,
    bias_activation,
    binary_cross_entropy,
    cosine,
    cross_entropy,
    decoder_cross_entropy,
    dense,
    dropout,
    dropout_add_norm,
    embedding,
    gather,
    gelu_erf,
    gelu_tanh,
    kl_divergence,
    layer_norm,
    log_softmax,
    packing,
    relu,
    soft_cross_entropy,
    softmax,
    span_cross_entropy,
    squared_error,
    tanh,
)
from .op import AnyOp, Op

OPS: dict[str, AnyOp] = {
    op.name: op
    for op in (
        dense.dense,
        embedding.embedding,
        layer_norm.layer_norm,
        gelu_erf.gelu_erf,
        gelu_tanh.gelu_tanh,
        tanh.tanh,
        relu.relu,
        softmax.softmax,
        log_softmax.log_softmax,
        dropout.dropout,
        add.add,
        gather.gather,
        packing.pack,
        packing.unpack,
        cross_entropy.cross_entropy,
        span_cross_entropy.span_cross_entropy,
        squared_error.squared_error,
        binary_cross_entropy.binary_cross_entropy,
        soft_cross_entropy.soft_cross_entropy,
        kl_divergence.kl_divergence,
        cosine.cosine,
        # compositions of the above, which a fused kernel may replace
        attention.attention,
        bias_activation.bias_activation,
        dropout_add_norm.dropout_add_norm,
        decoder_cross_entropy.decoder_cross_entropy,
    )
}

__all__ = ["OPS", "AnyOp", "Op"]
