"""What has to be the same in all processes of a run: options, the first state, the weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from ...arrays import Namespace
from ...errors import BertrefError, InputError, ProcessLost
from ...optim.flat import each
from ..run_folder import spelled
from ..start import weights_digest
from ..step import State
from .world import HostArray, World

T = TypeVar("T")


def in_turn(world: World, work: Callable[[], T]) -> T:
    """`work()` of process 0, which may write files, and when that is done, of all others at once.

    If process 0 fails, the others raise `ProcessLost`, without having begun.
    """
    if world.rank:
        if not world.collect(True)[0]:
            raise ProcessLost(f"process {world.rank} of {world.size} ends, because process 0 could not begin")
        found = work()
    else:
        try:
            found = work()
        except BertrefError:
            world.collect(False)
            raise
        world.collect(True)
    world.barrier()
    return found


def of_first(world: World, work: Callable[[], T]) -> T:
    """What `work()` of process 0 returns, a plain value, in all processes: for what has to be done once."""
    found = work() if world.rank == 0 else None
    return cast(T, world.collect(found)[0])


def must_want_the_same(world: World, options: Mapping[str, Any]) -> None:
    """Raises `InputError`, in all processes, naming the first one with other options than process 0's."""
    first, *others = world.collect(dict(options))
    for rank, its in enumerate(others, 1):
        different = sorted(name for name in first.keys() | its.keys() if first.get(name) != its.get(name))
        if different:
            pairs = ", ".join(f"{spelled(n)} is {its.get(n)!r}, not {first.get(n)!r}" for n in different)
            raise InputError(f"process {rank} has other options than process 0: {pairs}. Give all the same ones")


def must_have_work(world: World, batch_size: int) -> None:
    """Raises `InputError` if a batch has fewer examples than there are processes."""
    if batch_size < world.size:
        raise InputError(f"a batch of {batch_size} can't be shared by {world.size} processes; start fewer")


def one_state(world: World, xp: Namespace, state: State) -> State:
    """The state of process 0, in all processes.

    Raises `InputError`, in all, if one would begin after another step: it does not see the same checkpoints.
    """
    if world.size == 1:
        return state
    first, *others = world.collect(state.step)
    for rank, step in enumerate(others, 1):
        if step != first:
            raise InputError(
                f"process {rank} goes on after step {step}, process 0 after step {first}; all processes need to see "
                "the same folder at --out"
            )

    def handed_round(array: Any) -> Any:
        host = np.array(xp.to_numpy(array), order="C")
        world.broadcast(host)
        return xp.from_numpy(host)

    return replace(
        state,
        params=each(xp, state.params, handed_round),
        moments=each(xp, state.moments, handed_round),
    )


def must_hold_the_same(world: World, params: Mapping[str, HostArray], step: int) -> None:
    """Raises `InputError` if the processes' weights are not the same bits."""
    if world.size == 1:
        return
    digests = world.collect(weights_digest(params))
    strangers = [str(rank) for rank, digest in enumerate(digests) if digest != digests[0]]
    if strangers:
        raise InputError(
            f"after step {step} the weights of process {', '.join(strangers)} are not those of process 0: their "
            "processors or libraries compute differently; start all processes in the same environment"
        )
