"""What the attention kernel leaves out, it may leave out."""

import math
from typing import Any

import numpy as np
import pytest

from bertref.backends.numpy import threads
from bertref.backends.numpy.kernels import attention as attention_kernel
from bertref.golden.generate.op_inputs import FLOAT32_MIN, OpCase, attention
from bertref.ops import OPS

from .pairs import KERNELS, XP, check_error, in_pieces

KERNEL = KERNELS["attention"]
B, S, A, D = 3, 9, 2, 4


def some_case(mask_value: float, *, spread: float = 1.0, holes: bool = False) -> tuple[OpCase, np.ndarray]:
    rng = np.random.default_rng(11)
    case = attention(rng, B, S, A, D, mask_value=mask_value)
    mask = np.arange(S) < np.array([[S], [4], [1]])
    if holes:
        mask = mask & (np.arange(S) != 2)
    inputs = {**case.inputs, "mask": mask}
    inputs |= {name: spread * inputs[name] for name in ("query", "key")}
    return OpCase(inputs, case.options), rng.normal(size=(B, S, A * D))


@pytest.mark.parametrize("mask_value", [-math.inf, FLOAT32_MIN, -10000.0, -50.0, -1.0])
@pytest.mark.parametrize("spread", [0.01, 1.0, 6.0, 60.0])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padded_keys(mask_value: float, spread: float, holes: bool, dtype: str) -> None:
    """Weak masks that leave padded keys some share, and scores from tiny to so large that they outweigh a mask."""
    case, upstream = some_case(mask_value, spread=spread, holes=holes)
    check_error(KERNEL, case, upstream, dtype)
    with in_pieces(workers=2):
        check_error(KERNEL, case, upstream, dtype)


def test_a_strong_mask_saves_the_work() -> None:
    case, _ = some_case(FLOAT32_MIN)
    _, cache = KERNEL.forward(XP, **case.inputs, **case.options)
    assert [p.shape[3] for p in cache.probs] == [S, 4, 1]
    case, _ = some_case(-50.0)
    _, cache = KERNEL.forward(XP, **case.inputs, **case.options)
    assert [p.shape[3] for p in cache.probs] == [S, S, S]


@pytest.mark.parametrize("mask_value", [-math.inf, -10000.0])
def test_rows_at_padding_that_nobody_reads(mask_value: float) -> None:
    """They are 0, and so are their gradients; the others don't notice."""
    case, upstream = some_case(mask_value)
    mask = case.inputs["mask"]
    upstream[~mask] = 0  # what the packed layout sends back

    def solve(**hints: Any) -> dict[str, np.ndarray]:
        y, cache = KERNEL.forward(XP, **case.inputs, **case.options, **hints)
        return {"output": y, **KERNEL.backward(XP, upstream, cache)._asdict()}

    whole, some = solve(), solve(padding=False)
    for name, value in some.items():
        assert not value[~mask].any()
        np.testing.assert_allclose(value[mask], whole[name][mask], rtol=1e-12, atol=1e-14, err_msg=name)
    _, cache = KERNEL.forward(XP, **case.inputs, **case.options, padding=False)
    assert [p.shape[2:] for p in cache.probs] == [(S, S), (4, 4), (1, 1)]


@pytest.mark.parametrize("padding", [False, True])
def test_gradients_side_by_side(padding: bool) -> None:
    """The same bits, in one array; and the arguments may be thirds of one, too."""
    case, upstream = some_case(-math.inf)
    names = ("query", "key", "value")
    thirds = np.split(np.concatenate([case.inputs[name] for name in names], axis=-1), 3, axis=-1)
    cut = {**case.inputs, **dict(zip(names, thirds, strict=True))}
    found = []
    for inputs, hints in ((case.inputs, {}), (cut, {"side_by_side": True})):
        y, cache = KERNEL.forward(XP, **inputs, **case.options, padding=padding, **hints)
        found.append((y, KERNEL.backward(XP, upstream, cache)))
    (y, plain), (other, grads) = found
    assert y.tobytes() == other.tobytes()
    assert [a.tobytes() for a in plain] == [a.tobytes() for a in grads[:3]]
    np.testing.assert_array_equal(grads.side_by_side, np.concatenate(plain, axis=-1))
    assert all(np.shares_memory(a, grads.side_by_side) for a in grads[:3])


