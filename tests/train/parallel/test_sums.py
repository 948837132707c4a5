"""What the shares of a batch add up to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref import backends
from bertref.objectives import Figure, Outcome
from bertref.optim.flat import FlatLayout
from bertref.train.parallel import sums
from bertref.train.parallel.sums import Buckets, anywhere, summed, summed_outcome

from .threads import ThreadWorld, together


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_gradients_are_added_by_name(backend: str, dtype: str, data: st.DataObject) -> None:
    shapes = data.draw(st.dictionaries(st.text("abc", min_size=1, max_size=2),
                                       st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1))  # fmt: skip
    size, full, laid_out = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 30)), data.draw(st.booleans())
    layout, order = FlatLayout.grouped(shapes, len, size), data.draw(st.permutations(list(shapes)))
    asynchronous, taken = data.draw(st.booleans()), data.draw(st.booleans())
    late, xp = not taken, backends.get(backend).xp
    shares = [
        {name: np.random.default_rng([rank, n]).normal(size=shape).astype(dtype)
         for n, (name, shape) in enumerate(shapes.items())}
        for rank in range(size)
    ]  # fmt: skip

    def work(world: ThreadWorld) -> dict[str, np.ndarray]:
        given = {name: xp.from_numpy(g.copy()) for name, g in shares[world.rank].items()}
        found = in_buckets(world, given) if laid_out else summed(world, xp, given)
        return {name: xp.to_numpy(g) for name, g in found.items()}

    def in_buckets(world: ThreadWorld, given: dict[str, Any]) -> dict[str, Any]:
        """One array after the other comes; a bucket that is complete is under way before the next one does, unless the
        values are sent, which are read when all are there."""
        flat = layout.blank(xp, dtype)
        buckets = Buckets(world, xp, flat)
        for n, name in enumerate(order):
            flat[name][...] = given[name]
            buckets.complete(name)
            assert world.calls == (0 if late else complete_buckets(order[: n + 1], full))
        return buckets.wait()

    def complete_buckets(names: list[str], full: int) -> int:
        """How many stretches of `full` elements hold nothing but these arrays."""
        count = 0
        for buffer in layout.buffers:
            known = np.zeros(layout.used(buffer), bool)
            for name in names:
                its, start, end = layout.place(name)
                if its == buffer:
                    known[start:end] = True
            count += sum(known[start : start + full].all() for start in range(0, len(known), full))
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "BUCKET", full)
        patch.setattr(type(xp), "asynchronous", asynchronous)
        patch.setattr(ThreadWorld, "takes", lambda self, array: taken)
        results = together(size, work)
    for found in results:
        assert list(found) == list(shapes)
        for name, shape in shapes.items():
            assert found[name].shape == shape
            assert found[name].dtype == dtype
            want = sum(share[name].astype(np.float64) for share in shares)
            np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-5)
            assert found[name].tobytes() == results[0][name].tobytes(), "the same bits in every process"


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_losses_and_figures_are_added_each_by_its_name(
    backend: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    xp = backends.get(backend).xp
    monkeypatch.setattr(ThreadWorld, "takes", lambda self, array: taken)

    def scalar(value: float) -> Any:
        return xp.from_numpy(np.asarray(value, np.float32))

    def work(world: ThreadWorld) -> Outcome:
        r = world.rank
        return summed_outcome(world, xp, Outcome(
            {"mlm": scalar(1 + r), "total": scalar(10 + r)}, {"accuracy": Figure(scalar(100 + r), scalar(1000 + r))}
        ))  # fmt: skip

    for found in together(3, work):
        assert {name: float(loss) for name, loss in found.losses.items()} == {"mlm": 6, "total": 33}
        assert [float(part) for part in found.figures["accuracy"]] == [303, 3003]
        assert {(xp.dtype_name(loss.dtype), loss.shape) for loss in found.losses.values()} == {("float32", ())}
        assert backends.of(*found.losses.values(), *found.figures["accuracy"]).name == backend


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5), st.integers(1, 3))
def test_sums_of_losses_have_the_same_bits_on_the_device_as_on_the_host(values: list[float], size: int) -> None:
    """Added in float64 and rounded once, here as there."""
    found = {}
    for backend in ("numpy", "torch"):
        xp = backends.get(backend).xp

        def work(world: ThreadWorld, xp: Any = xp) -> bytes:
            losses = [xp.from_numpy(np.asarray(value * (1 + world.rank / 3), np.float32)) for value in values]
            return b"".join(xp.to_numpy(total).tobytes() for total in summed_outcome(world, xp, Outcome(
                {str(n): loss for n, loss in enumerate(losses)}, {})).losses.values())  # fmt: skip

        for taken in (True, False):
            with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
                patch.setattr(ThreadWorld, "takes", lambda self, array, taken=taken: taken)
                found[backend, taken] = together(size, work)
    assert all(result == [found["numpy", False][0]] * size for result in found.values())


@pytest.mark.parametrize("who", [None, 0, 2])
def test_a_flag_in_any_process_is_seen_in_all(who: int | None) -> None:
    assert together(3, lambda world: anywhere(world, world.rank == who)) == [who is not None] * 3
