"""The gradients of a formula, by going back through what NumPy did.

A hypothesis says in NumPy what somebody computed; what its way back is follows from that, and isn't written down a
second time. An array in a formula is replaced by a `Traced` one, which keeps how it was made; the formula's result then
hands its gradient back, one operation after the other, each multiplied by that one's derivative. What is listed here
can be gone back through; anything else raises `NotTraced`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Values = Any
Pull = Callable[[Values], Values]
"""From the gradient of a result to that of what it was made of."""


class NotTraced(TypeError):
    """An operation whose derivative isn't listed."""


class Traced(NDArrayOperatorsMixin):
    """An array, and the arrays that it was made of, each with its `Pull`."""

    def __init__(self, value: Values, made_of: Sequence[tuple["Traced", Pull]] = ()) -> None:
        self.value, self.made_of = np.asarray(value, np.float64), tuple(made_of)

    # -- what arrays have ----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def T(self) -> "Traced":  # noqa: N802
        return self.transpose()

    def __len__(self) -> int:
        return len(self.value)

    def __getattr__(self, name: str) -> Any:
        """Whatever else arrays have. Names of the language's own are asked for by NumPy, and mean nothing."""
        raise AttributeError(name) if name.startswith("__") else NotTraced(name)

    def __array__(self, *_: Any, **__: Any) -> Values:
        raise NotTraced("made an array of")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> "Traced":
        slopes = UFUNCS.get(ufunc.__name__)
        if slopes is None or method != "__call__" or options:
            raise NotTraced(ufunc.__name__)
        values = [_value(one) for one in inputs]
        if ufunc is np.matmul and min(map(np.ndim, values)) < 2:
            raise NotTraced("matmul of a vector")
        made = ufunc(*values)
        traced = [(i, one) for i, one in enumerate(inputs) if isinstance(one, Traced)]
        return Traced(made, [(one, _pulled(slopes[i], made, values, one.shape)) for i, one in traced])

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> "Traced":
        made = FUNCTIONS.get(function.__name__)
        if made is None:
            raise NotTraced(function.__name__)
        return made(*args, **options)

    def __getitem__(self, at: Any) -> "Traced":
        def back(d: Values) -> Values:
            whole = np.zeros(self.shape)
            np.add.at(whole, at, d)
            return whole

        return Traced(self.value[at], [(self, back)])

    def reshape(self, *shape: Any) -> "Traced":
        return Traced(self.value.reshape(*shape), [(self, lambda d: d.reshape(self.shape))])

    def ravel(self) -> "Traced":
        return self.reshape(-1)

    def transpose(self, *axes: int) -> "Traced":
        order = axes or tuple(reversed(range(self.ndim)))
        return Traced(self.value.transpose(order), [(self, lambda d: d.transpose(np.argsort(order)))])

    def swapaxes(self, a: int, b: int) -> "Traced":
        return Traced(self.value.swapaxes(a, b), [(self, lambda d: d.swapaxes(a, b))])

    def sum(self, axis: Any = None, keepdims: bool = False) -> "Traced":
        def back(d: Values) -> Values:
            return np.broadcast_to(d if keepdims or axis is None else np.expand_dims(d, axis), self.shape)

        return Traced(self.value.sum(axis=axis, keepdims=keepdims), [(self, back)])

    def mean(self, axis: Any = None, keepdims: bool = False) -> "Traced":
        total = self.sum(axis, keepdims)
        return _times(total, total.size / self.size)

    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> "Traced":
        squares: Traced = np.square(self - self.mean(axis, True)).sum(axis, keepdims)
        return _times(squares, 1 / (self.size // squares.size - ddof))

    def max(self, axis: Any = None, keepdims: bool = False) -> "Traced":
        """Where several are the largest, each has a share."""
        top = self.value.max(axis=axis, keepdims=True)
        largest = self.value == top
        share = largest / largest.sum(axis=axis, keepdims=True)

        def back(d: Values) -> Values:
            return share * (d if keepdims or axis is None else np.expand_dims(d, axis))

        return Traced(self.value.max(axis=axis, keepdims=keepdims), [(self, back)])


def _times(x: Traced, factor: float) -> Traced:
    return Traced(x.value * factor, [(x, lambda d: d * factor)])


def _value(one: Any) -> Values:
    return one.value if isinstance(one, Traced) else one


# -- ufuncs ------------------------------------------------------------------------------------------------------------

Slope = Callable[..., Values]
"""`slope(d, y, *inputs)`: the gradient of an input, before it is summed to the input's shape."""


def _pulled(slope: Slope, made: Values, values: list[Values], shape: tuple[int, ...]) -> Pull:
    return lambda d: _summed_to(shape, slope(d, made, *values))


def _summed_to(shape: tuple[int, ...], d: Values) -> Values:
    """The gradient of what was broadcast."""
    d = np.asarray(d)
    d = d.sum(axis=tuple(range(d.ndim - len(shape))))
    return d.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and d.shape[i] > 1), keepdims=True)


