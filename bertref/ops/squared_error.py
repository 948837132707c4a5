"""Squared error, the loss of a regression such as STS-B's similarity.

    loss = Σ_n (x_n - t_n)² / d
    dx_n = 2 dloss (x_n - t_n) / d

d is the number of examples of the whole batch.

Edge cases: no row at all gives 0; a NaN gives NaN; the sum is taken in at least float32.

Source: Devlin et al. 2019, appendix B.1 (STS-B); Hugging Face, `MSELoss` with one label.
"""

from typing import NamedTuple

from ..arrays import Array, Namespace
from ._wide import wide
from .op import Op


class SquaredErrorCache(NamedTuple):
    """The difference, which is the derivative but for a factor; the predictions only for their dtype."""

    difference: Array
    denominator: Array
    predictions: Array


class SquaredErrorGrads(NamedTuple):
    """predictions (N); targets and denominator are data."""

    predictions: Array


def forward(xp: Namespace, predictions: Array, targets: Array, denominator: Array) -> tuple[Array, SquaredErrorCache]:
    """predictions (N), targets (N), denominator () -> loss ()."""
    difference = wide(xp, predictions) - targets
    loss = xp.sum(difference * difference) / denominator
    return loss, SquaredErrorCache(difference, denominator, predictions)


def backward(xp: Namespace, dy: Array, cache: SquaredErrorCache) -> SquaredErrorGrads:
    """dy (), the gradient of the loss -> gradient of the predictions."""
    # loss = sum(difference**2) / denominator
    gradient = 2 * dy * cache.difference / cache.denominator
    return SquaredErrorGrads(xp.astype(gradient, cache.predictions.dtype, copy=False))


squared_error = Op("squared_error", forward, backward)
