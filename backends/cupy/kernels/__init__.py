"""Faster pairs for ops on CuPy arrays: CUDA files, and the host side that launches them.

Nothing here imports CuPy: the host side works on a `Device`, which is CuPy's or a test's.
"""

from ....ops.op import Kernel
from . import attention, decoder, dense, gelu, norm, rows
from .device import Device
from .update import updates

__all__ = ["kernels", "updates"]

MAKERS = (
    attention.attention,
    decoder.decoder_cross_entropy,
    dense.dense,
    gelu.bias_activation,
    norm.dropout_add_norm,
    norm.layer_norm,
    rows.embedding,
    rows.gather,
    rows.pack,
    rows.unpack,
)


def kernels(device: Device) -> dict[str, Kernel]:
    """All kernels on a device, by the op that each replaces."""
    made = [make(device) for make in MAKERS]
    return {kernel.name: kernel for kernel in made}
