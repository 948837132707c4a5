"""Addition of two arrays of one shape: the residual connection, and the sum of the embeddings.

    y = a + b        da = dy        db = dy

Source: He et al. 2016; Vaswani et al. 2017, section 3.1.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from .op import Op


class AddCache(NamedTuple):
    """Nothing: the derivative of a sum does not depend on its terms."""


class AddGrads(NamedTuple):
    """a and b, both the shape of the sum. Neither is ever changed in place, so they may share memory."""

    a: Array
    b: Array


def forward(xp: Namespace, a: Array, b: Array) -> tuple[Array, AddCache]:
    """a and b of one shape -> y of that shape."""
    return a + b, AddCache()


def backward(xp: Namespace, dy: Array, cache: AddCache) -> AddGrads:
    """dy -> gradients of a and b."""
    # y = a + b
    return AddGrads(dy, dy)


add = Op("add", forward, backward)
