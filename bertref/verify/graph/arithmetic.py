"""What verify computes for each kind of op in the network's table, in float64 on NumPy: the tensor, and the gradients.

The table (`topology`) says what is made from what; here stands how, a second time: products, sums, gathers, the
gradients of dense layers, of attention and of sums are written out. Norm, softmax and activation call the reference's
ops, whose own tests hold them against exact arithmetic, and so do the ways of attention heads and of the mask. The
losses are `losses`'.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...backends import get
from ...layers import Settings
from ...ops import OPS, attention, layer_norm
from ...ops.bias_activation import ACTIVATIONS
from ...row import TensorRow
from ..records import Case
from .contribution import Contribution, summed
from .losses import LossArithmetic

Values = Any


class RowArithmetic(LossArithmetic):
    """A case's numbers. `params` are the weights that it computes with, `gain` multiplies 1/√D; without `padding_row`
    words at padded positions get no gradient, as with torch's `padding_idx`. The methods are named
    after the ops: `_NAME` makes the tensor, `_NAME_back` the gradient of an input, `_NAME_grad` that of a parameter.

    `forward(row)` makes the tensor, `backward(row, i)` the gradient that its input i gets through it, and
    `parameter(row, i)` the gradient that its parameter i gets.
    """

    def __init__(
        self, case: Case, params: Mapping[str, Values], gain: float = 1.0, *, padding_row: bool = True
    ) -> None:
        super().__init__(case)
        self._p, self._batch, self._padding_row = params, case.batch, padding_row
        self._s = Settings(case.config, case.numerics)
        self.scale = self._s.scale * gain
        self._xp = get("numpy").xp
        self._mask = case.batch.attention_mask.astype(bool)
        B, S = self._mask.shape
        self._predicted = (np.arange(B)[:, None] * S + case.batch.masked_lm_positions).reshape(-1).astype(np.int64)
        self._first, self._choices = np.arange(B) * S, case.choices

    def forward(self, row: TensorRow) -> Contribution:
        make: Callable[[TensorRow], Contribution] = getattr(self, f"_{row.op}")
        return make(row)

    def backward(self, row: TensorRow, i: int) -> Contribution:
        make: Callable[[TensorRow, int], Contribution] = getattr(self, f"_{row.op}_back")
        return make(row, i)

    def parameter(self, row: TensorRow, i: int) -> Contribution:
        make: Callable[[TensorRow, int], Contribution] = getattr(self, f"_{row.op}_grad")
        return make(row, i)

    # -- lookups and sums ----------------------------------------------------------------------------------------------

    def ids(self, row: TensorRow) -> Values:
        """The rows of its table that a lookup takes, (B, S)."""
        match row.arguments:
            case ("positions",):
                return np.broadcast_to(np.arange(self._mask.shape[1]), self._mask.shape)
            case ("positions_from_padding",):
                padding = self._s.config.pad_token_id
                real = self._batch.input_ids != padding
                return np.where(real, np.cumsum(real, axis=1), 0) + padding
        return getattr(self._batch, row.arguments[0])

    def _lookup(self, row: TensorRow) -> Contribution:
        name, at = row.parameters[0].name, self.ids(row)
        return Contribution((), lambda: np.take(self._p[name], at, axis=0))

    def _lookup_grad(self, row: TensorRow, i: int) -> Contribution:
        name, at = row.parameters[i].name, self.ids(row)
        left_out = row.arguments in (("input_ids",), ("positions_from_padding",)) and not self._padding_row

        def spread(d: Values) -> Values:
            d = np.where(self._mask[..., None], d, 0) if left_out else d
            table = np.zeros(self._p[name].shape)
            np.add.at(table, np.asarray(at).reshape(-1), _rows(d))
            return table

        return Contribution((f"grad:{row.name}",), spread)

    def _add(self, row: TensorRow) -> Contribution:
        def total(first: Values, *others: Values) -> Values:
            for other in reversed(others):  # as the model adds up: words, token types, positions
                first = first + other
            return first

        return Contribution(row.inputs, total)

    def _add_back(self, row: TensorRow, i: int) -> Contribution:
        return Contribution((f"grad:{row.name}",), lambda d: d, linear=True)

    _residual, _residual_back = _add, _add_back

    # -- dense layers --------------------------------------------------------------------------------------------------

    def _read(self, row: TensorRow) -> Callable[[Values], Values]:
        """What of its input a dense layer reads."""
        match row.arguments:
            case ("first_token",):
                return lambda x: x[:, 0]
            case ("masked_lm_positions",):
                return lambda x: _rows(x)[self._predicted]
        return lambda x: x

    def _written(self, row: TensorRow, d: Values) -> Values:
        """The gradient of what was read, where it was read, and 0 elsewhere."""
        if not row.arguments:
            return d
        at = self._first if row.arguments == ("first_token",) else self._predicted
        rows = np.zeros((self._mask.size, d.shape[-1]))
        np.add.at(rows, at, _rows(d))
        return rows.reshape(*self._mask.shape, -1)

    def _dense(self, row: TensorRow) -> Contribution:
        read, (weight, bias) = self._read(row), (name for name, _ in row.parameters)
        shape = (*self._batch.masked_lm_positions.shape, -1) if row.arguments == ("masked_lm_positions",) else None
        shape = (-1, self._choices) if row.axes == "B C" else shape

        def compute(x: Values) -> Values:
            y = times(read(x), self._p[weight].T) + self._p[bias]
            return y if shape is None else y.reshape(shape)

        return summed(row.inputs, compute)

    def _dense_back(self, row: TensorRow, i: int) -> Contribution:
        weight = row.parameters[0].name
        return summed(
            (f"grad:{row.name}",), lambda d: self._written(row, times(self._column(row, d), self._p[weight]))
        )

    def _column(self, row: TensorRow, d: Values) -> Values:
        """The choices of a question, one under the other, as the dense layer made them."""
        return d.reshape(-1, 1) if row.axes == "B C" else d

    def _dense_grad(self, row: TensorRow, i: int) -> Contribution:
        read, dy = self._read(row), f"grad:{row.name}"
        if i:
            return summed((dy,), lambda d: _rows(self._column(row, d)).sum(axis=0))
        return summed((dy, *row.inputs), lambda d, x: _rows(self._column(row, d)).T @ _rows(read(x)))

    _decoder, _decoder_back = _dense, _dense_back

    def _decoder_grad(self, row: TensorRow, i: int) -> Contribution:
        """As a dense layer's; the bias's elements are judged by their own size, not by their terms."""
        part = self._dense_grad(row, i)
        return part._replace(terms=None, linear=False) if i else part

    # -- norms and activations -----------------------------------------------------------------------------------------

    def _normed(self, row: TensorRow, x: Values) -> tuple[Values, Any]:
        gamma, beta = (self._p[name] for name, _ in row.parameters)
        return layer_norm.forward(self._xp, x, gamma, beta, eps=self._s.eps)

    def _layer_norm(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, lambda x: self._normed(row, x)[0])

    def _layer_norm_back(self, row: TensorRow, i: int) -> Contribution:
        return self._norm_gradient(row, "x")

    def _layer_norm_grad(self, row: TensorRow, i: int) -> Contribution:
        if i:
            return Contribution((f"grad:{row.name}",), lambda d: _rows(d).sum(axis=0))
        return self._norm_gradient(row, "gamma")

    def _norm_gradient(self, row: TensorRow, field: str) -> Contribution:
        def back(dy: Values, x: Values) -> Values:
            return getattr(layer_norm.backward(self._xp, dy, self._normed(row, x)[1]), field)

        return Contribution((f"grad:{row.name}", *row.inputs), back)

    def _activation(self, row: TensorRow) -> Contribution:
        op = ACTIVATIONS[self._s.activation]
        return Contribution(row.inputs, lambda x: op.forward(self._xp, x)[0], row.inputs[0])

    def _activation_back(self, row: TensorRow, i: int) -> Contribution:
        """Its squared terms: the slope is a sum of terms of about 1, as small as it may be."""
        op = ACTIVATIONS[self._s.activation]

        def back(dy: Values, x: Values) -> Values:
            return op.backward(self._xp, dy, op.forward(self._xp, x)[1]).x

        return Contribution((f"grad:{row.name}", *row.inputs), back, row.inputs[0], lambda d, _: d)

    def _tanh(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, np.tanh, row.inputs[0])

    def _tanh_back(self, row: TensorRow, i: int) -> Contribution:
        return Contribution((f"grad:{row.name}", row.name), lambda d, y: d * (1 - y * y), row.name)

    def _relu(self, row: TensorRow) -> Contribution:
        return Contribution(row.inputs, lambda x: np.maximum(x, 0), row.inputs[0])

    def _relu_back(self, row: TensorRow, i: int) -> Contribution:
        return Contribution((f"grad:{row.name}", row.name), lambda d, y: np.where(y > 0, d, 0), row.name)

    # -- attention -----------------------------------------------------------------------------------------------------

    def _heads(self, x: Values) -> Values:
        return attention.split_heads(self._xp, x, self._s.config.num_attention_heads)

    def _merged(self, x: Values) -> Values:
        return attention.merge_heads(self._xp, x)

    def _scores(self, row: TensorRow) -> Contribution:
        scale = self.scale
        return summed(row.inputs, lambda q, k: self._heads(q) @ self._heads(k).swapaxes(-1, -2) * scale)

    def _scores_back(self, row: TensorRow, i: int) -> Contribution:
        scale, inputs = self.scale, (f"grad:{row.name}", row.inputs[1 - i])
        if i:
            return summed(inputs, lambda d, q: self._merged(d.swapaxes(-1, -2) @ self._heads(q)) * scale)
        return summed(inputs, lambda d, k: self._merged(d @ self._heads(k)) * scale)

    def _masked_softmax(self, row: TensorRow) -> Contribution:
        def probs(scores: Values) -> Values:
            masked = attention.add_mask(self._xp, scores, self._mask, self._s.numerics.mask_value)
            return OPS["softmax"].forward(self._xp, masked)[0]

        return Contribution(row.inputs, probs)

    def _masked_softmax_back(self, row: TensorRow, i: int) -> Contribution:
        return Contribution(
            (f"grad:{row.name}", row.name),
            lambda d, y: y * (d - np.sum(d * y, axis=-1, keepdims=True)), "",
            lambda d, y: y * (d + np.sum(d * y, axis=-1, keepdims=True)),
        )  # fmt: skip

    def _context(self, row: TensorRow) -> Contribution:
        return summed(row.inputs, lambda probs, value: self._merged(probs @ self._heads(value)))

    def _context_back(self, row: TensorRow, i: int) -> Contribution:
        inputs = (f"grad:{row.name}", row.inputs[1 - i])
        if i:
            return summed(inputs, lambda d, probs: self._merged(probs.swapaxes(-1, -2) @ self._heads(d)))
        return summed(inputs, lambda d, value: self._heads(d) @ self._heads(value).swapaxes(-1, -2))


def times(x: Values, matrix: Values) -> Values:
    """x @ matrix as one product of two matrices: a stack of products would go through the matrix once for each."""
    return (_rows(x) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _rows(x: Values) -> Values:
    return x.reshape(-1, x.shape[-1])
