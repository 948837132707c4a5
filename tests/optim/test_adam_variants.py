"""Optimisers as other libraries have them: each against its oracle, and each rejected by the oracles of the others."""

from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from bertref.optim import Optimizer
from bertref.optim.adam_variants import VARIANTS

from .optim_oracles import BETAS, RATE, Arrays, Case, Numbers, _decay, _in_digits, adamw, google, in_torch, lamb
from .test_updates import CASES, compare, run


def hat(case: Case, epsilon: float, clip_epsilon: float) -> tuple[Arrays, Arrays]:
    """Kingma and Ba 2015, section 2: rate √(1 - β₂ᵗ) / (1 - β₁ᵗ), and ε̂ beside the uncorrected root."""

    def rule(name: str, p: Numbers, m: Numbers, v: Numbers, number: int, eps: Any) -> Numbers:
        c1, c2 = (1 - mpmath.mpf(beta) ** number for beta in BETAS)
        rate = mpmath.mpf(RATE) * mpmath.sqrt(c2) / c1
        return [pi * (1 - RATE * _decay(name)) - rate * mi / (mpmath.sqrt(vi) + eps)
                for pi, mi, vi in zip(p, m, v, strict=True)]  # fmt: skip

    return _in_digits(case, rule, epsilon, clip_epsilon)


def root(case: Case, epsilon: float, clip_epsilon: float) -> tuple[Arrays, Arrays]:
    """optax.scale_by_adam with eps = 0 and eps_root = ε, then decoupled decay."""

    def rule(name: str, p: Numbers, m: Numbers, v: Numbers, number: int, eps: Any) -> Numbers:
        c1, c2 = (1 - mpmath.mpf(beta) ** number for beta in BETAS)
        return [pi - RATE * ((mi / c1) / mpmath.sqrt(vi / c2 + eps) + _decay(name) * pi)
                for pi, mi, vi in zip(p, m, v, strict=True)]  # fmt: skip

    return _in_digits(case, rule, epsilon, clip_epsilon)


penalty = partial(in_torch, torch.optim.Adam)
"""Its weight_decay is an L2 penalty."""

ORACLES: dict[str, Callable[..., Any]] = {
    "adamw-epsilon-hat": hat, "adamw-eps-root": root, "adamw-no-correction": google, "adam-l2": penalty,
    "lamb-all": partial(lamb, adapt_excluded=True),
}  # fmt: skip
OTHERS = {**ORACLES, "adamw": adamw, "lamb": lamb}
LARGE = 1e-3
"""An epsilon that shows where it stands."""


def check(xp: Any, kind: str, oracle: str) -> None:
    for each in CASES:
        wanted = OTHERS[oracle](each, epsilon=LARGE, clip_epsilon=1e-6)
        compare(each, run(xp, Optimizer(kind, epsilon=LARGE), each), wanted)


def test_every_variant_has_an_oracle() -> None:
    assert set(ORACLES) == {rule.name for rule in VARIANTS}
    assert [Optimizer(rule.name).epsilon for rule in VARIANTS] == [1e-8] * 4 + [1e-6]


@pytest.mark.parametrize("kind", ORACLES)
def test_update_equals_its_oracle(xp: Any, kind: str) -> None:
    check(xp, kind, kind)


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("other", OTHERS)
def test_no_variant_passes_for_another(xp: Any, kind: str, other: str) -> None:
    if kind != other:
        with pytest.raises(AssertionError):
            check(xp, kind, other)


def test_without_correction_and_with_its_epsilon_it_is_googles(xp: Any) -> None:
    for each in CASES:
        one, other = (run(xp, Optimizer(kind, epsilon=1e-6), each)[0] for kind in ("adamw-no-correction", "google"))
        for name, p in one.items():
            np.testing.assert_allclose(p, other[name], rtol=1e-12, err_msg=name)
