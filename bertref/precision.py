"""Which floating-point type does what in a training step, and the loss scale that half precision needs.

The optimiser keeps `master` weights in full precision; every step works on a copy in a narrower type, or casts them
where they are used (Micikevicius et al. 2018, "Mixed precision training"). Float16 loses gradients below 2**-24, so
the loss is multiplied by a scale before backward and the gradients are divided by it afterwards; bfloat16 has the range
of float32 and needs none.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, fields
from typing import Any, Literal, Protocol

from .arrays import Array, Namespace
from .errors import InputError

DTYPES = ("float16", "bfloat16", "float32", "float64")
HALVES = ("float16", "bfloat16")
FULL = ("float32", "float64")
LARGEST_SCALE = 2.0**127
"""The largest power of two in float32: a scale beyond it would be infinite where it is used."""


class Computes(Protocol):
    """What a policy needs to know of a backend: its name and the types in which it computes."""

    @property
    def name(self) -> str: ...

    @property
    def dtypes(self) -> Any: ...


@dataclass(frozen=True)
class LossScale:
    """The state of the loss scale between two steps: plain numbers, saved and restored with the run.

    A dynamic scale doubles after `interval` finite steps in a row and halves after a step whose gradients
    weren't all finite (that step's update is skipped), as `torch.amp.GradScaler` does; it never falls below
    1. A static one stays.
    """

    scale: float
    dynamic: bool = True
    good_steps: int = 0
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    minimum: float = 1.0

    def after(self, finite: bool) -> "LossScale":
        """The scale for the next step, given whether this step's gradients were all finite."""
        if not self.dynamic:
            return self
        scale, good = self.scale, self.good_steps + 1
        if not finite:
            scale, good = max(self.scale * self.backoff, self.minimum), 0
        elif good >= self.interval:
            scale, good = min(self.scale * self.growth, LARGEST_SCALE), 0
        return LossScale(scale, True, good, self.growth, self.backoff, self.interval, self.minimum)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Precision:
    """The policy; types are names, so it can be saved and means the same on every backend.

    parameter   how the model holds its weights: what a step casts the master weights to, and what inference
                loads
    compute     activations and their gradients, products, elementwise work. Where it is a half type and `parameter` is
                wider, that is mixed precision: `bertref.mixed` says which ops compute in halves, and which in float32
    accumulate  gradients added over several chunks of a batch. (Sums inside an op, such as statistics and losses, are
                taken in at least float32 whatever the policy is.)
    master      the weights that the optimiser updates, and its moments
    loss_scale  None, a fixed factor, or "dynamic" (starts at 2**16)
    """

    parameter: str = "float32"
    compute: str = "float32"
    accumulate: str = "float32"
    master: str = "float32"
    loss_scale: float | Literal["dynamic"] | None = None

    def __post_init__(self) -> None:
        for name in ("parameter", "compute"):
            _one_of(name, getattr(self, name), DTYPES)
        for name in ("accumulate", "master"):
            _one_of(name, getattr(self, name), FULL)
        if self.compute == "float64" and self.accumulate != "float64":
            raise InputError(
                "precision: compute is float64; accumulate must be float64 too, or it throws the digits away"
            )
        scale = self.loss_scale
        if scale is None or scale == "dynamic":
            return
        if isinstance(scale, str | bool) or not (math.isfinite(scale) and 0 < scale <= LARGEST_SCALE):
            raise InputError(f"precision: loss_scale is {scale!r}; it must be a positive number, 'dynamic' or None")

    @property
    def mixed(self) -> bool:
        """Whether products are computed in halves of weights that are held wider (`bertref.mixed`)."""
        return self.compute in HALVES and self.parameter in FULL

    @classmethod
    def preset(cls, name: str) -> "Precision":
        """One of `PRESETS`, each named after the type in which it computes."""
        if canonical(name) not in PRESETS:
            raise InputError(f"precision: no preset {name!r}; there are {', '.join(PRESETS)}")
        return PRESETS[canonical(name)]

    def validate(self, backend: Computes) -> None:
        """Raises `InputError` if the backend can't compute in the types that the policy computes in."""
        for dtype in dict.fromkeys((self.compute, self.accumulate, self.master)):
            if dtype not in backend.dtypes:
                able = " and ".join(name for name in DTYPES if name in backend.dtypes)
                advice = "" if backend.name.startswith("torch") else f"; use --backend torch for {dtype}"
                raise InputError(f"{backend.name} computes in {able}, not in {dtype}{advice}")

    def initial_loss_scale(self) -> LossScale | None:
        """The state before the first step; None where the policy scales nothing."""
        if self.loss_scale is None:
            return None
        if self.loss_scale == "dynamic":
            return LossScale(2.0**16)
        return LossScale(float(self.loss_scale), dynamic=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"precision: {name} is {value!r}; it must be one of {', '.join(allowed)}")


