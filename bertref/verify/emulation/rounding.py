"""Arithmetic of another precision: a namespace `xp` in which every operation rounds its result.

The reference's ops run on it unchanged and so become what a correct implementation in that precision computes. There
is not one such implementation, so an `Arithmetic` names those of its choices that are free:

    rounding   nearest, or up and down by chance
    order      in which the terms of a sum are added: the library's own, permuted, or one after the other
    functions  exp, erf, tanh, log and root are off by up to two units in the last place, smoothly, as the
               polynomials of mathematical libraries are (torch's erf, for one)
    variants   names in `variants.VARIANTS`: ways to compute an op that differ from the reference's and are as right

Products of halves are accumulated in float32, as hardware does. In tf32 the factors of products lose their last 13
bits; in mixed precision (autocast; `bertref.mixed` is what training makes of it) products are computed in the half type
and give it, a bias added to one leaves it there, and everything else follows the usual promotion.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...backends import get
from ...backends.contract import STANDARD
from ...backends.namespace import widened_product
from .formats import FORMATS, TF32, Floats, Format, nearest, stochastic, widest

EXACT = (
    "abs", "broadcast_to", "clip", "concat", "expand_dims", "matrix_transpose", "max", "maximum", "minimum",
    "permute_dims", "reshape", "squeeze", "stack", "take", "take_along_axis", "where",
)  # fmt: skip
"""They choose and move numbers and so can't round."""

YES_OR_NO = ("all", "any", "argmax", "argsort", "equal", "isfinite")
FUNCTIONS = ("exp", "erf", "log", "log1p", "sqrt", "tanh")
ULPS = 2.0
"""Units in the last place by which an emulated library's functions are off at most, as vectorised ones are. Smaller:
right implementations with fast exp, erf or tanh exceed the limit (calibrated as in `judgement.noise_floor`)."""
LONG = 1_000_000
"""Terms from which on a sum's order is drawn for runs of 64 of them: drawing each takes longer and changes nothing."""
LOOPS = 3_000_000
"""Up to so many multiplications a product's terms are really added one after the other; above, their error is drawn.
Larger: a check takes longer; smaller: the errors of small cases are drawn, too, which is less exact."""


@dataclass(frozen=True)
class Arithmetic:
    """One correct implementation's choices. `precision` is one of `records.PRECISIONS`; `seed` draws what is drawn."""

    precision: str
    rounding: str = "nearest"
    order: str = "native"
    functions: bool = False
    variants: frozenset[str] = frozenset()
    seed: int = 0

    @property
    def compute(self) -> Format:
        """What parameters and activations are held in."""
        return FORMATS.get(self.precision, FORMATS["float32"])

    @property
    def products(self) -> Format:
        """What products are computed in."""
        if self.precision == "tf32":
            return TF32
        return FORMATS[self.precision.removeprefix("mixed-")]


