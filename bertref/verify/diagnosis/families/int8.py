"""What quantised graphs store: integers that are right, and read otherwise than they were made.

Each hypothesis reads a parameter's integers with another scale, another zero, ... It holds if each of them is the
nearest to the model's number then; the step is replayed with what the graph computes with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ...graph.steps import Rewritten
from ...integers import A_STEP, HALF_A_STEP, SINGLE, Integers, Stored
from ..hypothesis import Hypothesis, Number, Possibility, Told
from ..scene import Scene
from .dense import other_row, other_weights
from .tools import with_parameters

Values = Any
FITTED = 0.75
"""Of a step, by which integers are the nearest on a scale that was fitted to half of them. Less: those of the other
half that lie between two are none."""
QUANTISERS = "quantize_static, quantize_dynamic: the initialisers NAME_quantized, NAME_scale, NAME_zero_point"
WEIGHT, BIAS = 0, 1
"""The parameters of a row."""
ENDS = {"8 bits": (-128, 127), "8 bits of which one is left out": (-127, 127), "8 bits without sign": (0, 255),
        "7 bits": (-64, 63), "7 bits, as reduce_range has them": (-64, 64), "7 bits without sign": (0, 127),
        "4 bits": (-8, 7), "4 bits without sign": (0, 15)}  # fmt: skip
"""Where integers end."""
FACTORS = {"127/128": 127 / 128, "128/127": 128 / 127, "255/256": 255 / 256, "256/255": 256 / 255, "2": 2.0, "1/2": 0.5,
           "255/127": 255 / 127, "127/255": 127 / 255, "1/127": 1 / 127, "127": 127.0}  # fmt: skip
"""By which scales are wrong where somebody took another number of steps."""


def wrong(scene: Scene, row: TensorRow, which: int = WEIGHT) -> Stored | None:
    """What the graph stores of a row's parameter, if it isn't the nearest to the model's."""
    name = row.parameters[which].name
    return next((one for one in scene.stored.get(row.name, ()) if one.parameter == name and not one.right), None)


def read_as(
    read: Callable[[Scene, Integers, Any], Integers | None], which: int = WEIGHT, step: float = HALF_A_STEP
) -> Callable[[Scene, TensorRow, Any], Rewritten | None]:
    """The row as the graph has it, if its integers are right when they are read so."""

    def make(scene: Scene, row: TensorRow, value: Any) -> Rewritten | None:
        stored = wrong(scene, row, which)
        other = None if stored is None else read(scene, stored.held, value)
        if stored is None or other is None or not other.explains(scene.params[stored.parameter], step):
            return None
        return as_it_is(scene, row, stored)

    return make


def as_it_is(scene: Scene, row: TensorRow, stored: Stored) -> Rewritten:
    """The row with the numbers that the graph computes with."""
    return with_parameters(scene, row, {stored.parameter: stored.held.values})


# -- scales ------------------------------------------------------------------------------------------------------------


def _rescaled(scene: Scene, held: Integers, factor: float) -> Integers:
    return replace(held, scale=held.scale / factor)


def _factors(which: int) -> Callable[[Scene, Sequence[TensorRow]], tuple[float, float] | None]:
    """How many times too large the scale of all of these rows is: the interval in which each integer, of every other
    row of a matrix, is the nearest to its number."""

    def interval(scene: Scene, rows: Sequence[TensorRow]) -> tuple[float, float] | None:
        low, high = 0.0, np.inf
        for stored in filter(None, (wrong(scene, row, which) for row in rows)):
            ends = _interval(stored.held, scene.params[stored.parameter])
            if ends is None:
                return None
            low, high = max(low, ends[0]), min(high, ends[1])
        return (low, high) if 0 < low <= high < np.inf else None

    return interval


def _interval(held: Integers, right: Values) -> tuple[float, float] | None:
    if held.integers.shape != right.shape:
        return None
    first, last = held.ends
    room = HALF_A_STEP * held.scale + SINGLE * np.abs(held.values)
    lowest = np.where(held.integers == first, -np.inf, held.values - room)[::2]
    highest = np.where(held.integers == last, np.inf, held.values + room)[::2]
    use = right[::2] != 0
    low, high = (np.broadcast_to(one, use.shape)[use] / right[::2][use] for one in (lowest, highest))
    return float(np.minimum(low, high).max(initial=0.0)), float(np.maximum(low, high).min(initial=np.inf))


def _factor(which: int) -> Number:
    return Number("factor", 1e-6, 1e6, lambda scene: FACTORS, right=lambda scene: (1.0,), read=_factors(which))


