"""What verify computes for the vectors of texts in the network's table, a second time beside the reference's poolings.

    mean             Σ_s m_s x_s / Σ_s m_s                  m d / Σ m
    weighted mean    Σ_s s m_s x_s / Σ_s s m_s, s = 1, 2, ...
    sum over root    Σ_s m_s x_s / √(Σ_s m_s)
    first, last      x_s of one token
    joined           several of these, side by side
    dense            f(x Wᵀ + b), f the identity, tanh or relu
    largest          max_s x_s
    unit length      y = x / |x|                            (d - y (y · d)) / |x|

Over the real tokens of a row, whose mask m is. Those without a gradient here are asked forward only.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...row import TensorRow
from .contribution import Contribution

Values = Any


class PoolingArithmetic:
    """The methods are named after the ops of the rows, as those of `RowArithmetic`, whose part this is. `tokens` (B, S)
    are the real ones, `given` the weights of dense layers on a vector, by name."""

    def __init__(self, tokens: Values, given: Mapping[str, Values]) -> None:
        self._tokens, self._given = tokens, given

    # -- sums over tokens ----------------------------------------------------------------------------------------------

    def _shares(self, weights: Values = 1.0) -> Values:
        """What part of its row's mean each token is, (B, S, 1)."""
        weighted = self._tokens[..., None] * np.asarray(weights, np.float64)
        return weighted / np.maximum(weighted.sum(axis=1, keepdims=True), 1.0)

    def _of_shares(self, row: TensorRow, shares: Values) -> Contribution:
        return Contribution(
            row.inputs, lambda x: np.sum(shares * x, axis=1), "", lambda x: np.sum(shares**2 * x, axis=1), True
        )

    def _mean_of_tokens(self, row: TensorRow) -> Contribution:
        return self._of_shares(row, self._shares())

    def _mean_of_tokens_back(self, row: TensorRow, i: int) -> Contribution:
        shares = self._shares()
        return Contribution((f"grad:{row.name}",), lambda d: shares * d[:, None, :], linear=True)

    def _weighted_mean_of_tokens(self, row: TensorRow) -> Contribution:
        return self._of_shares(row, self._shares(np.arange(1, self._tokens.shape[1] + 1)[:, None]))

    def _sum_over_root(self, row: TensorRow) -> Contribution:
        number = np.maximum(self._tokens.sum(axis=1), 1.0)
        return self._of_shares(row, self._tokens[..., None] / np.sqrt(number)[:, None, None])

    # -- one of them ---------------------------------------------------------------------------------------------------

    def _first_of_tokens(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, lambda x: x[:, 0])

    def _last_of_tokens(self, row: TensorRow) -> Contribution:
        last = np.maximum(self._tokens.sum(axis=1) - 1, 0)
        return Contribution(row.inputs, lambda x: x[np.arange(len(last)), last])

    def _largest_of_tokens(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, lambda x: np.where(self._tokens[..., None], x, -np.inf).max(axis=1))

    def _joined(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, lambda *parts: np.concatenate(parts, axis=-1))

    def _sentence_dense(self, row: TensorRow) -> Contribution:
        name, activation = row.arguments
        weight, bias = (np.asarray(self._given.get(f"{name}.{one}", 0.0), np.float64) for one in ("weight", "bias"))
        if activation == "identity":
            return Contribution(
                row.inputs, lambda x: x @ weight.T + bias, "", lambda x: x @ np.square(weight).T + np.square(bias), True
            )
        if activation == "tanh":
            return Contribution(row.inputs, lambda x: np.tanh(x @ weight.T + bias))
        return Contribution(row.inputs, lambda x: np.maximum(x @ weight.T + bias, 0.0))

    # -- length 1 ------------------------------------------------------------------------------------------------------

    def _unit_length(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, lambda x: x / _length(x))

    def _unit_length_back(self, row: TensorRow, i: int) -> Contribution:
        def back(d: Values, x: Values) -> Values:
            y = x / _length(x)
            return (d - y * np.sum(y * d, axis=-1, keepdims=True)) / _length(x)

        return Contribution((f"grad:{row.name}", *row.inputs), back)


def _length(x: Values) -> Values:
    return np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), 1e-12)
