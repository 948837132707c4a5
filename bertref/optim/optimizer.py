"""The optimiser of a whole model: settings, state, and one update over flat dicts.

The settings are a frozen record; the state is a flat dict of arrays, `f"{name}/m"` and `f"{name}/v"` for each
parameter, so that it can be saved beside the weights. `update` is pure: it returns new dicts.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, get_args

from ..arrays import Array, Namespace
from ..config import Numerics
from ..errors import InputError
from .adam import adamw_update, google_update
from .faster import Updates, chosen
from .lamb import lamb_update

Kind = Literal["google", "adamw", "lamb"]
Triple = tuple[Array, Array, Array]
Quad = tuple[Array, Array, Array, Array]

DEFAULT_EPSILON: dict[str, float] = {"google": 1e-6, "adamw": 1e-8, "lamb": 1e-6}
"""Google's optimization.py; torch's and Hugging Face's habit; the LAMB paper's BERT experiments."""


@dataclass(frozen=True)
class Optimizer:
    """Settings of one of the three optimisers.

    kind              "google" (AdamWeightDecay, no bias correction), "adamw" (torch's) or "lamb"
    epsilon           None stands for the kind's own default, `DEFAULT_EPSILON`
    weight_decay      0.01 in all of BERT's recipes
    decay_exclusions  a parameter whose name contains one of these isn't decayed
    adapt_excluded    LAMB only: whether parameters that aren't decayed get a trust ratio

    Raises `InputError` for settings outside their range.
    """

    kind: Kind
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float | None = None
    weight_decay: float = 0.01
    decay_exclusions: tuple[str, ...] = ("LayerNorm", "layer_norm", "bias")
    adapt_excluded: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"optimizer: no kind {self.kind!r}; there are {', '.join(get_args(Kind))}")
        object.__setattr__(self, "decay_exclusions", tuple(self.decay_exclusions))
        if self.epsilon is None:
            object.__setattr__(self, "epsilon", DEFAULT_EPSILON[self.kind])
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"optimizer: {name} is {getattr(self, name)!r}; it must be in [0, 1)")
        for name in ("epsilon", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"optimizer: {name} is {value!r}; it must be a non-negative number")

    @classmethod
    def from_numerics(cls, numerics: Numerics, **overrides: Any) -> "Optimizer":
        """The dialect's optimiser and exclusions; `overrides` are fields of this record, even `kind`."""
        settings: dict[str, Any] = {"kind": numerics.optimizer, "decay_exclusions": numerics.decay_exclusions}
        return cls(**{**settings, **overrides})

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `Optimizer(**values)` restores it."""
        return asdict(self)

    def decays(self, name: str) -> bool:
        """Whether the parameter of that name is decayed."""
        return not any(part in name for part in self.decay_exclusions)

    def init_state(self, xp: Namespace, params: Mapping[str, Array]) -> dict[str, Array]:
        """Zero moments for every parameter, in its shape and type."""
        return {f"{name}/{moment}": xp.zeros_like(p) for name, p in params.items() for moment in ("m", "v")}

    def update(
        self,
        xp: Namespace,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        state: Mapping[str, Array],
        *,
        rate: float,
        step: int,
        updates: Updates | None = None,
        donate: bool = False,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """New (params, state) after one update with learning rate `rate`; `step` counts this update from 1.

        Gradients are those of `params`, in the same type: already unscaled, averaged and clipped. `updates`
        are faster versions of the formulas, see `faster`; with `donate` they may overwrite `params` and `state`. Raises
        `InputError` if names, types or the step don't fit: a parameter without a gradient isn't skipped,
        because that would hide it.
        """
        self._check(params, grads, state, step)
        scalars = {
            dtype: _numbers(xp, dtype, rate, 1.0 - self.beta1**step, 1.0 - self.beta2**step)
            for dtype in {p.dtype for p in params.values()}
        }
        new_params, new_state = {}, {}
        for name, p in params.items():
            arrays = (p, grads[name], state[f"{name}/m"], state[f"{name}/v"])
            new = self._update_one(xp, name, arrays, scalars[p.dtype], partial(chosen, updates, donate=donate))
            new_params[name], new_state[f"{name}/m"], new_state[f"{name}/v"] = new
        return new_params, new_state

    def _update_one(
        self, xp: Namespace, name: str, arrays: Quad, scalars: Triple, choose: Callable[..., Any]
    ) -> Triple:
        decays = self.decays(name)
        settings: dict[str, Any] = {
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.epsilon,
            "weight_decay": self.weight_decay if decays else 0.0,
        }
        new: Triple
        if self.kind == "google":
            new = choose(google_update, *arrays)(xp, *arrays, scalars[0], **settings)
        elif self.kind == "adamw":
            new = choose(adamw_update, *arrays)(xp, *arrays, *scalars, **settings)
        else:
            adapt = decays or self.adapt_excluded
            new = choose(lamb_update, *arrays)(xp, *arrays, *scalars, **settings, adapt=adapt)
        return new

    def _check(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: Mapping[str, Array], step: int
    ) -> None:
        if step < 1:
            raise InputError(f"optimizer: step {step}; the first update is number 1")
        if params.keys() != grads.keys():
            raise InputError(
                f"optimizer: parameters and gradients differ in {sorted(params.keys() ^ grads.keys())[:3]}"
            )
        wanted = {f"{name}/{moment}" for name in params for moment in ("m", "v")}
        if wanted != set(state):
            raise InputError(f"optimizer: parameters and state differ in {sorted(wanted ^ set(state))[:3]}")
        for name, p in params.items():
            if grads[name].dtype != p.dtype:
                raise InputError(
                    f"optimizer: {name} is {p.dtype} and its gradient {grads[name].dtype}; cast the gradient"
                )


def _numbers(xp: Namespace, dtype: Any, rate: float, correction1: float, correction2: float) -> Triple:
    """The numbers that change with the step, as 0-d arrays: inputs, not constants, to a compiler."""
    full = xp.full
    return full((), rate, dtype=dtype), full((), correction1, dtype=dtype), full((), correction2, dtype=dtype)
