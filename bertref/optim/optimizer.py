"""The optimiser of a whole model: settings, state, and one update over flat dicts.

The settings are a frozen record; the state is a flat dict of arrays, `f"{name}/{moment}"` for each parameter and each
of its moments (`Rule.moments`), so that it can be saved beside the weights. `update` is pure: it returns new dicts.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..arrays import Array, Namespace
from ..config import Numerics
from ..errors import InputError
from ..params import Shape
from .adam_variants import LEFT_OUT
from .faster import Updates, decided
from .flat import Flat, FlatLayout, buffers
from .rule import UpdateRule
from .rules import RULES


@dataclass(frozen=True)
class Optimizer:
    """Settings of one of the optimisers.

    kind              one of `RULES`: "google" (AdamWeightDecay, no bias correction), "adamw" (torch's), "lamb", "lion",
                      and those of `adam_variants`
    beta2, epsilon    None stands for the kind's own default, `Rule.defaults`; else 0.999 and, for a kind without one, 0
    weight_decay      0.01 in all of BERT's recipes
    decay_exclusions  a parameter whose name contains one of these isn't decayed
    adapt_excluded    LAMB only: whether parameters that aren't decayed get a trust ratio

    Raises `InputError` for settings outside their range.
    """

    kind: str
    beta1: float = 0.9
    beta2: float | None = None
    epsilon: float | None = None
    weight_decay: float = 0.01
    decay_exclusions: tuple[str, ...] = ("LayerNorm", "layer_norm", "bias")
    adapt_excluded: bool = False

    def __post_init__(self) -> None:
        if self.kind not in RULES:
            why = LEFT_OUT.get(self.kind, f"there are {', '.join(RULES)}")
            raise InputError(f"optimizer: no kind {self.kind!r}; {why}")
        object.__setattr__(self, "decay_exclusions", tuple(self.decay_exclusions))
        for name, usual in (("beta2", 0.999), ("epsilon", 0.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.rule.defaults.get(name, usual))
        if self.epsilon and "epsilon" not in self.rule.settings:
            raise InputError(f"optimizer: epsilon is {self.epsilon!r}, but {self.kind} has none; leave it out")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"optimizer: {name} is {getattr(self, name)!r}; it must be in [0, 1)")
        for name in ("epsilon", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"optimizer: {name} is {value!r}; it must be a non-negative number")

    @property
    def rule(self) -> UpdateRule:
        """The formula, and what it needs."""
        return RULES[self.kind]

    @property
    def betas(self) -> tuple[float, float]:
        """beta1 and beta2, with the kind's own default filled in."""
        assert self.beta2 is not None
        return self.beta1, self.beta2

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

    def names(self, params: Iterable[str]) -> list[str]:
        """The names of the arrays of the state."""
        return [f"{name}/{moment}" for name in params for moment in self.rule.moments]

    def layout(self, shapes: Mapping[str, Shape], rates: Mapping[str, float], multiple: int = 1) -> FlatLayout:
        """A buffer for what may be updated as one parameter: decayed or not, at one rate (`rates`, 1 for those without
        one), by a rule that works element by element. Matrices are by themselves, and so the weights of query, key and
        value are neighbours."""
        assert not self.rule.whole

        def alike(name: str) -> Hashable:
            return rates.get(name, 1.0), self.decays(name), len(shapes[name]) > 1

        return FlatLayout.grouped(shapes, alike, multiple)

    def init_state(self, xp: Namespace, params: Mapping[str, Array]) -> dict[str, Array]:
        """Zero moments for every parameter, in its shape and type, and laid out as `params` are."""
        state = {name: xp.zeros_like(p) for key, p in buffers(params).items() for name in self.names([key])}
        return Flat(xp, params.layout.times(self.rule.moments), state) if isinstance(params, Flat) else state

    def update(
        self,
        xp: Namespace,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        state: Mapping[str, Array],
        *,
        rate: float,
        step: int,
        factor: Array | None = None,
        updates: Updates | None = None,
        donate: bool = False,
        only_if: Array | None = None,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """New (params, state) after one update with learning rate `rate`; `step` counts this update from 1.

        Gradients are those of `params`, in the same type: already unscaled and averaged, and clipped by `factor`
        (`clipping_factor`; None: not at all). `updates` are faster versions of the formulas, see `faster`; with
        `donate` they may overwrite `params` and `state`. All stays as it is where `only_if`, a 0-d bool on the device,
        is false: it is decided there. Raises `InputError` if names, types or the step don't fit: a parameter without a
        gradient isn't skipped, because that would hide it.
        """
        self._check(params, grads, state, step)
        numbers = {dtype: self._numbers(xp, dtype, rate, step) for dtype in {p.dtype for p in params.values()}}
        new_params: dict[str, Array] = {}
        new_state: dict[str, Array] = {}
        for name, p in params.items():
            kept = self.names([name])
            arrays = (p, grads[name], *(state[moment] for moment in kept))
            compute = decided(updates, self.rule.update, *arrays, donate=donate, factor=factor, only_if=only_if)
            new_params[name], *moments = compute(xp, *arrays, *numbers[p.dtype], **self._settings(name))
            new_state |= zip(kept, moments, strict=True)
        return new_params, new_state

    def numbers(self, rate: float, step: int) -> dict[str, float]:
        """What changes from step to step (`Rule.numbers`): the rate and the bias corrections, in float64."""
        beta1, beta2 = self.betas
        return {"rate": rate, "correction1": 1.0 - beta1**step, "correction2": 1.0 - beta2**step}

    def _numbers(self, xp: Namespace, dtype: Any, rate: float, step: int) -> list[Array]:
        """The numbers that change with the step, as 0-d arrays: inputs, not constants, to a compiler."""
        values = self.numbers(rate, step)
        return [xp.full((), values[name], dtype=dtype) for name in self.rule.numbers]

    def _settings(self, name: str) -> dict[str, Any]:
        """The numbers that stay, for the parameter of that name."""
        decays = self.decays(name)
        own = {"weight_decay": self.weight_decay if decays else 0.0, "adapt": decays or self.adapt_excluded}
        return {setting: own[setting] if setting in own else getattr(self, setting) for setting in self.rule.settings}

    def _check(
        self, params: Mapping[str, Array], grads: Mapping[str, Array], state: Mapping[str, Array], step: int
    ) -> None:
        if step < 1:
            raise InputError(f"optimizer: step {step}; the first update is number 1")
        if params.keys() != grads.keys():
            raise InputError(
                f"optimizer: parameters and gradients differ in {sorted(params.keys() ^ grads.keys())[:3]}"
            )
        wanted = set(self.names(params))
        if wanted != set(state):
            raise InputError(f"optimizer: parameters and state differ in {sorted(wanted ^ set(state))[:3]}")
        for name, p in params.items():
            if grads[name].dtype != p.dtype:
                raise InputError(
                    f"optimizer: {name} is {p.dtype} and its gradient {grads[name].dtype}; cast the gradient"
                )