class RoundedArray:
    """An array of a format. Operators round; with an integer array or a Python number they keep the format."""

    __array_ufunc__ = None  # NumPy's operators leave mixed arithmetic to ours

    def __init__(self, xp: "RoundedNamespace", values: Floats, dtype: Format) -> None:
        self._xp, self.values, self.dtype = xp, values, dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __getitem__(self, part: slice) -> "RoundedArray":
        return self._xp.wrap(self.values[part], self.dtype)

    def _with(self, other: Any, what: Callable[[Any, Any], Any], swapped: bool = False) -> "RoundedArray":
        xp, mine = self._xp, self.values
        dtype = xp.promoted(self, other) if isinstance(other, RoundedArray) else self.dtype
        theirs = raw(other)
        if not isinstance(theirs, int | float):
            mine, theirs = mine.astype(dtype.held, copy=False), np.asarray(theirs).astype(dtype.held, copy=False)
        result = what(theirs, mine) if swapped else what(mine, theirs)
        return xp.wrap(xp.rounded(np.asarray(result), dtype), dtype)

    def __add__(self, other: Any) -> "RoundedArray":
        return self._with(other, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "RoundedArray":
        return self._with(other, operator.sub)

    def __rsub__(self, other: Any) -> "RoundedArray":
        return self._with(other, operator.sub, swapped=True)

    def __mul__(self, other: Any) -> "RoundedArray":
        return self._with(other, operator.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "RoundedArray":
        return self._with(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> "RoundedArray":
        return self._with(other, operator.truediv, swapped=True)

    def __neg__(self) -> "RoundedArray":
        return self._xp.wrap(-self.values, self.dtype)

    def __eq__(self, other: object) -> Any:
        return self.values == raw(other)

    def __ne__(self, other: object) -> Any:
        return self.values != raw(other)

    def __lt__(self, other: Any) -> Any:
        return self.values < raw(other)

    def __gt__(self, other: Any) -> Any:
        return self.values > raw(other)

    def __le__(self, other: Any) -> Any:
        return self.values <= raw(other)

    def __ge__(self, other: Any) -> Any:
        return self.values >= raw(other)

    __hash__ = None  # type: ignore[assignment]


def raw(x: Any) -> Any:
    """The NumPy array inside, or what it was."""
    return x.values if isinstance(x, RoundedArray) else x


class RoundedNamespace:
    """`xp` for `RoundedArray` arrays; integers and booleans stay NumPy's."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self._base = get("numpy").xp
        self._draw = np.random.default_rng(arithmetic.seed)
        self._mixed = arithmetic.precision.startswith("mixed-")
        self._waves = {name: self._draw.uniform(0.5, 3.0, 2) for name in FUNCTIONS}
        self.float32, self.float64 = FORMATS["float32"], FORMATS["float64"]
        self.bool, self.int32, self.int64 = self._base.bool, self._base.int32, self._base.int64
        for name in EXACT:
            setattr(self, name, self._exact(getattr(self._base, name)))
        for name in YES_OR_NO:
            setattr(self, name, self._plain(getattr(self._base, name)))
        for name in FUNCTIONS:
            setattr(self, name, self._function(name, getattr(self._base, name)))
        missing = [name for name in STANDARD if not hasattr(self, name)]
        assert not missing, f"the rounding namespace lacks {missing}"

    # -- formats -----------------------------------------------------------------------------------------------------

    def wrap(self, values: Floats, dtype: Format) -> RoundedArray:
        return RoundedArray(self, values, dtype)

    def promoted(self, a: RoundedArray, b: RoundedArray) -> Format:
        """The format of arithmetic between two arrays."""
        if self._mixed:  # a float32 bias is cast to the half type of the product that it is added to
            for half, vector in ((a, b), (b, a)):
                if half.dtype.bits == 16 and vector.dtype.bits == 32 and len(vector.shape) == 1 < len(half.shape):
                    return half.dtype
        return widest(a.dtype, b.dtype)

    def rounded(self, values: Floats, dtype: Format) -> Floats:
        if self.arithmetic.rounding == "stochastic":
            return stochastic(values, dtype, self._draw)
        return nearest(values, dtype)

    def finfo(self, dtype: Format) -> Format:
        return dtype

    def dtype(self, name: str) -> Any:
        return FORMATS.get(name) or self._base.dtype(name)

    def dtype_name(self, dtype: Any) -> str:
        return dtype.name if isinstance(dtype, Format) else self._base.dtype_name(dtype)

    def astype(self, x: Any, dtype: Any, copy: bool = True) -> Any:
        if not isinstance(dtype, Format):
            return raw(x).astype(dtype)
        values = np.asarray(raw(x))
        if isinstance(x, RoundedArray) and widest(x.dtype, dtype) == dtype:
            return self.wrap(values.astype(dtype.held, copy=False), dtype)
        return self.wrap(self.rounded(values.astype(np.float64), dtype), dtype)

    def from_numpy(self, array: Any, dtype: Any = None) -> Any:
        array = np.asarray(array)
        if array.dtype.kind != "f":
            return array
        wanted = FORMATS[dtype] if isinstance(dtype, str) else dtype or FORMATS[array.dtype.name]
        return self.wrap(nearest(array, wanted), wanted)  # data are rounded by whoever holds them: to the nearest

    def to_numpy(self, x: Any) -> Any:
        return raw(x)

    def fetch(self, x: Any) -> Callable[[], Any]:
        values = raw(x)
        return lambda: values

    def synchronize(self) -> None:
        """NumPy has always finished."""

    # -- functions that make or move numbers --------------------------------------------------------------------------

    def _exact(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            listed = args[0] if isinstance(args[0], list | tuple) else args
            formats = [a.dtype for a in listed if isinstance(a, RoundedArray)]
            args = tuple([raw(b) for b in a] if isinstance(a, list) else raw(a) for a in args)
            result = function(*args, **options)
            if not formats or result.dtype.kind != "f":
                return result
            dtype = formats[0]
            for other in formats[1:]:
                dtype = widest(dtype, other)
            return self.wrap(result.astype(dtype.held, copy=False), dtype)

        return call

    def _plain(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: function(*(raw(a) for a in args), **options)

    def cumulative_sum(self, x: Any, *, axis: int) -> Any:
        """Of whole numbers, which don't round: positions are counted so, and nothing else is."""
        if isinstance(x, RoundedArray):
            raise TypeError("cumulative_sum of rounded numbers is not emulated")
        return self._base.cumulative_sum(x, axis=axis)

    def arange(self, *args: Any, dtype: Any = None) -> Any:
        return self._base.arange(*args, dtype=dtype)

    def full(self, shape: Any, value: Any, *, dtype: Any) -> Any:
        if not isinstance(dtype, Format):
            return self._base.full(shape, value, dtype=dtype)
        return self.wrap(nearest(np.full(shape, value, np.float64), dtype), dtype)

    def zeros(self, shape: Any, *, dtype: Any) -> Any:
        return self.full(shape, 0, dtype=dtype)

    def ones(self, shape: Any, *, dtype: Any) -> Any:
        return self.full(shape, 1, dtype=dtype)

    def full_like(self, x: Any, value: Any, *, dtype: Any = None) -> Any:
        return self.full(x.shape, value, dtype=dtype or x.dtype)

    def zeros_like(self, x: Any, *, dtype: Any = None) -> Any:
        return self.full_like(x, 0, dtype=dtype)

    def ones_like(self, x: Any, *, dtype: Any = None) -> Any:
        return self.full_like(x, 1, dtype=dtype)

    # -- functions that round ----------------------------------------------------------------------------------------

    def _function(self, name: str, function: Callable[..., Any]) -> Callable[[RoundedArray], RoundedArray]:
        speed, phase = self._waves[name]

        def call(x: RoundedArray) -> RoundedArray:
            y = function(x.values)
            if self.arithmetic.functions and x.dtype.bits >= 32:  # in halves the last rounding is all that counts
                wave = np.nan_to_num(np.sin(x.values * float(speed) + float(phase)))
                y = y * (1 + wave * float(2 * ULPS * x.dtype.unit))
            return self.wrap(self.rounded(y, x.dtype), x.dtype)

        return call

    def square(self, x: RoundedArray) -> RoundedArray:
        return x * x

    def pow(self, x: RoundedArray, exponent: float) -> RoundedArray:
        return self.wrap(self.rounded(np.power(x.values, exponent), x.dtype), x.dtype)

    def sum(self, x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
        if not isinstance(x, RoundedArray):
            return self._base.sum(x, axis=axis, keepdims=keepdims)
        return self.wrap(self.rounded(self._sum(x.values, axis, keepdims), x.dtype), x.dtype)

    def mean(self, x: RoundedArray, *, axis: int, keepdims: bool = False) -> RoundedArray:
        total = self._sum(x.values, axis, keepdims)
        return self.wrap(self.rounded(total / x.values.dtype.type(x.shape[axis]), x.dtype), x.dtype)

    def _sum(self, values: Floats, axis: int | None, keepdims: bool) -> Floats:
        order = self.arithmetic.order
        if order == "native" or not values.size or not values.ndim:
            return np.asarray(np.sum(values, axis=axis, keepdims=keepdims))
        if axis is None:
            total = self._sum(values.reshape(-1), 0, False)
            return total.reshape((1,) * values.ndim) if keepdims else total
        if order == "permuted":
            shuffled = np.take(values, self._permutation(values.shape[axis]), axis=axis)
            return np.asarray(np.sum(shuffled, axis=axis, keepdims=keepdims))
        last = np.take(np.cumsum(values, axis=axis), -1, axis=axis)
        return np.asarray(np.expand_dims(last, axis) if keepdims else last)

    def _permutation(self, length: int) -> npt.NDArray[Any]:
        """Of the terms of a sum; of millions, of runs of them, as they are added by blocks anyway."""
        run = 64 if length > LONG else 1
        starts = self._draw.permutation(-(-length // run)) * run
        if run == 1:
            return starts
        order = (starts[:, None] + np.arange(run)).reshape(-1)
        return order[order < length]

    def matmul(self, a: RoundedArray, b: RoundedArray) -> RoundedArray:
        products = self.arithmetic.products
        dtype = products if self._mixed else widest(a.dtype, b.dtype)
        left, right = a.values.astype(dtype.held, copy=False), b.values.astype(dtype.held, copy=False)
        if self._mixed or (products is TF32 and dtype.bits == 32):
            left, right = nearest(left, products), nearest(right, products)
        return self.wrap(self.rounded(self._product(left, right, dtype), dtype), dtype)

    def product(self, a: RoundedArray, b: RoundedArray) -> RoundedArray:
        result: RoundedArray = widened_product(self, a, b)
        return result

    def _product(self, a: Floats, b: Floats, dtype: Format) -> Floats:
        order, length = self.arithmetic.order, a.shape[-1]
        if order == "native" or length < 2:
            return np.asarray(a @ b)
        if order == "permuted":
            turn = self._draw.permutation(length)
            return np.asarray(a[..., turn] @ b[..., turn, :])
        size = int(np.prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))) * a.shape[-2] * b.shape[-1]
        if size * length <= LOOPS:
            total = a[..., :, :1] * b[..., :1, :]
            for k in range(1, length):
                total += a[..., :, k : k + 1] * b[..., k : k + 1, :]
            return np.asarray(total)
        # partial sums grow like the square root of their number, and each is rounded by 0.42 units on average
        spread = np.sqrt((a * a) @ (b * b))
        spread *= self._draw.standard_normal(spread.shape, dtype=np.float32)
        spread *= 0.3 * max(dtype.unit, FORMATS["float32"].unit if dtype.bits < 64 else 0) * np.sqrt(length)
        return np.asarray(a @ b + spread)

    def index_add(self, x: Any, index: Any, values: Any) -> Any:
        if not isinstance(x, RoundedArray):
            return self._base.index_add(x, index, values)
        held = np.float64 if x.dtype.bits == 64 else np.float32
        order = np.arange(len(index))
        if self.arithmetic.order != "native":
            order = self._draw.permutation(len(index))
        total = self._base.index_add(x.values.astype(held), raw(index)[order], values.values[order].astype(held))
        return self.wrap(self.rounded(total, x.dtype), x.dtype)
