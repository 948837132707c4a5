"""A figure that may be undefined, and the checks that metrics make of what they are given."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


class Value(NamedTuple):
    """A metric's number.

    `undefined` says that the formula divides by zero here: one class only, constant numbers, nothing predicted.
    `value` is then what the field's library returns (scikit-learn's F1 0.0, scipy's correlation NaN), so that tables
    agree with other people's; whoever shows it writes "undefined".
    """

    value: float
    undefined: bool = False

    def __float__(self) -> float:
        return self.value


UNDEFINED = Value(math.nan, undefined=True)


def ratio(part: float, whole: float) -> Value:
    """part / whole; 0.0 and undefined where the whole is 0, as scikit-learn's `zero_division` has it by default."""
    return Value(float(part / whole)) if whole else Value(0.0, undefined=True)


def mean(values: Floats) -> Value:
    """The mean of numbers (N,), N may be 0."""
    return Value(math.fsum(values.tolist()) / values.size) if values.size else UNDEFINED


def class_numbers(given: ArrayLike, what: str) -> Integers:
    """Numbers of classes (N,) as int64. Raises `InputError` unless they are integers from 0 on."""
    numbers = np.asarray(given)
    if numbers.ndim != 1:
        raise InputError(f"metric: {what} have shape {numbers.shape}; one class number an example is needed")
    if numbers.size and not (np.issubdtype(numbers.dtype, np.integer) or numbers.dtype == np.bool_):
        raise InputError(f"metric: {what} are {numbers.dtype}; class numbers are integers")
    if numbers.size and numbers.min() < 0:
        place = int(np.argmin(numbers))
        raise InputError(f"metric: {what} number {place + 1} is {numbers[place]}; classes count from 0")
    return numbers.astype(np.int64)


def finite(given: ArrayLike, what: str) -> Floats:
    """Numbers as float64. Raises `InputError` that names the first row with one that is not finite."""
    numbers = np.asarray(given, dtype=np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        raise InputError(f"metric: {what} number {int(place[0]) + 1 if place else 1} is {numbers[place]}; "
                         "it must be finite")  # fmt: skip
    return numbers


def zeros_and_ones(given: ArrayLike, what: str) -> Integers:
    """Marks of any shape as int64. Raises `InputError` for anything but 0 and 1."""
    marks = np.asarray(given)
    wrong = (marks != 0) & (marks != 1)
    if wrong.any():
        raise InputError(f"metric: {what} hold {marks[wrong].flat[0]}; only 0 and 1 are possible")
    return marks.astype(np.int64)


def same_shape(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any], names: str) -> None:
    """Raises `InputError` unless two arrays, `names` such as "labels and predictions", have one shape."""
    if left.shape != right.shape:
        raise InputError(f"metric: {names} have shapes {left.shape} and {right.shape}; they must agree")
