"""Faster pairs for ops on NumPy arrays, each checked against the reference pair that it replaces.

A kernel takes an op's arguments and returns what the op returns; its cache is its own. Work is cut into blocks of rows
that stay in the cache of a core while every pass over them is made, written into memory that is used again
(`buffers`), and shared among threads (`threads`).
"""

from ....ops.op import Kernel
from . import add, attention, decoder, dense, embedding, gelu, norm, packing
from .update import UPDATES

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        add.add,
        attention.attention,
        decoder.decoder_cross_entropy,
        dense.dense,
        embedding.embedding,
        gelu.bias_activation,
        norm.dropout_add_norm,
        norm.layer_norm,
        packing.pack,
        packing.unpack,
    )
}

__all__ = ["KERNELS", "UPDATES"]