def _usual(held: Integers, right: Values) -> Iterator[Values]:
    """The scales that quantisers take for numbers: the largest, or their range, over a number of steps."""
    one_each = tuple(i for i, n in enumerate(np.shape(held.scale)) if n == 1)
    axes = one_each if np.ndim(held.scale) else None
    least, most = (of(right, axis=axes, keepdims=axes is not None) for of in (np.min, np.max))
    yield from (np.maximum(-least, most) / steps for steps in (127, 127.5, 128, 64))
    yield from ((np.maximum(most, 0) - np.minimum(least, 0)) / steps for steps in (255, 254, 127))


def _owners(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """Tensors whose stored weights have the same scale."""
    stored = wrong(scene, row)
    for name, (first, *_) in scene.stored.items():
        if stored is not None and name != row.name and np.array_equal(first.held.scale, stored.held.scale):
            yield Possibility(name, name)


def _with_scale_of(scene: Scene, row: TensorRow, owner: str) -> Rewritten | None:
    stored, other = wrong(scene, row), scene.stored[owner][0].held
    if stored is None or not np.array_equal(other.scale, stored.held.scale):
        return None
    right, shape = scene.params[stored.parameter], np.shape(stored.held.scale)
    exchanged = (one.held.scale for some in scene.stored.values() for one in some if np.shape(one.held.scale) == shape)
    scales = (*_usual(stored.held, right), *exchanged)
    found = any(replace(stored.held, scale=scale).explains(right) for scale in scales)
    return as_it_is(scene, row, stored) if found else None


ORDERS: dict[str, Callable[[Values, int], Values]] = {
    "from the last to the first": lambda scales, heads: scales[::-1],
    "each one further on": lambda scales, heads: np.roll(scales, -1),
    "each one further back": lambda scales, heads: np.roll(scales, 1),
    "by heads, where the weights lie by a head's channels": lambda scales, heads: scales.reshape(-1, heads).T,
    "by a head's channels, where the weights lie by heads": lambda scales, heads: scales.reshape(heads, -1).T,
}
"""What the scales of channels have to be put into to be right."""
ACROSS = "along the other axis"


def _orders(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    stored = wrong(scene, row)
    if stored is not None and np.size(stored.held.scale) > 1:
        yield from (Possibility(words, words) for words in (ACROSS, *ORDERS))


def _ordered(scene: Scene, held: Integers, order: str) -> Integers | None:
    def put(scales: Values) -> Values:
        if np.size(scales) == 1:
            return scales
        if order == ACROSS:
            return scales.T
        heads = scene.case.config.num_attention_heads if scales.size % scene.case.config.num_attention_heads == 0 else 1
        return ORDERS[order](scales.reshape(-1), heads).reshape(scales.shape)

    if np.size(held.scale) == 1 or (order == ACROSS and len(set(held.integers.shape)) > 1):
        return None
    return replace(held, scale=put(held.scale), zero=put(held.zero))


# -- zeros, signs, ends ------------------------------------------------------------------------------------------------


def _shifts(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    """By how much the zero is too small, as half of the integers say."""
    stored = wrong(scene, row)
    if stored is None or stored.held.integers.shape != scene.params[stored.parameter].shape:
        return
    held = stored.held
    apart = (held.values - scene.params[stored.parameter]) / held.scale
    shift = float(np.rint(np.median(apart[::2])))
    if shift:
        one = np.size(held.zero) == 1
        zero = float(np.asarray(held.zero).reshape(-1)[0])
        yield Possibility(f"{zero:g}, and was {zero + shift:g}" if one else f"off by {-shift:+g}", shift)


def _shifted(scene: Scene, held: Integers, shift: float) -> Integers:
    return replace(held, zero=held.zero + shift)


OTHER_SIGN = {"int8": np.uint8, "uint8": np.int8}
"""Type -> the other one of the same bytes."""


def _signs(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    stored = wrong(scene, row)
    kind = "" if stored is None else stored.held.integers.dtype.name
    if kind in OTHER_SIGN:
        other = np.dtype(OTHER_SIGN[kind]).name
        yield from (Possibility(f"{kind}, and were made as {other}", shift) for shift in (0, 128))


def _of_other_sign(scene: Scene, held: Integers, shift: int) -> Integers | None:
    """The same bytes, with the zero's byte read so, too, or half of all numbers further on."""
    other = OTHER_SIGN.get(held.integers.dtype.name)
    if other is None:
        return None
    zero = (np.asarray(held.zero).astype(np.int64) + shift).astype(np.uint8).view(other)
    return Integers(np.ascontiguousarray(held.integers).view(other), held.scale, zero.astype(np.float64))


def _ends(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield from (Possibility(words, ends) for words, ends in ENDS.items())


def _cut_off(scene: Scene, row: TensorRow, ends: tuple[int, int]) -> Rewritten | None:
    """What lies beyond these ends has become the last integer."""
    stored = wrong(scene, row)
    if stored is None or stored.held.integers.shape != scene.params[stored.parameter].shape:
        return None
    held, right = stored.held, scene.params[stored.parameter]
    kept = np.clip(right, *((end - held.zero) * held.scale for end in ends))
    beyond = (np.abs(right - kept) > A_STEP * held.scale).any()
    nearest = (np.abs(held.values - kept) <= HALF_A_STEP * held.scale).all()
    return as_it_is(scene, row, stored) if beyond and nearest else None


# -- other weights -----------------------------------------------------------------------------------------------------


def _of_other(scene: Scene, row: TensorRow, place: tuple[str, int, str]) -> Rewritten | None:
    stored, other = wrong(scene, row), other_row(scene, row, place)
    if stored is None or other is None:
        return None
    same = any(np.array_equal(one.held.integers, stored.held.integers) for one in scene.stored.get(other.name, ())[:1])
    found = same or stored.held.explains(scene.params[other.parameters[WEIGHT].name])
    return as_it_is(scene, row, stored) if found else None


def _lying(scene: Scene, held: Integers, _: Any) -> Integers | None:
    """A matrix that lies the other way, with the scales of the channels where they belong."""
    return replace(held, integers=held.integers.T) if np.size(held.scale) > 1 else None


def _hypothesis(
    id: str, make: Callable[[Scene, TensorRow, Any], Rewritten | None], sentence: Callable[[Told], str], patch: str,
    exporter: str, which: int = WEIGHT, **options: Any,
) -> Hypothesis:  # fmt: skip
    return Hypothesis(
        f"int8.{id}", lambda row: len(row.parameters) > which, make, sentence,
        {"onnxruntime": QUANTISERS, "an exporter": exporter}, patch, way_back=False, integers=True, **options,
    )  # fmt: skip


SCALES = "scale = max(abs(w)) / 127; q = round(w / scale): one and the same scale is stored"

HYPOTHESES = (
    _hypothesis(
        "weight_scale", read_as(_rescaled, WEIGHT, FITTED),
        lambda told: f"the scale that is stored for the weights of {told.at} is {told.number} times the one by which "
                     "their integers were made",
        "store the scale by which the weights were divided", SCALES, number=_factor(WEIGHT),
    ),
    _hypothesis(
        "bias_scale", read_as(_rescaled, BIAS, FITTED),
        lambda told: f"the scale that is stored for the bias of {told.at} is {told.number} times the one by which its "
                     "integers were made",
        "store the scale by which the bias was divided: of a product the input's times the weights'",
        "bias_scale = x_scale * w_scale; q = round(bias / bias_scale)", which=BIAS, number=_factor(BIAS),
    ),
    _hypothesis(
        "scale_of_another", _with_scale_of,
        lambda told: f"the scale that is stored for the weights of {told.at} is that of {told.choice}",
        "store each weight's own scale", "the name or the index by which a weight's scale is looked up",
        choices=_owners,
    ),
    _hypothesis(
        "scale_order", read_as(_ordered),
        lambda told: f"the scales of the channels of {told.at}'s weights are right {told.choice}",
        "store the scales in the order and along the axis in which the weights were divided by them",
        "the axis of DequantizeLinear; scales of matrices that are transposed, packed or cut afterwards",
        choices=_orders,
    ),
    _hypothesis(
        "weight_zero", read_as(_shifted),
        lambda told: f"the zero point of {told.at}'s weights is {told.choice}",
        "store the zero point that was added to the integers", "q = round(w / scale) + zero_point: the same is stored",
        choices=_shifts,
    ),
    _hypothesis(
        "sign", read_as(_of_other_sign),
        lambda told: f"the integers of {told.at}'s weights are read as {told.choice}",
        "store them with the type that they were made for", "the data type of the initialiser: the bytes are the same",
        choices=_signs,
    ),
    _hypothesis(
        "cut_off", _cut_off,
        lambda told: f"the weights of {told.at} are cut off where {told.choice} end: their scale is too small for them",
        "divide by a scale with which the largest weight is the last integer",
        "q = clip(round(w / scale), low, high) with a scale of another number of bits, or of a percentile",
        choices=_ends,
    ),
    _hypothesis(
        "weights_of_another", _of_other,
        lambda told: f"{told.at}: its bias is its own, its stored weights are those of {told.choice}",
        "quantise the layer's own weights", "the name by which a weight is looked up", choices=other_weights,
    ),
    _hypothesis(
        "transposed", read_as(_lying),
        lambda told: f"the stored matrix of {told.at} is transposed, and the scales of its channels are not",
        "store the matrix as MatMul takes it, (in, out)", "w.T, with the scales of its columns",
    ),
)  # fmt: skip