@pytest.mark.parametrize("threads_", [1, 3])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("padding", [False, True])
def test_neighbours_of_one_length_are_computed_together(
    threads_: int, keep: bool, padding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wild one, whose scores are not small, and one with a hole in its mask go alone; no bit depends on it."""
    rng = np.random.default_rng(5)
    lengths = [9, 9, 9, 9, 4, 4, 4, 4, 4, 9, 9, 1]
    case = attention(rng, len(lengths), S, A, D, mask_value=-10000.0, keep=keep)
    mask = np.arange(S) < np.array(lengths)[:, None]
    mask[5, 2] = False
    inputs = {**case.inputs, "mask": mask}
    inputs["query"][1] *= 1000
    dy = rng.normal(size=inputs["query"].shape)
    monkeypatch.setattr(attention_kernel, "PARTS", 6)

    def solve() -> tuple[list[int], list[np.ndarray]]:
        y, cache = KERNEL.forward(XP, **inputs, **case.options, padding=padding)
        return [len(p) for p in cache.probs], [y, *KERNEL.backward(XP, dy, cache)]

    with threads.using(threads_):
        groups, together = solve()
        assert groups == ([1, 1, 2, 1, 1, 3, 2, 1] if threads_ == 1 else [1, 1, 2, 1, 1, 2, 1, 2, 1])
        monkeypatch.setattr(attention_kernel, "TILE_ELEMENTS", 1)
        groups, alone = solve()
    assert groups == [1] * len(lengths)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)


def near_lengths(lengths: list[int], mask_value: float) -> tuple[dict[str, Any], np.ndarray]:
    """Arguments with 0 at padding, as the packed layout has it."""
    case = attention(np.random.default_rng(7), len(lengths), 12, A, D, mask_value=mask_value)
    mask = np.arange(12) < np.array(lengths)[:, None]
    inputs = {**case.inputs, **case.options, "mask": mask}
    for name in ("query", "key", "value"):
        inputs[name] = inputs[name] * mask[..., None]
    return inputs, mask


@pytest.mark.parametrize("threads_", [1, 3])
@pytest.mark.parametrize("mask_value", [-math.inf, FLOAT32_MIN])
def test_neighbours_of_nearly_one_length_are_computed_together(threads_: int, mask_value: float) -> None:
    """Where nobody wants gradients or rows at padding. The wild one, whose scores are not small, is so by itself."""
    inputs, mask = near_lengths([12, 11, 10, 9, 9, 8, 7, 6, 5, 1, 1, 6], mask_value)
    inputs["query"][3] *= 1000

    def groups(**hints: bool) -> list[int]:
        y, cache = KERNEL.forward(XP, **inputs, **hints)
        np.testing.assert_allclose(y[mask], expected[mask], rtol=1e-12, atol=1e-14)
        return [group.some.stop - group.some.start for group in cache.groups]

    expected, _ = OPS["attention"].forward(XP, **inputs)
    with threads.using(threads_):
        assert groups(padding=False, gradients=False) == [3, 1, 2, 2, 1, 2, 1]
        assert len(groups(padding=True, gradients=False)) == len(groups(padding=False, gradients=True)) == 11


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", [False, True])
def test_what_is_recomputed_has_the_same_bits(padding: bool, dtype: str) -> None:
    inputs, _ = near_lengths([12, 11, 10, 9, 9, 8, 7, 6, 5, 1, 1, 6], FLOAT32_MIN)
    inputs |= {name: inputs[name].astype(dtype) for name in ("query", "key", "value")}
    y, _ = KERNEL.forward(XP, **inputs, padding=padding)
    again, _ = KERNEL.forward(XP, **inputs, padding=padding, gradients=False, recomputed=True)
    np.testing.assert_array_equal(again, y)
    other, _ = KERNEL.forward(XP, **inputs, padding=padding, gradients=False)
    assert (other != y).any()


@pytest.mark.parametrize("wrong", ["nothing is added", "one key too many", "the shortest is forgotten"])
def test_a_wrong_union_of_neighbours_shows(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, mask = near_lengths([12, 11, 10], -math.inf)
    right = attention_kernel._without_missing

    def joined(group: Any, lengths: np.ndarray) -> Any:
        if wrong == "nothing is added":
            return group
        return right(group, lengths + (lengths < 12) if wrong == "one key too many" else np.maximum(lengths, 11))

    monkeypatch.setattr(attention_kernel, "_without_missing", joined)
    y, cache = KERNEL.forward(XP, **inputs, padding=False, gradients=False)
    expected, _ = OPS["attention"].forward(XP, **inputs)
    assert len(cache.groups) == 1
    assert not np.allclose(y[mask], expected[mask], rtol=1e-6)


def test_not_a_number_among_padded_keys_stays_there() -> None:
    """With mask value -inf the reference removes them, too."""
    case, _ = some_case(-math.inf)
    case.inputs["key"][1, 6] = np.nan
    y, _ = KERNEL.forward(XP, **case.inputs, **case.options)
    expected, _ = OPS["attention"].forward(XP, **case.inputs, **case.options)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("where", ["query", "key", "value"])
def test_not_a_number_among_real_rows_shows(where: str) -> None:
    case, _ = some_case(FLOAT32_MIN)
    case.inputs[where][1, 2] = np.nan
    y, _ = KERNEL.forward(XP, **case.inputs, **case.options)
    assert np.isnan(y[1]).any()
    assert np.isfinite(y[0]).all()


def test_the_factor_is_where_the_caller_wants_it() -> None:
    """A factor that is no power of two rounds differently there and there."""
    case, _ = some_case(FLOAT32_MIN)
    one, factor = np.float32(1), np.float32(0.3)
    inputs = {n: np.asarray(a, np.float32) if n in ("query", "key", "value") else a for n, a in case.inputs.items()}

    def context(query: np.ndarray, scale: np.float32, scale_query: bool) -> np.ndarray:
        options = {**case.options, "scale": scale, "scale_query": scale_query}
        return KERNEL.forward(XP, **{**inputs, "query": query}, **options)[0]

    query, after = (context(inputs["query"], factor, place) for place in (True, False))
    np.testing.assert_array_equal(query, context(inputs["query"] * factor, one, False))
    assert (query != after).any()
    np.testing.assert_allclose(query, after, rtol=1e-4, atol=1e-5)
