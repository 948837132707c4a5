"""Mixed precision is autocast: its losses are as near to transformers' as transformers' own two attentions are."""

import numpy as np
import pytest

from . import autocast


def differences(work: autocast.Work, *precisions: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """How far sdpa attention is from eager, and how far ours are from eager; the largest so far, at each step."""
    eager = autocast.transformers(work, "eager")
    between = np.maximum.accumulate(np.abs(autocast.transformers(work, "sdpa") - eager))
    return between, [np.maximum.accumulate(np.abs(autocast.ours(work, one) - eager)) for one in precisions]


def test_ten_steps() -> None:
    """And plain bfloat16 is not: what it rounds besides shows."""
    work = autocast.work(10, 8, 32, 6, vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                         intermediate_size=128)  # fmt: skip
    between, (mixed, plain) = differences(work, "mixed-bfloat16", "bfloat16")
    assert between[-1] > 0
    assert mixed[-1] <= 2 * between[-1]
    assert plain[-1] > 2 * between[-1]


@pytest.mark.slow
def test_fifty_steps() -> None:
    """At every step. In the first ones the two attentions may happen to agree, so it is three runs that say by how much
    they differ."""
    sizes = {"vocab_size": 2000, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
             "intermediate_size": 128}  # fmt: skip
    runs = [differences(autocast.work(50, 16, 32, seed, **sizes), "mixed-bfloat16", "bfloat16") for seed in (1, 2, 3)]
    allowed = 2 * np.max([between for between, _ in runs], axis=0)
    for _, (mixed, plain) in runs:
        assert (mixed <= allowed).all(), np.max(mixed / allowed)
        assert (plain > allowed).any()