PRESETS = {
    "float32": Precision(),
    "float64": Precision("float64", "float64", "float64", "float64"),
    "bfloat16": Precision("bfloat16", "bfloat16"),
    "float16": Precision("float16", "float16", loss_scale="dynamic"),
    "mixed-bfloat16": Precision("float32", "bfloat16"),
    "mixed-float16": Precision("float32", "float16", loss_scale="dynamic"),
}
"""`bfloat16` and `float16` do everything in the half type, with a working copy of the weights in it. The `mixed` ones
are autocast: weights, residual stream, norms, softmax and losses are float32, products are of halves
(`bertref.mixed`)."""


def canonical(name: str) -> str:
    """The name of a preset as it is written today; version 0.1.0 wrote `mixed_bfloat16` and `mixed_float16`."""
    return name.replace("mixed_", "mixed-", 1) if name.startswith("mixed_") else name


def policy_from_dict(values: Mapping[str, Any]) -> Precision:
    """The inverse of `Precision.to_dict`; raises `InputError` for keys that it doesn't know."""
    _known("precision", values, fields(Precision))
    return Precision(**values)


def loss_scale_from_dict(values: Mapping[str, Any]) -> LossScale:
    """The inverse of `LossScale.to_dict`; raises `InputError` for keys that it doesn't know."""
    _known("loss scale", values, fields(LossScale))
    return LossScale(**values)


def _known(what: str, values: Mapping[str, Any], known: tuple[Field[Any], ...]) -> None:
    unknown = sorted(set(values) - {field.name for field in known})
    if unknown:
        raise InputError(f"{what}: unknown setting {', '.join(unknown)}")


def cast(xp: Namespace, params: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """Every array in the type of that name; arrays that have it already are passed on, not copied."""
    target = xp.dtype(dtype)
    return {name: xp.astype(array, target, copy=False) for name, array in params.items()}


def unscale(xp: Namespace, grads: Mapping[str, Array], scale: float | None, dtype: str = "float32") -> dict[str, Array]:
    """Gradients of the loss from gradients of the scaled loss, in `dtype`, the master weights' type.

    The cast comes first: dividing in float16 would lose the small gradients that the scale was there to save.
    """
    wide = cast(xp, grads, dtype)
    if scale is None or scale == 1.0:
        return wide
    inverse = xp.full((), 1.0 / scale, dtype=xp.dtype(dtype))
    return {name: grad * inverse for name, grad in wide.items()}


def first_nonfinite(xp: Namespace, arrays: Mapping[str, Array]) -> str | None:
    """The name of the first array, in the dict's order, that holds an infinity or a NaN, or None.

    The flags are gathered on the device and fetched once, because each fetch waits for all work under way.
    """
    if not arrays:
        return None
    flags = xp.to_numpy(xp.stack([xp.all(xp.isfinite(array)) for array in arrays.values()]))
    for name, finite in zip(arrays, flags.tolist(), strict=True):
        if not finite:
            return name
    return None
