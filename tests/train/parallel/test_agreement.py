"""What has to be the same in all processes."""

from dataclasses import replace

import numpy as np
import pytest

from bertref import backends
from bertref.errors import InputError, ProcessLost
from bertref.precision import LossScale
from bertref.train.parallel.agreement import in_turn, one_state
from bertref.train.parallel.world import ALONE, World
from bertref.train.step import State

from .threads import ThreadWorld, attempts, together

XP = backends.get("numpy").xp


def state(rank: int) -> State:
    """A state that is another one in every process, of arrays that can't be written to."""
    params, moments = np.full((2, 3), 1.0 + rank), np.full((2, 3), 10.0 + rank)
    for array in (params, moments):
        array.setflags(write=False)
    return State({"a": params}, {"a/m": moments}, 4, LossScale(8.0))


def test_the_first_state_is_that_of_process_0() -> None:
    for found in together(3, lambda world: one_state(world, XP, state(world.rank))):
        assert (found.params["a"] == 1).all()
        assert (found.moments["a/m"] == 10).all()
        assert (found.step, found.loss_scale) == (4, LossScale(8.0))
    alone = state(0)
    assert one_state(ALONE, XP, alone) is alone


def test_a_process_that_sees_another_checkpoint_is_refused() -> None:
    """Another machine, which lacks the folder of the run."""
    for error in attempts(2, lambda world: one_state(world, XP, replace(state(0), step=4 - world.rank))):
        assert isinstance(error, InputError)
        assert "process 1 goes on after step 3, process 0 after step 4; all processes need to see" in str(error)


@pytest.mark.parametrize("size", [1, 3])
def test_process_0_works_before_the_others_and_goes_on_after_them(size: int) -> None:
    order: list[int] = []

    def work(world: World) -> int:
        found = in_turn(world, lambda: order.append(world.rank) or world.rank)  # type: ignore[func-returns-value]
        order.append(-1)
        return found

    assert together(size, work) == list(range(size)) if size > 1 else work(ALONE) == 0
    assert order[0] == 0
    assert sorted(order[:size]) == list(range(size))


def test_an_error_that_nobody_expected_ends_the_others_too() -> None:
    def fail(world: ThreadWorld) -> None:
        if world.rank == 0:
            raise ZeroDivisionError

    first, other = attempts(2, lambda world: in_turn(world, lambda: fail(world)))
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(other, ProcessLost)
