"""Making items ahead: order, errors, an end, and a thread that goes away."""

import threading
import time
from collections.abc import Iterator

import pytest

from bertref.data.prefetch import Prefetch


def worker_count() -> int:
    return sum(thread.name == "bertref-prefetch" for thread in threading.enumerate())


def test_all_items_in_order() -> None:
    with Prefetch(iter(range(50)), depth=3) as items:
        assert list(items) == list(range(50))
    assert worker_count() == 0


def test_items_are_made_ahead_but_not_too_far() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with Prefetch(source(), depth=2) as items:
        assert next(items) == 0
        deadline = time.monotonic() + 5
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(made) == 4  # one taken, two waiting, one in hand


def test_an_exception_comes_where_its_item_would() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("the second item")

    with Prefetch(source()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="the second item"):
            next(items)
        with pytest.raises(StopIteration):
            next(items)
    assert worker_count() == 0


def test_leaving_early_stops_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with Prefetch(source()) as items:
        next(items)
    assert closed.is_set()
    assert worker_count() == 0
    items.close()
    with pytest.raises(StopIteration):
        next(items)


def test_an_exception_in_the_block_stops_the_thread() -> None:
    def broken() -> None:
        with Prefetch(iter(range(10**9))):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken()
    assert worker_count() == 0
