"""Memory that is used again: never while somebody can still see it, and never more than was once needed."""

import gc
import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref.backends.numpy.kernels import buffers
from bertref.backends.numpy.kernels.buffers import ALIGNMENT, SEGMENT, SMALLEST, Blocks

FLOAT = np.dtype(np.float32)
LARGE = (SMALLEST,)


def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    blocks = Blocks()
    first = blocks.empty(LARGE, FLOAT)
    address = first.ctypes.data
    view = first.reshape(2, -1)[1:, ::3]
    del first
    second = blocks.empty(LARGE, FLOAT)
    assert second.ctypes.data != address
    del view
    third = blocks.empty(LARGE, FLOAT)
    assert third.ctypes.data == address


@pytest.mark.parametrize("shape", [(SMALLEST,), (3, 70, 777), (0, SMALLEST), (5,), ()])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bool"])
def test_arrays_are_ordinary(shape: tuple[int, ...], dtype: str) -> None:
    blocks = Blocks()
    a = blocks.empty(shape, np.dtype(dtype))
    assert a.shape == shape
    assert a.dtype == dtype
    assert a.flags.c_contiguous
    assert a.flags.writeable
    assert type(a) is np.ndarray
    if a.nbytes >= SMALLEST:
        assert a.ctypes.data % ALIGNMENT == 0
    a[...] = 1
    other = blocks.empty(shape, np.dtype(dtype))
    other[...] = 0
    assert (a == 1).all()


def test_no_more_memory_than_was_alive_at_one_time() -> None:
    """Sizes that change from step to step must not pile up: little more is kept than was once alive."""
    blocks = Blocks()
    rng = np.random.default_rng(2)
    for _ in range(300):
        alive = [blocks.empty((int(n),), FLOAT) for n in rng.integers(SEGMENT // 16, SEGMENT, size=4)]
        assert blocks.used >= sum(a.nbytes for a in alive)
        assert blocks.reserved <= 1.25 * blocks.peak + SEGMENT  # what is left over is smaller than an array
    del alive
    gc.collect()
    blocks.empty(LARGE, FLOAT)
    assert blocks.used <= 4 * SMALLEST
    assert blocks.peak <= 8 * 4 * SEGMENT  # four new ones while the old four live


def test_a_step_takes_its_memory_from_the_one_before() -> None:
    """Activations large and small, which make room for gradients of other sizes: after one step nothing is new."""
    blocks = Blocks()

    def step() -> None:
        activations = [blocks.empty((size * 1024,), FLOAT) for _ in range(4) for size in (3072, 12288, 768, 12288)]
        gradients = []
        while activations:
            del activations[-4:]
            gradients += [blocks.empty((size * 256,), FLOAT) for size in (768, 768, 2305, 9216, 9216)]
            blocks.empty((3072 * 1024,), FLOAT)

    step()
    segments, reserved = list(blocks._segments), blocks.reserved
    for _ in range(3):
        step()
    assert list(blocks._segments) == segments
    assert blocks.reserved == reserved


@settings(max_examples=100)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10), st.integers(SMALLEST, SEGMENT + SMALLEST)), max_size=60))
def test_places_never_overlap_and_free_ones_become_one(events: list[tuple[bool, int, int]]) -> None:
    blocks = Blocks()
    alive: list[np.ndarray] = []
    for take, which, size in events:
        if take or not alive:
            alive.append(blocks.empty((size,), np.dtype(np.int8)))
        else:
            del alive[which % len(alive)]
        places = sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in alive)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
    alive.clear()
    blocks.empty((SMALLEST,), np.dtype(np.int8))  # what was returned is taken back when something is asked for
    blocks.empty((SMALLEST,), np.dtype(np.int8))
    assert len(blocks._free) <= len(blocks._segments) + 1
    assert sum(size for size, _ in blocks._free) + blocks.used == blocks.reserved


def test_segments_side_by_side_stay_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """An array across both would not hold the second one's memory."""
    memory = np.empty(4 * SMALLEST, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    fake = SimpleNamespace(asarray=np.asarray, uint8=np.uint8, empty=lambda *_: next(parts))
    monkeypatch.setattr(buffers, "SEGMENT", SMALLEST)
    monkeypatch.setattr(buffers, "np", fake)
    for order in ((0, 1), (1, 0)):
        parts = iter([memory[start + i * SMALLEST : start + (i + 1) * SMALLEST + ALIGNMENT] for i in range(2)])
        blocks = Blocks()
        alive: list[np.ndarray | None] = [blocks.empty((SMALLEST,), np.dtype(np.int8)) for _ in range(2)]
        assert len(blocks._segments) == 2
        for i in order:
            alive[i] = None
        with pytest.raises(StopIteration):  # neither has room for it, and there is no third
            blocks.empty((2 * SMALLEST,), np.dtype(np.int8))


def test_threads_may_ask_and_return_at_once() -> None:
    blocks = Blocks()
    spoilt: list[int] = []

    def work(mark: int) -> None:
        for _ in range(200):
            a = blocks.empty(LARGE, FLOAT)
            a[::1000] = mark
            if not (a[::1000] == mark).all():
                spoilt.append(mark)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not spoilt
    assert blocks.peak <= 9 * 4 * SMALLEST


def test_scratch_belongs_to_a_number_and_a_thread() -> None:
    a, b = buffers.scratch(0, (100,), FLOAT), buffers.scratch(1, (100,), FLOAT)
    a[...], b[...] = 1, 2
    assert (a == 1).all()
    again = buffers.scratch(0, (5, 9), np.dtype(np.float64))
    assert again.shape == (5, 9)
    assert np.shares_memory(a, again)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(np.shares_memory(a, buffers.scratch(0, (100,), FLOAT))))
    thread.start()
    thread.join()
    assert found == [False]
    for size in range(1, 3000, 37):  # growing never returns less than was asked for
        assert buffers.scratch(5, (size,), FLOAT).shape == (size,)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 1000])
def test_scratch_of_any_size_is_there_and_aligned(count: int) -> None:
    """In a thread that has none yet."""
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(buffers.scratch(0, (count,), np.dtype(np.int8))))
    thread.start()
    thread.join()
    assert found[0].shape == (count,)
    assert count == 0 or found[0].ctypes.data % ALIGNMENT == 0
