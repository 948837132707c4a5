"""The workers of one side: one process or, where the work is that of several, as many, which find each other as those
of torchrun do (`train.parallel.torchrun`).
"""

import contextlib
import os
import socket
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from ..errors import ProcessLost
from .process import PATIENCE, Process, environment

LOOPBACK = "lo"
"""How the names of network interfaces begin that lead to the machine itself."""


class ProcessGroup(contextlib.ExitStack):
    """So many workers with `threads` threads altogether. Use it in a `with` block: however that ends, they end too."""

    def __init__(self, name: str, processes: int, threads: int) -> None:
        super().__init__()
        self._name, self._size, self._threads = name, processes, threads
        self._processes: list[Process] = []

    def __enter__(self) -> "ProcessGroup":
        self._asking = self.enter_context(ThreadPoolExecutor(self._size))
        surroundings = environment(self._threads // self._size)
        places = _places(self._size) if self._size > 1 else [{}]
        for rank, place in enumerate(places):
            name = f"{self._name}, process {rank} of {self._size}" if self._size > 1 else self._name
            self._processes.append(self.enter_context(Process(name, {**surroundings, **place})))
        return self

    def ask(self, do: str, **values: Any) -> list[dict[str, Any]]:
        """What every worker answers to a command that all are given at once.

        Raises what `Process.ask` does: the error of a worker that failed by itself, if there is one.
        """
        asked = [self._asking.submit(process.ask, do, **values) for process in self._processes]
        done, waiting = wait(asked, return_when=FIRST_EXCEPTION)
        errors = _errors(done)
        if errors and waiting and all(isinstance(error, ProcessLost) for error in errors):
            errors = _errors(wait(asked, PATIENCE).done)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, ProcessLost))
        return [answer.result() for answer in asked]


def _errors(done: Iterable[Future[dict[str, Any]]]) -> list[BaseException]:
    return [error for answer in done if (error := answer.exception())]


def _places(size: int) -> list[dict[str, str]]:
    """What torchrun would say to each in its environment; all on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    interfaces = [name for _, name in socket.if_nameindex() if name.startswith(LOOPBACK)]
    if interfaces and "GLOO_SOCKET_IFNAME" not in os.environ:
        shared["GLOO_SOCKET_IFNAME"] = interfaces[0]
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]
