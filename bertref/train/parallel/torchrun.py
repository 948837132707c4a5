"""The processes that torchrun has started, joined by torch.distributed.

torchrun starts them, tells each in its environment who it is (RANK, WORLD_SIZE) and where they meet (MASTER_ADDR,
MASTER_PORT), and starts all of them again when one has ended with an error. They speak gloo, which works on host
memory: a torch tensor shares that of a NumPy array. Between GPUs, where each process has its own, sums go by NCCL.

Source: docs.pytorch.org, "torchrun (Elastic Launch)" and "torch.distributed".
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ...arrays import Array
from ...errors import InputError, ProcessLost
from .meeting import common_name
from .nccl import Nccl, gpu_of, name_of
from .world import ALONE, Handle, HostArray, World

T = TypeVar("T")

MEETING = timedelta(minutes=10)
"""How long a process waits for the others to start."""
PATIENCE = timedelta(days=7)
"""How long a process waits for another one that is alive: process 0 may tokenise a large text before all begin. One
that has ended is noticed at once, by its closed connections."""


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """The processes of the run that the environment tells of, for as long as the block lasts; `ALONE` without any.

    Raises `InputError` if there are several but no torch, or if they do not find each other.
    """
    size = _number(environment, "WORLD_SIZE", 1)
    if size == 1:
        yield ALONE
        return
    rank = _number(environment, "RANK", 0)
    try:
        import torch
        from torch import distributed
    except ImportError:
        raise InputError(
            f"WORLD_SIZE is {size}: several processes speak through torch, which is not installed; "
            "pip install 'bertref[torch]'"
        ) from None
    try:
        store = next(distributed.rendezvous("env://", rank, size, timeout=MEETING))[0]
        store = distributed.PrefixStore("bertref", store)
        store = distributed.PrefixStore(common_name(store, rank, size, MEETING.total_seconds()), store)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"process {rank} of {size} can't join the others ({_said(error)}); start them with torchrun. "
            "GLOO_SOCKET_IFNAME names the network interface to use, such as lo on one machine"
        ) from None
    yield Gloo(torch, distributed, rank, size)
    distributed.destroy_process_group()


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, "") or str(default)
    if not value.isdecimal():
        raise InputError(f"{name} is {value!r} in the environment; torchrun makes it a whole number")
    return int(value)


def _said(error: BaseException) -> str:
    """The first sentence of an error of gloo, without the place in its source."""
    line = (str(error) or type(error).__name__).partition("\n")[0]
    return re.sub(r"^\[[^]]*:\d+] ", "", line).partition(". ")[0]


class Gloo:
    """`World` by torch.distributed; gloo's sums run around a ring of the ranks, in an order that shapes decide. Between
    GPUs `nccl` sends."""

    def __init__(self, torch: Any, distributed: Any, rank: int, size: int) -> None:
        self._torch, self._distributed, self._rank, self._size = torch, distributed, rank, size
        self._tag = 0  # a number for every exchange, the same in all processes
        self._nccl: Nccl | None = None
        self._knows_gpus = False

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def size(self) -> int:
        return self._size

    def takes(self, array: Array) -> bool:
        """Those of a GPU where no two processes share one, which they tell each other the first time."""
        gpu = gpu_of(self._torch, array)
        if gpu is None:
            return isinstance(array, np.ndarray | self._torch.Tensor) and str(array.device) == "cpu"
        if not self._knows_gpus:
            self._knows_gpus = True
            names = self.collect(name_of(self._torch, self._distributed, gpu))
            if all(names) and len(set(names)) == self._size:
                group = self._asked(lambda: self._distributed.new_group(backend="nccl", timeout=PATIENCE))
                self._nccl = Nccl(self._torch, self._distributed, group)
        return self._nccl is not None

    def _by_gpu(self, array: Array) -> Nccl | None:
        """What sends an array of a GPU; None for one on the host."""
        return self._nccl if gpu_of(self._torch, array) else None

    def all_reduce(self, array: Array) -> Handle:
        if nccl := self._by_gpu(array):
            return self._sent(nccl.all_reduce, array)
        tensor = self._torch.from_numpy(np.asarray(array))  # the same memory
        return self._sent(partial(self._distributed.all_reduce, async_op=True), tensor)

    def reduce_scatter(self, array: Array, part: Array) -> Handle:
        if nccl := self._by_gpu(array):
            return self._sent(nccl.reduce_scatter, array, part)
        given, part = np.split(np.asarray(array), self._size), np.asarray(part)
        came = [given[rank] if rank == self._rank else np.empty_like(part) for rank in range(self._size)]
        return _Sum(self._exchanged(given, came), came, part)

    def all_gather(self, array: Array) -> Handle:
        if nccl := self._by_gpu(array):
            return self._sent(nccl.all_gather, array, self._rank, self._size)
        parts = np.split(np.asarray(array), self._size)
        return self._exchanged([parts[self._rank]] * self._size, parts)

    def _exchanged(self, given: Sequence[HostArray], taken: Sequence[HostArray]) -> Handle:
        """Process r gets `given[r]`, and from it comes `taken[r]`, from memory into memory: gloo's own collective
        calls that do this copy all arrays once or twice more (measured: three times the work)."""
        self._tag += 1
        works = []
        for rank in range(self._size):
            if rank != self._rank:
                there, here = self._torch.from_numpy(given[rank]), self._torch.from_numpy(taken[rank])
                works += [self._started("isend", there, rank), self._started("irecv", here, rank)]
        return _Work(self, *works)

    def _sent(self, call: Callable[..., Any], *given: Any) -> Handle:
        return _Work(self, self._asked(lambda: call(*given)))

    def _started(self, call: str, tensor: Any, rank: int) -> Any:
        return self._asked(lambda: getattr(self._distributed, call)(tensor, rank, tag=self._tag))

    def broadcast(self, array: HostArray) -> None:
        tensor = self._torch.from_numpy(array)
        self._asked(lambda: self._distributed.broadcast(tensor, 0))

    def collect(self, value: T) -> Sequence[T]:
        found: list[Any] = [None] * self._size
        self._asked(lambda: self._distributed.all_gather_object(found, value))
        return found

    def barrier(self) -> None:
        self._asked(self._distributed.barrier)

    def _asked(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except RuntimeError as error:
            raise ProcessLost(
                f"process {self._rank} of {self._size} ends, because it has lost another one ({_said(error)}); "
                "with --resume the run goes on from its last checkpoint"
            ) from error


class _Work:
    """What gloo's threads, or NCCL, are doing."""

    def __init__(self, world: Gloo, *works: Any) -> None:
        self._world, self._works = world, works

    def wait(self) -> None:
        for work in self._works:
            self._world._asked(work.wait)


class _Sum:
    """The sum of what comes, in the order of the ranks."""

    def __init__(self, exchange: Handle, came: Sequence[HostArray], total: HostArray) -> None:
        self._exchange, self._came, self._total = exchange, came, total

    def wait(self) -> None:
        self._exchange.wait()
        first, *others = self._came
        np.add(first, others[0] if others else -0.0, out=self._total)  # adding -0.0 changes no bit
        for array in others[1:]:
            self._total += array
