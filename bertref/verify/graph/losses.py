"""What verify computes for the losses in the network's table: each formula and its gradient written out, a second time
beside the objectives.

    cross entropy      Σ_n w_n (log Σ_c exp x_nc - x_n,label_n) / N      w (softmax(x) - [c = label]) / N
    squared error      Σ (x - y)² / N                                    2 (x - y) / N
    binary             Σ (log(1 + exp x) - y x) / N                      (σ(x) - y) / N
    span               the mean of two cross entropies over a row's real tokens, one for each end of the answer
    inner product      Σ u ∘ x, so that u is the gradient of x

A row whose label is negative, and a span that lies outside of its row, count for nothing, in the denominator, too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...row import TensorRow
from ..records import Case
from .contribution import Contribution
from .poolings import PoolingArithmetic

Values = Any


class LossArithmetic(PoolingArithmetic):
    """The methods are named after the ops of the rows, as those of `RowArithmetic`, whose part this is."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.batch.attention_mask.astype(bool), case.targets)
        self._case = case

    # -- cross entropies -----------------------------------------------------------------------------------------------

    def _counted(self, row: TensorRow) -> tuple[Values, Values]:
        """The right classes (N), and the share that each row's term has of the loss (N)."""
        labels = self._case.given(row.arguments[0]).reshape(-1).astype(np.int64)
        weights = (labels >= 0).astype(np.float64)
        total = weights.sum()
        if len(row.arguments) > 1:
            weights = self._case.given(row.arguments[1]).reshape(-1).astype(np.float64)
            total = weights.sum() + self._case.numerics.mlm_denominator_epsilon
        return np.maximum(labels, 0), weights / (total or 1.0)

    def _mean_cross_entropy(self, row: TensorRow) -> Contribution:
        labels, shares = self._counted(row)
        return Contribution(row.inputs, lambda x: _cross_entropy(_rows(x), labels, shares))

    def _mean_cross_entropy_back(self, row: TensorRow, i: int) -> Contribution:
        labels, shares = self._counted(row)

        def back(d: Values, x: Values) -> Values:
            return d * _cross_entropy_slope(_rows(x), labels, shares).reshape(x.shape)

        return Contribution((f"grad:{row.name}", *row.inputs), back)

    _weighted_cross_entropy, _weighted_cross_entropy_back = _mean_cross_entropy, _mean_cross_entropy_back

    def _ends(self, row: TensorRow) -> tuple[list[Values], Values]:
        """The columns (B) of the two ends, and the share that each row has of the loss (B)."""
        ends = [self._case.given(name).astype(np.int64) for name in row.arguments]
        B, S = self._tokens.shape
        held = [np.clip(end, 0, S - 1) for end in ends]
        inside = [(h == end) & self._tokens[np.arange(B), h] for h, end in zip(held, ends, strict=True)]
        both = (inside[0] & inside[1]).astype(np.float64)
        return held, both / (2 * (both.sum() or 1.0))

    def _of_tokens(self, x: Values, column: int) -> Values:
        """The logits of one end, (B, S); no answer begins or ends in padding. A row without tokens keeps its own."""
        real = self._tokens | ~self._tokens.any(axis=1, keepdims=True)
        return np.where(real, x[:, :, column], -np.inf)

    def _span_cross_entropy(self, row: TensorRow) -> Contribution:
        ends, shares = self._ends(row)
        return Contribution(
            row.inputs,
            lambda x: sum(_cross_entropy(self._of_tokens(x, c), end, shares) for c, end in enumerate(ends)),
        )

    def _span_cross_entropy_back(self, row: TensorRow, i: int) -> Contribution:
        ends, shares = self._ends(row)

        def back(d: Values, x: Values) -> Values:
            slopes = [_cross_entropy_slope(self._of_tokens(x, c), end, shares) for c, end in enumerate(ends)]
            return d * np.stack(slopes, axis=-1)

        return Contribution((f"grad:{row.name}", *row.inputs), back)

    # -- numbers -------------------------------------------------------------------------------------------------------

    def _compared(self, row: TensorRow, each: Callable[[Values, Values], Values]) -> Callable[[Values], Values]:
        y = self._case.given(row.arguments[0]).astype(np.float64)
        return lambda x: each(x, y) / y.size

    def _loss_of(self, row: TensorRow, each: Callable[[Values, Values], Values]) -> Contribution:
        compared = self._compared(row, each)
        return Contribution(row.inputs, lambda x: compared(x).sum())

    def _slope_of(self, row: TensorRow, each: Callable[[Values, Values], Values]) -> Contribution:
        compared = self._compared(row, each)
        return Contribution((f"grad:{row.name}", *row.inputs), lambda d, x: d * compared(x))

    def _mean_squared_error(self, row: TensorRow) -> Contribution:
        return self._loss_of(row, lambda x, y: (x - y) ** 2)

    def _mean_squared_error_back(self, row: TensorRow, i: int) -> Contribution:
        return self._slope_of(row, lambda x, y: 2 * (x - y))

    def _mean_binary_cross_entropy(self, row: TensorRow) -> Contribution:
        return self._loss_of(row, lambda x, y: np.logaddexp(0, x) - y * x)

    def _mean_binary_cross_entropy_back(self, row: TensorRow, i: int) -> Contribution:
        return self._slope_of(row, lambda x, y: 0.5 * (1 + np.tanh(x / 2)) - y)

    # -- given gradients -----------------------------------------------------------------------------------------------

    def _inner_product(self, row: TensorRow) -> Contribution:
        given = [self._case.given(name).astype(np.float64) for name in row.arguments]

        def total(*values: Values) -> Values:
            return sum(np.sum(u * x) for u, x in zip(given, values, strict=True))

        def terms(*values: Values) -> Values:
            return sum(np.sum(u * u * x) for u, x in zip(given, values, strict=True))

        return Contribution(row.inputs, total, "", terms, True)

    def _inner_product_back(self, row: TensorRow, i: int) -> Contribution:
        given = self._case.given(row.arguments[i]).astype(np.float64)
        return Contribution((f"grad:{row.name}",), lambda d: d * given)


def _rows(x: Values) -> Values:
    return x.reshape(-1, x.shape[-1])


def _log_softmax(x: Values) -> Values:
    """Of rows (N, C)."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _cross_entropy(x: Values, labels: Values, shares: Values) -> Values:
    """x (N, C), labels and shares (N) -> ()."""
    right = _log_softmax(x)[np.arange(len(labels)), labels]
    return -np.sum(np.where(shares > 0, right, 0.0) * shares)


def _cross_entropy_slope(x: Values, labels: Values, shares: Values) -> Values:
    """The gradient of `_cross_entropy` by x, (N, C)."""
    slope = np.exp(_log_softmax(x))
    slope[np.arange(len(labels)), labels] -= 1.0
    return np.where(shares[:, None] > 0, slope, 0.0) * shares[:, None]
