"""Arrays laid end to end, and what an optimiser makes of buffers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref import backends
from bertref.opset import OpSet
from bertref.optim import Optimizer
from bertref.optim.flat import ALIGNED, Flat, FlatLayout, buffers, each, with_buffers, with_joined

NUMPY = backends.get("numpy").xp
SHAPES = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(st.integers(0, 5), max_size=3).map(tuple),
                         min_size=1)  # fmt: skip


def arrays_of(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    return {name: np.random.default_rng([seed, n]).normal(size=shape) for n, (name, shape) in enumerate(shapes.items())}


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.integers(1, 3), st.integers(1, 7))
def test_arrays_are_laid_out_and_found_again(
    shapes: dict[str, tuple[int, ...]], groups: int, multiple: int
) -> None:
    arrays = arrays_of(shapes)
    layout = FlatLayout.grouped(shapes, lambda name: len(name) % groups, multiple)
    flat = layout.laid(NUMPY, arrays)
    assert list(flat) == list(shapes)
    assert all(np.array_equal(flat[name], array) for name, array in arrays.items())
    for name in shapes:
        buffer, start, end = layout.place(name)
        assert np.array_equal(flat.buffers[buffer][start:end], arrays[name].reshape(-1))
        assert len(name) % groups == len(buffer) % groups, "a buffer is called after one of its arrays"
    for buffer, names in layout.buffers.items():
        used = max(layout.place(name)[2] for name in names)
        assert flat.buffers[buffer].shape == (layout.lengths[buffer],)
        assert layout.lengths[buffer] % multiple == 0
        assert used <= layout.lengths[buffer] < used + multiple
        assert not flat.buffers[buffer][used:].any()


def test_what_would_shift_others_lies_last() -> None:
    layout = FlatLayout.grouped({"a": (3,), "b": (ALIGNED,), "c": (5, 2), "d": (2, ALIGNED)}, lambda name: None)
    assert layout.buffers == {"b": ("b", "d", "a", "c")}
    assert all(layout.place(name)[1] % ALIGNED == 0 for name in "bda")


def test_neighbours_are_found() -> None:
    shapes = {"a": (1, 16), "x": (5,), "b": (2, 8), "c": (3, 16)}
    layout = FlatLayout.grouped(shapes, lambda name: name == "x")
    flat = layout.laid(NUMPY, arrays_of(shapes))
    assert layout.spanned(["a", "b", "c"]) == ("a", 0, 80)
    assert layout.spanned(["b", "c"]) == ("a", 16, 80)
    assert np.array_equal(flat.buffers["a"][16:80], np.concatenate([flat["b"].reshape(-1), flat["c"].reshape(-1)]))
    assert flat.spanned(NUMPY, ["a", "x"]) is None
    same = FlatLayout.grouped({"a": (1, 3), "b": (1, 3)}, len).laid(NUMPY, arrays_of({"a": (1, 3), "b": (1, 3)}))
    assert np.array_equal(same.spanned(NUMPY, ["a", "b"]), np.concatenate([same["a"], same["b"]]))
    for others in (["a", "c"], ["b", "a"], ["a", "x"]):
        assert layout.spanned(others) is None


def test_parts_of_a_layout() -> None:
    shapes = {"a": (2, 3), "b": (4,), "c": (5, 1)}
    layout = FlatLayout.grouped(shapes, lambda name: name == "b", 4)
    some = layout.only(lambda buffer: buffer == "b")
    assert (some.shapes, some.lengths) == ({"b": (4,)}, {"b": 4})
    moments = layout.times(["m", "v"])
    assert list(moments.shapes) == ["a/m", "a/v", "b/m", "b/v", "c/m", "c/v"]
    assert moments.lengths == {"a/m": 12, "a/v": 12, "b/m": 4, "b/v": 4}
    assert moments.place("c/v") == ("a/v", *layout.place("c")[1:])


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_buffers_change_is_its_arrays(name: str) -> None:
    xp = backends.get(name).xp
    shapes = {"a": (2, 3), "b": (4,)}
    arrays = {key: xp.from_numpy(value) for key, value in arrays_of(shapes).items()}
    flat = FlatLayout.grouped(shapes, lambda name: 0).laid(xp, arrays)
    assert list(buffers(flat)) == ["a"]
    assert buffers(arrays) is arrays
    for given_ in (flat, arrays):
        doubled = each(xp, given_, lambda array: array * 2)
        for key, array in arrays.items():
            np.testing.assert_array_equal(xp.to_numpy(doubled[key]), 2 * xp.to_numpy(array))
    assert isinstance(each(xp, flat, lambda array: array + 1), Flat)
    assert each(xp, flat, lambda array: array) is flat
    assert with_buffers(xp, arrays, arrays) == arrays


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_blank_is_laid_out_and_ends_with_zeros(dtype: str, kernels: bool) -> None:
    updates = OpSet(backends.get("numpy"), kernels=kernels).updates
    layout = FlatLayout.grouped({"a": (700, 1000), "b": (), "c": (0, 3), "d": (7, 9)}, lambda name: name == "d", 1000)
    for _ in range(2):  # memory that was used before
        flat = layout.blank(NUMPY, dtype, updates)
        assert {name: (array.shape, array.dtype) for name, array in flat.items()} == {
            name: (shape, np.dtype(dtype)) for name, shape in layout.shapes.items()
        }
        for buffer, array in flat.buffers.items():
            assert not array[layout.used(buffer) :].any()
            array[:] = 7
        assert flat["a"][3, 4] == flat["d"][2, 1] == 7
        del flat, array


LAYER = {f"layer.{n}.self.{name}.{kind}": (16, 16) if kind == "weight" else (16,)
         for n in range(2) for name in ("query", "key", "value") for kind in ("weight", "bias")}  # fmt: skip


@pytest.mark.parametrize("exclusions", [("bias",), (), ("weight", "bias")], ids=str)
def test_query_key_and_value_are_neighbours(exclusions: tuple[str, ...]) -> None:
    layout = Optimizer("adamw", decay_exclusions=exclusions).layout(LAYER, {})
    assert len(layout.buffers) == 2
    for n in range(2):
        for kind, size in (("weight", 256), ("bias", 16)):
            names = [f"layer.{n}.self.{name}.{kind}" for name in ("query", "key", "value")]
            buffer, start, end = layout.spanned(names) or ("", 0, 0)
            assert (end - start, kind in buffer) == (3 * size, True)


def test_they_are_given_as_one_where_they_are_neighbours() -> None:
    params = arrays_of(LAYER)
    assert with_joined(NUMPY, params) is params
    for exclusions, there in (("bias",), True), (("key",), False):
        flat = Optimizer("adamw", decay_exclusions=exclusions).layout(LAYER, {}).laid(NUMPY, params)
        found = with_joined(NUMPY, flat)
        assert list(found)[: len(LAYER)] == list(LAYER)
        extra = {f"layer.{n}.self.query_key_value.{kind}" for n in range(2) for kind in ("weight", "bias")}
        assert found.keys() - LAYER.keys() == (extra if there else set())
        for name in extra & found.keys():
            each_ = [params[name.replace("query_key_value", one)] for one in ("query", "key", "value")]
            assert np.array_equal(found[name], np.concatenate(each_))


def test_what_is_updated_otherwise_has_another_buffer() -> None:
    rates = {name: 0.5 for name in LAYER if "layer.1" in name}
    layout = Optimizer("adamw", decay_exclusions=("key.weight",)).layout(LAYER, rates)
    groups = {frozenset(names) for names in layout.buffers.values()}
    assert groups == {
        frozenset(n for n in LAYER if (str(rates.get(n)), "key.weight" in n, "weight" in n) == kind)
        for kind in {(str(rates.get(n)), "key.weight" in n, "weight" in n) for n in LAYER}
    }
    assert len(groups) == 6


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("kind", ["adamw", "google", "lion"])
def test_an_update_of_buffers_is_that_of_every_parameter(kind: str, kernels: bool) -> None:
    """Bit by bit."""
    updates = OpSet(backends.get("numpy"), kernels=kernels).updates
    shapes: dict[str, Any] = {"w": (33, 7), "v": (5, 20), "bias": (3,), "LayerNorm.weight": (9,)}
    params, grads = ({n: a.astype(np.float32) for n, a in arrays_of(shapes, seed).items()} for seed in (1, 2))
    optimizer = Optimizer(kind)
    layout = optimizer.layout(shapes, {})
    flat, flat_grads = (layout.laid(NUMPY, arrays) for arrays in (params, grads))
    state, flat_state = optimizer.init_state(NUMPY, params), optimizer.init_state(NUMPY, flat)
    assert list(flat_state) == list(state)
    for step in (1, 2):
        options: dict[str, Any] = {"rate": 0.01, "step": step, "updates": updates}
        params, state = optimizer.update(NUMPY, params, grads, state, **options)
        new, moments = optimizer.update(NUMPY, flat.buffers, flat_grads.buffers, buffers(flat_state), **options)
        flat, flat_state = Flat(NUMPY, layout, new), with_buffers(NUMPY, flat_state, moments)
    for plain, laid in ((params, flat), (state, flat_state)):
        assert {name: array.tobytes() for name, array in plain.items()} == {n: a.tobytes() for n, a in laid.items()}