def _turned(x: Values) -> Values:
    return np.swapaxes(x, -1, -2)


UFUNCS: dict[str, tuple[Slope, ...]] = {
    "add": (lambda d, y, a, b: d, lambda d, y, a, b: d),
    "subtract": (lambda d, y, a, b: d, lambda d, y, a, b: -d),
    "multiply": (lambda d, y, a, b: d * b, lambda d, y, a, b: d * a),
    "divide": (lambda d, y, a, b: d / b, lambda d, y, a, b: -d * y / b),
    "matmul": (lambda d, y, a, b: d @ _turned(b), lambda d, y, a, b: _turned(a) @ d),
    "power": (lambda d, y, a, b: d * b * a ** (b - 1),),
    "negative": (lambda d, y, a: -d,),
    "square": (lambda d, y, a: 2 * d * a,),
    "sqrt": (lambda d, y, a: d / (2 * y),),
    "exp": (lambda d, y, a: d * y,),
    "log": (lambda d, y, a: d / a,),
    "tanh": (lambda d, y, a: d * (1 - y * y),),
    "absolute": (lambda d, y, a: d * np.sign(a),),
    "maximum": (lambda d, y, a, b: d * (a >= b), lambda d, y, a, b: d * (b > a)),
    "logaddexp": (lambda d, y, a, b: d * np.exp(a - y), lambda d, y, a, b: d * np.exp(b - y)),
}
"""By name: the slopes along each of its inputs; in float64."""


# -- functions ---------------------------------------------------------------------------------------------------------


def _where(condition: Values, a: Any, b: Any) -> Traced:
    def from_side(one: Traced, side: Values) -> Pull:
        return lambda d: _summed_to(one.shape, d * side)

    sides = ((a, np.asarray(condition)), (b, ~np.asarray(condition)))
    made = np.where(condition, _value(a), _value(b))
    return Traced(made, [(one, from_side(one, side)) for one, side in sides if isinstance(one, Traced)])


def _stack(parts: Sequence[Any], axis: int = 0) -> Traced:
    def part(i: int) -> Pull:
        return lambda d: np.take(d, i, axis)

    made = np.stack([_value(one) for one in parts], axis)
    return Traced(made, [(one, part(i)) for i, one in enumerate(parts) if isinstance(one, Traced)])


def _concatenate(parts: Sequence[Any], axis: int = 0) -> Traced:
    def part(end: int, size: int) -> Pull:
        return lambda d: np.take(d, np.arange(end - size, end), axis)

    sizes = [one.shape[axis] for one in parts]
    cut = [part(end, size) for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True)]
    made = np.concatenate([_value(one) for one in parts], axis)
    return Traced(made, [(one, pull) for one, pull in zip(parts, cut, strict=True) if isinstance(one, Traced)])


def _take_along_axis(x: Traced, at: Values, axis: int) -> Traced:
    index: list[Values] = [np.arange(n).reshape([-1 if i == j else 1 for j in range(x.ndim)])
                           for i, n in enumerate(x.shape)]  # fmt: skip
    index[axis] = at
    return x[tuple(index)]


def _take(x: Traced, at: Values, axis: int) -> Traced:
    if axis != 0:
        raise NotTraced("take")
    return x[np.asarray(at)]


FUNCTIONS: dict[str, Callable[..., Traced]] = {
    "where": _where, "stack": _stack, "concatenate": _concatenate, "take_along_axis": _take_along_axis, "take": _take,
    "sum": Traced.sum, "mean": Traced.mean,
    "broadcast_to": lambda x, shape: x + np.zeros(shape),
}  # fmt: skip


# -- the way back ------------------------------------------------------------------------------------------------------


def rounded(x: Any, value: Callable[[Values], Values]) -> Any:
    """x with other values, as rounding makes them; the gradient goes through as if nothing had been done."""
    return Traced(value(x.value), [(x, lambda d: d)]) if isinstance(x, Traced) else value(x)


def gradient(made: Any, d: Values, of: Traced) -> Values:
    """The gradient of `of` if that of `made`, a formula's result, is d; 0 if nothing of it is in there."""
    if not isinstance(made, Traced):
        return np.zeros(of.shape)
    gradients: dict[int, Values] = {id(made): np.broadcast_to(d, made.shape)}
    for one in reversed(_in_order(made)):
        d = gradients[id(one)] if one is of else gradients.pop(id(one))
        for source, pull in one.made_of:
            back = pull(d)
            gradients[id(source)] = gradients[id(source)] + back if id(source) in gradients else back
    return gradients.get(id(of), np.zeros(of.shape))


def _in_order(made: Traced) -> list[Traced]:
    """Everything that an array was made of, each before what is made of it."""
    found: list[Traced] = []
    seen: set[int] = set()
    open_: list[tuple[Traced, bool]] = [(made, False)]
    while open_:
        one, done = open_.pop()
        if done:
            found.append(one)
        elif id(one) not in seen:
            seen.add(id(one))
            open_.append((one, True))
            open_ += [(source, False) for source, _ in one.made_of]
    return found
