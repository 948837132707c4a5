"""The steps of a mapping: from another program's layout to the canonical one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..records import Case

Value = npt.NDArray[Any]
LETTERS = "BSTPNHADIV"


@dataclass(frozen=True)
class TransformStep:
    """One step of `do`: its name and, where it takes one, its argument."""

    name: str
    argument: Any = None

    def __str__(self) -> str:
        return self.name if self.argument is None else f"{self.name} {self.argument}"


def parse_step(given: Any, where: str) -> TransformStep:
    """A step as the mapping file writes it. Raises `InputError` for one that doesn't exist."""
    if isinstance(given, str) and given in PLAIN:
        return TransformStep(given)
    if isinstance(given, dict) and len(given) == 1:
        (name, argument), = given.items()  # fmt: skip
        if name in WITH_ARGUMENT and VALID[name](argument):
            return TransformStep(name, tuple(argument) if isinstance(argument, list) else argument)
    raise InputError(
        f"{where}: no step {given!r}; there are {', '.join(PLAIN)}, {{permute = [...]}}, {{reshape = [...]}} "
        "(numbers and the letters B S T P N H A D I V) and {scale = number}"
    )


def apply(step: TransformStep, value: Value, case: Case, sizes: Mapping[str, int], where: str) -> Value:
    """The value after one step. Raises `InputError` if its shape doesn't allow it."""
    try:
        if step.name in PLAIN:
            return PLAIN[step.name](value, case, sizes)
        return WITH_ARGUMENT[step.name](value, step.argument, sizes)
    except ValueError as error:
        raise InputError(f"{where}: {step} does not fit its shape {value.shape} ({error})") from None


def split(value: Value, parts: int, order: str, axis: int, heads: int, where: str) -> list[Value]:
    """A fused tensor in its parts; `order` as in the mapping file."""
    if not -value.ndim <= axis < value.ndim:
        raise InputError(f"{where}: it can't be split along axis {axis}; its shape is {value.shape}")
    axis %= value.ndim
    groups = heads if order == "heads" else 1
    if value.shape[axis] % (parts * groups):
        raise InputError(
            f"{where}: axis {axis} of its shape {value.shape} can't be split into {parts} parts"
            + (f" for each of {heads} heads" if groups > 1 else "")
        )
    width = value.shape[axis] // (parts * groups)
    before, after = value.shape[:axis], value.shape[axis + 1 :]
    grouped = value.reshape(*before, groups, parts, width, *after)
    return [np.take(grouped, i, axis=axis + 1).reshape(*before, groups * width, *after) for i in range(parts)]


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


def _transpose(value: Value, case: Case, sizes: Mapping[str, int]) -> Value:
    _require(value.ndim >= 2, "two axes are needed")
    return np.swapaxes(value, -1, -2)


def _heads_first(value: Value, case: Case, sizes: Mapping[str, int]) -> Value:
    A, D = sizes["A"], sizes["D"]
    _require(value.ndim >= 3 and value.shape[-3] == A and value.shape[-1] == D, f"(..., {A}, tokens, {D}) is needed")
    tokens_first = np.swapaxes(value, -3, -2)
    return tokens_first.reshape(*tokens_first.shape[:-2], A * D)


def _packed(value: Value, case: Case, sizes: Mapping[str, int]) -> Value:
    return _spread(value, case.batch.attention_mask != 0, "real tokens")


def _predictions(value: Value, case: Case, sizes: Mapping[str, int]) -> Value:
    return _spread(value, case.batch.masked_lm_weights != 0, "real predictions")


def _spread(value: Value, places: npt.NDArray[np.bool_], what: str) -> Value:
    rows = int(np.count_nonzero(places))
    _require(value.ndim >= 1 and value.shape[0] == rows, f"the case has {rows} {what}")
    rectangle = np.zeros((*places.shape, *value.shape[1:]), value.dtype)
    rectangle[places] = value
    return rectangle


def _gather(value: Value, case: Case, sizes: Mapping[str, int]) -> Value:
    B, S = sizes["B"], sizes["S"]
    _require(value.ndim >= 2 and value.shape[:2] == (B, S), f"({B}, {S}, ...) is needed")
    return value[np.arange(B)[:, None], case.batch.masked_lm_positions]


def _permute(value: Value, axes: tuple[int, ...], sizes: Mapping[str, int]) -> Value:
    return np.transpose(value, axes)


def _reshape(value: Value, shape: tuple[int | str, ...], sizes: Mapping[str, int]) -> Value:
    return value.reshape([sizes[size] if isinstance(size, str) else size for size in shape])


def _scale(value: Value, factor: float, sizes: Mapping[str, int]) -> Value:
    dtype = value.dtype if value.dtype.kind == "f" else np.dtype(np.float64)
    scaled: Value = value * dtype.type(factor)
    return scaled


PLAIN: dict[str, Callable[[Value, Case, Mapping[str, int]], Value]] = {
    "transpose": _transpose,
    "heads_first": _heads_first,
    "packed": _packed,
    "predictions": _predictions,
    "gather": _gather,
}
WITH_ARGUMENT: dict[str, Callable[[Value, Any, Mapping[str, int]], Value]] = {
    "permute": _permute,
    "reshape": _reshape,
    "scale": _scale,
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


VALID: dict[str, Callable[[Any], bool]] = {
    "permute": lambda axes: isinstance(axes, list) and all(map(_whole, axes)),
    "reshape": lambda shape: isinstance(shape, list) and all(
        (_whole(n) and n >= -1) or (isinstance(n, str) and len(n) == 1 and n in LETTERS) for n in shape
    ),
    "scale": lambda x: isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x),
}  # fmt: skip
