"""Schedules against transformers and against the original's formula in exact fractions."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
import transformers

from bertref.config import Numerics
from bertref.errors import InputError
from bertref.optim import Schedule, constant_rate, google_rate, huggingface_rate

SIZES = [(100, 0), (100, 10), (100, 20), (7, 7), (1, 0), (1, 1), (312, 31)]
PEAK = 5e-5


def by_transformers(name: str, steps: int, warmup: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    counts = (warmup, steps) if "linear" in name else (warmup,)
    scheduler = getattr(transformers, name)(optimizer, *counts)
    rates = []
    for _ in range(steps + 5):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def by_the_original(steps: int, warmup: int) -> list[float]:
    """tf.train.polynomial_decay(power=1, end 0, no cycle), then the is_warmup switch of optimization.py."""
    rates = []
    for global_step in range(steps + 5):
        decay = 1 - Fraction(min(global_step, steps), steps)
        is_warmup = int(global_step < warmup)
        warm = Fraction(global_step, warmup) if warmup else Fraction(0)
        rates.append(float(Fraction(PEAK) * ((1 - is_warmup) * decay + is_warmup * warm)))
    return rates


def check(rate: Callable[..., float], oracle: Callable[[int, int], list[float]]) -> None:
    for steps, warmup in SIZES:
        wanted = oracle(steps, warmup)
        got = [rate(step, peak=PEAK, steps=steps, warmup_steps=warmup) for step in range(len(wanted))]
        assert got == pytest.approx(wanted, rel=1e-12, abs=0), (steps, warmup)


def linear(steps: int, warmup: int) -> list[float]:
    return by_transformers("get_linear_schedule_with_warmup", steps, warmup)


def test_google_is_the_originals_formula() -> None:
    check(google_rate, by_the_original)


def test_huggingface_is_transformers() -> None:
    check(huggingface_rate, linear)


def test_constant_is_transformers() -> None:
    check(constant_rate, lambda s, w: by_transformers("get_constant_schedule_with_warmup", s, w))


def test_googles_curve_by_hand() -> None:
    """The first rate is 0, and the rate falls off a step where the warm-up ends."""
    schedule = Schedule(kind="google", peak=1.0, steps=100, warmup_steps=20)
    curve = {step: schedule.rate(step) for step in (0, 1, 19, 20, 21, 99, 100, 150)}
    assert curve == pytest.approx({0: 0, 1: 0.05, 19: 0.95, 20: 0.8, 21: 0.79, 99: 0.01, 100: 0, 150: 0})


def late_warmup(step: int, **n: Any) -> float:
    return n["peak"] * (step + 1) / n["warmup_steps"] if step < n["warmup_steps"] else google_rate(step, **n)


def negative_past_the_end(step: int, *, peak: float, steps: int, warmup_steps: int) -> float:
    return peak * step / warmup_steps if step < warmup_steps else peak * (1 - step / steps)


def scaled(step: int, **n: Any) -> float:
    return 1.001 * google_rate(step, **n)


@pytest.mark.parametrize("twin", [late_warmup, negative_past_the_end, scaled, huggingface_rate, constant_rate])
def test_wrong_google_curves_are_rejected(twin: Callable[..., float]) -> None:
    with pytest.raises(AssertionError):
        check(twin, by_the_original)


def off_by_one(step: int, **n: Any) -> float:
    return huggingface_rate(step + 1, **n)


@pytest.mark.parametrize("twin", [google_rate, off_by_one, constant_rate])
def test_wrong_linear_curves_are_rejected(twin: Callable[..., float]) -> None:
    with pytest.raises(AssertionError):
        check(twin, linear)


def test_dialects() -> None:
    for dialect in ("google", "huggingface"):
        schedule = Schedule.from_numerics(Numerics.preset(dialect), peak=1e-4, steps=10, warmup_steps=2)
        assert schedule.kind == dialect
        assert Schedule(**schedule.to_dict()) == schedule


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "cosine"},
        {"peak": -1.0},
        {"peak": math.inf},
        {"steps": 0},
        {"warmup_steps": -1},
        {"warmup_steps": 11},
    ],
)
def test_numbers_without_meaning_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Schedule(**{"kind": "google", "peak": 1e-4, "steps": 10, **changes})


def test_negative_steps_are_refused() -> None:
    with pytest.raises(InputError):
        Schedule(kind="google", peak=1.0, steps=10).rate(-1)
