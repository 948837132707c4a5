"""Dropout's decisions on the device are the host's, which numpy.random.Philox makes: every bit."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref.backends.cupy.kernels import sources
from bertref.backends.cupy.kernels.philox import Drawn
from bertref.dropout import Dropout

from .on_cpu import Cpu, compiled
from .pairs import XP

MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
EXAMPLES = np.array([4, 2**50, 17, 0, 9])


def both(
    mask: Any, examples: Any, packed: bool, *, seed: int = 7, step: int = 3, cpu: Cpu | None = None
) -> list[Dropout]:
    """The host's dropout and the device's."""
    return [Dropout(XP, seed, step, examples, mask, packed, 0.3, 0.15, draw=draw)
            for draw in (None, partial(Drawn, cpu or Cpu()))]  # fmt: skip


def check(host: Dropout, device: Dropout, *, width: int = 7, heads: int = 3) -> None:
    for site in (0, 5):
        for name, size in (("hidden", width), ("first", width), ("probs", heads)):
            want, got = getattr(host, name)(site, size), getattr(device, name)(site, size)
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            assert got.tobytes() == want.tobytes(), name


@pytest.mark.parametrize("packed", [False, True])
def test_masks_with_and_without_holes(packed: bool) -> None:
    check(*both(MASK, EXAMPLES, packed))


@pytest.mark.parametrize("seed", [0, 2**64 - 1, -1, 2**70 + 5])
@pytest.mark.parametrize("step", [0, 2**32 + 1, 2**63])
def test_every_address(seed: int, step: int) -> None:
    check(*both(MASK[:2], np.array([0, 2**63 - 1]), True, seed=seed, step=step))


def test_an_example_of_more_words_than_a_block_has_threads() -> None:
    host, device = both(np.ones((2, 60), bool), np.array([3, 4]), False)
    check(host, device, width=100, heads=5)


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4), packed=st.booleans(), width=st.integers(1, 40))
def test_any_lengths(lengths: list[int], packed: bool, width: int) -> None:
    mask = np.arange(9) < np.array(lengths)[:, None]
    check(*both(mask, np.arange(len(lengths)) * 1000, packed), width=width, heads=2)


def test_no_example_and_no_dropout() -> None:
    for dropout in both(np.zeros((0, 5), bool), np.zeros(0, int), False):
        assert dropout.hidden(0, 4).shape == (0, 4)
    for nothing in (Dropout(XP, 1, 2, EXAMPLES, MASK, True, 0.0, 0.0, draw=partial(Drawn, Cpu())),):
        assert nothing.hidden(0, 4) is None
        assert nothing.probs(0, 4) is None


@pytest.mark.parametrize(("old", "new"), [
    (">= threshold", "> threshold"), ("block + 1ull", "block + 0ull"), ("round < 10", "round < 9"),
    ("lane / 4", "3 - lane / 4"), ("high0 ^ counter.at[3]", "high0"), ("if (j >= count) break", "if (j > count) break"),
])  # fmt: skip
def test_a_twin_is_rejected(old: str, new: str) -> None:
    text = sources.source("philox")
    assert old in text
    cpu = Cpu({"philox": compiled("twin-philox", text.replace(old, new), sources.EXPRESSIONS["philox"])})
    with pytest.raises(AssertionError):
        check(*both(np.ones((2, 59), bool), np.array([3, 4]), False, cpu=cpu), width=110, heads=5)
