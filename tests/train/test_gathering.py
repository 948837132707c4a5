"""Gradients that gather in buffers are the sums of what came, wherever it came from."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref import backends
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.optim.flat import Flat, FlatLayout
from bertref.train.gathering import Gathering, InBuffers, OneByOne
from tests import model_cases

SHAPES = {"a": (2, 3), "frozen": (4,), "b": (5,), "c": ()}
LEARNING = ["a", "b", "c"]


def drawn(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.random.default_rng([seed, i]).normal(size=shape) for i, (name, shape) in enumerate(SHAPES.items())}


def blank(xp: Any) -> Flat:
    return FlatLayout.grouped({name: SHAPES[name] for name in LEARNING}, len, 7).blank(xp, "float64")


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@settings(max_examples=20, deadline=None)
@given(times=st.integers(1, 3), early=st.sets(st.sampled_from(list(SHAPES))), flat=st.booleans(), counted=st.booleans())
def test_chunks_are_added_up(backend: str, times: int, early: set[str], flat: bool, counted: bool) -> None:
    """`early` are handed over while backward goes on; with the others their places come, which count once."""
    xp = backends.get(backend).xp
    completed: list[str] = []
    gathering: Gathering = OneByOne(xp, LEARNING, "float64", counted=counted)
    if flat:
        gathering = InBuffers(blank(xp), times, completed.append, counted=counted)
    for seed in range(times):
        grads = {name: xp.from_numpy(grad) for name, grad in drawn(seed).items()}
        if flat:
            grads |= gathering.take({name: grads[name] for name in early})
            assert set(completed) == (early & set(LEARNING) if seed == times - 1 else set())
        gathering.take(grads)
    found = gathering.all()
    assert list(found) == LEARNING
    assert not flat or sorted(completed) == LEARNING
    for name in LEARNING:
        want = sum(drawn(seed)[name] for seed in range(times)) if counted else np.zeros(SHAPES[name])
        np.testing.assert_allclose(xp.to_numpy(found[name]), want, rtol=1e-15)


def test_what_never_came_is_named() -> None:
    gathering = InBuffers(blank(backends.get("numpy").xp), 2)
    for names in ("abc", "ac"):
        gathering.take({name: drawn(0)[name] for name in names})
    with pytest.raises(KeyError, match="missing: b"):
        gathering.all()


@pytest.mark.parametrize("shared", [False, True])
def test_a_layer_is_handed_over_when_it_is_complete(shared: bool) -> None:
    """Of layers that share parameters, when the lowest has added its part; heads and embeddings come at the end."""
    c = model_cases.case(3, **({"model_type": "albert", "num_hidden_groups": 1, "embedding_size": 8} if shared else {}))
    ops = OpSet(backends.get("numpy"))
    handed: list[set[str]] = []

    def take(grads: dict[str, Any]) -> dict[str, Any]:
        handed.append({name.split(".")[3] for name in grads})
        return {name: np.array(grad) for name, grad in grads.items()}

    run = c.params, c.batch, Settings(c.config, c.numerics)
    _, plain = losses_and_gradients(PretrainingObjective(), ops, *run)
    _, grads = losses_and_gradients(PretrainingObjective(), ops.taking(take), *run)
    assert handed == ([{"0"}] if shared else [{"2"}, {"1"}, {"0"}])
    assert grads.keys() == plain.keys()
    assert all(np.array_equal(grads[name], plain[name]) for name in plain)
