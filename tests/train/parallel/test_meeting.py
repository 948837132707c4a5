"""Processes find a new name, whatever earlier ones have left in the store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from bertref.train.parallel.meeting import common_name


def meet(store: HashStore, size: int) -> list[str]:
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(lambda rank: common_name(store, rank, size, 60), range(size)))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_find_one_name_that_is_new_each_time(size: int) -> None:
    store, seen = HashStore(), set()
    for _ in range(4):
        (name,) = set(meet(store, size))
        seen.add(name)
    assert len(seen) == 4


def test_a_question_of_a_process_that_has_ended_is_not_taken_for_one_of_this_start() -> None:
    """Process 0 comes first, and finds the old one; process 1 comes later."""
    store = HashStore()
    store.set("asks/1", "old")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(common_name, store, 0, 2, 60)
        name = store.get("answer/old").decode()
        assert not first.done()
        assert threads.submit(common_name, store, 1, 2, 60).result() == name == first.result()


def test_who_does_not_come_is_named() -> None:
    store = HashStore()
    store.set("asks/1", "old")
    with pytest.raises(RuntimeError, match="process 1 did not come within 0 seconds"):
        common_name(store, 0, 2, 0.05)
    store.set_timeout(timedelta(seconds=0.05))
    with pytest.raises(RuntimeError):
        common_name(store, 1, 2, 0.05)
