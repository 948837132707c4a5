"""The optimiser's state shared out: the steps of one process, and checkpoints that are those of any run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from bertref import backends
from bertref.errors import InputError
from bertref.opset import OpSet
from bertref.optim.flat import FlatLayout, shapes_of
from bertref.train.parallel.shards import Shards
from bertref.train.step import initial_state, layout_of, shared_out

from ..pretraining.running import equal, run, weights
from .test_runs import losses, shared
from .test_steps import batches, dropping, recipe
from .test_steps import run as steps
from .threads import ThreadWorld, together

NOISE = 1e-9
"""Beside weights of about 1: the gradient of a key's bias is rounding alone, and Adam divides it by 1e-8."""
SHAPES = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.lists(st.integers(1, 4), max_size=3).map(tuple),
                         min_size=1)  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(1, 5), st.booleans(), st.booleans(), st.booleans())
def test_pieces_are_cut_added_and_put_together(
    backend: str, shapes: dict[str, tuple[int, ...]], size: int, laid_out: bool, asynchronous: bool, taken: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(backends.get(backend).xp), "asynchronous", asynchronous)
        patch.setattr(ThreadWorld, "takes", lambda self, array: taken)
        check_pieces(backend, shapes, size, laid_out)


def check_pieces(backend: str, shapes: dict[str, tuple[int, ...]], size: int, laid_out: bool) -> None:
    xp = backends.get(backend).xp
    shares = [{name: xp.from_numpy(np.random.default_rng([rank, n]).normal(size=shape)) for n, (name, shape) in
               enumerate(shapes.items())} for rank in range(size)]  # fmt: skip
    layout = FlatLayout.grouped(shapes, len, size)
    shares = [layout.laid(xp, share) if laid_out else share for share in shares]
    total = {name: sum(share[name] for share in shares) for name in shapes}

    def work(world: ThreadWorld) -> tuple[dict[str, Any], dict[str, Any]]:
        parts = Shards(world, layout)
        found = parts.summed(xp, shares[world.rank])
        for name, piece in parts.own(xp, total).items():
            np.testing.assert_allclose(xp.to_numpy(found.pop(name)), xp.to_numpy(piece), rtol=1e-12, atol=1e-12)
        assert not found, "as many pieces of the sums as of whole arrays"
        own = parts.own(xp, total)
        square = sum(float((piece**2).sum()) for piece in own.values())
        norm = parts.norm(xp, xp.from_numpy(np.sqrt(np.asarray(square))), "float64")
        want = np.sqrt(sum(float((array**2).sum()) for array in total.values()))
        assert (xp.dtype_name(norm.dtype), norm.shape, backends.of(norm).name) == ("float64", (), backend)
        assert float(norm) == pytest.approx(want, rel=1e-12)
        return own, parts.whole(xp, own)

    results = together(size, work)
    for _, whole in results:
        assert list(whole) == list(shapes)
        assert equal({n: xp.to_numpy(a) for n, a in whole.items()}, {n: xp.to_numpy(a) for n, a in total.items()})
    for buffer, length in layout.lengths.items():
        assert [len(own[buffer]) for own, _ in results] == [length // size] * size, "every element belongs to one"


@pytest.mark.parametrize("absent", ["a", "b", "c"])
def test_a_buffer_without_a_gradient_has_no_sum(absent: str) -> None:
    xp = backends.get("numpy").xp
    shapes = {"a": (2, 3), "b": (5,), "c": (4,)}
    grads = {name: np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 1 for name, shape in shapes.items()}
    del grads[absent]

    def work(world: ThreadWorld) -> dict[str, Any]:
        parts = Shards(world, FlatLayout.grouped(shapes, lambda name: name, 2))
        return parts.summed(xp, {name: array.copy() for name, array in grads.items()})

    found = together(2, work)
    for name, array in grads.items():
        whole = np.concatenate([pieces.pop(name) for pieces in found])
        np.testing.assert_array_equal(whole, np.resize([*(2 * array.reshape(-1)), 0], whole.size))
    assert not any(found)


@pytest.mark.parametrize(("size", "backend"), [(2, "numpy"), (3, "torch")])
@pytest.mark.parametrize("clip", [0.5, None])
def test_steps_are_those_of_one_process(size: int, backend: str, clip: float | None) -> None:
    c, xp = dropping(), backends.get(backend).xp
    assert len(batches(c)) > 1
    state, results = steps(c, recipe(c, clip_norm=clip))

    def work(world: ThreadWorld) -> Any:
        plan = recipe(c, clip_norm=clip, world=world)
        parts = Shards(world, layout_of(plan, shapes_of(c.params)))
        other, others = steps(c, replace(plan, shards=parts), backend)
        return other, others, parts.whole(xp, other.moments, ("m", "v"))

    for other, others, moments in together(size, work):
        for one, many in zip(results, others, strict=True):
            assert many.losses == pytest.approx(one.losses, rel=1e-10)
            assert many.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-10)
        assert list(moments) == list(state.moments)
        for found, want, noise in ((other.params, state.params, NOISE), (moments, state.moments, 1e-12)):
            for name, array in want.items():
                np.testing.assert_allclose(xp.to_numpy(found[name]), array, rtol=1e-8, atol=noise, err_msg=name)
        assert sum(xp.to_numpy(a).size for a in other.moments.values()) < sum(a.size for a in state.moments.values())


def test_a_run_resumes_with_it_and_without(tmp_path: Path) -> None:
    changes = {"precision": "float64", "steps": 10}
    one = run(tmp_path, "one", **changes)
    first = shared(tmp_path, 2, "parts", 5, shard_optimizer=True, **changes)[0]
    saved = load_file(tmp_path / "parts/checkpoint-5/training_state.safetensors")
    assert {name: a.shape for name, a in saved.items()} == {
        f"{name}/{kind}": a.shape for name, a in weights(tmp_path / "parts/checkpoint-5").items() for kind in "mv"
    }
    second = shared(tmp_path, 3, "parts", 3, shard_optimizer=True, resume=True, **changes)[0]
    third = run(tmp_path, "parts", resume=True, **changes)
    np.testing.assert_allclose(losses(first) + losses(second) + losses(third), losses(one), rtol=1e-10)


def test_only_a_part_of_the_state_is_held() -> None:
    """Nor is the memory of the others' parts, of which views could be taken."""
    c = dropping()

    def work(world: ThreadWorld) -> list[Any]:
        plan = recipe(c, world=world)
        ops = OpSet(backends.get("numpy"))
        return list(shared_out(plan, ops.xp, initial_state(ops, plan, c.params))[1].moments.values())

    for pieces in together(2, work):
        assert all(piece.base is None or piece.base.nbytes == piece.nbytes for piece in pieces)


def test_an_optimizer_that_needs_whole_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--shard-optimizer cuts parameters into pieces, but lamb needs them whole"):
        run(tmp_path, optimizer="lamb", shard_optimizer=True)


def test_one_process_has_all_of_it(tmp_path: Path) -> None:
    run(tmp_path, "plain", steps=3)
    run(tmp_path, "sharded", steps=3, shard_optimizer=True)
    assert equal(weights(tmp_path / "plain"), weights(tmp_path / "sharded"))
