"""One side of a race in its own process: reads commands as JSON lines, answers each with a JSON line.

    {"do": "set_up", "job": ...}                    -> {"about": {...}, "units": [...]}
    {"do": "figures"}                               -> {"figures": {...}}      see `agreement`
    {"do": "about"}                                 -> {"about": {...}}        as it is after the work
    {"do": "run", "unit": "step", "times": 3}       -> {"seconds": ...}        of one time
    {"do": "forget_peak"} , {"do": "memory"}        -> {"peak": ..., "now": ...}   resident bytes,
                                                       and "device": those of a GPU (see `device`)
    {"do": "products", "side": ..., "size": n, "threads": m, "dtype": ...}   -> {"flops": ...}   see `roofline`

An answer is {"error": ..., "kind": ...} instead where the command failed. The process ends when its input does, so it
never outlives the race. Whatever libraries print goes to standard error: standard output is the protocol's.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TextIO

from ..backends import local
from ..errors import BertrefError
from .device import Allocator, allocator
from .job import Job
from .resident import forget_peak, peak, resident
from .sides import Side, make_side


class Worker:
    """What the commands act on."""

    def __init__(self) -> None:
        self._side: Side | None = None
        self._allocator: Allocator | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command."""
        commands: dict[str, Callable[..., dict[str, Any]]] = {
            "set_up": self.set_up, "figures": self.figures, "about": self.about, "run": self.run,
            "memory": self.memory, "forget_peak": self.forget_peak, "products": self.products,
        }  # fmt: skip
        arguments = {name: value for name, value in request.items() if name != "do"}
        return commands[request["do"]](**arguments)

    @property
    def side(self) -> Side:
        assert self._side is not None
        return self._side

    def set_up(self, job: str) -> dict[str, Any]:
        given = Job.from_json(job)
        given = replace(given, backend=local(given.backend))
        self._side = make_side(given)
        self._allocator = allocator(given)
        if self._allocator:
            self._side.about["device"] = self._allocator.device
            self._allocator.forget()
        return {"about": self._side.about, "units": list(self._side.units)}

    def about(self) -> dict[str, Any]:
        return {"about": self.side.about}

    def figures(self) -> dict[str, Any]:
        found = self.side.figures()
        if self._allocator:  # they may need more than the work
            self._allocator.forget()
        return {"figures": found}

    def run(self, unit: str, times: int) -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(times):
            self.side.run(unit)
        return {"seconds": (time.perf_counter() - start) / times}

    def forget_peak(self) -> dict[str, Any]:
        return {"forgotten": forget_peak(), "now": resident()}

    def memory(self) -> dict[str, Any]:
        on_device = {"device": self._allocator.peak()} if self._allocator else {}
        return {"peak": peak(), "now": resident(), **on_device}

    def products(self, side: str, size: int, threads: int, dtype: str) -> dict[str, Any]:
        from .roofline import products

        return products(side, size, threads, dtype)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answers until the requests end."""
    worker = Worker()
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except BertrefError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        except MemoryError as error:
            answer = {"error": f"out of memory ({error}); use a smaller --batch-size", "kind": "InputError"}
        except Exception as error:  # a library's failure is this side's, not the race's
            first = (str(error) or "no message").splitlines()[0]
            answer = {"error": f"{type(error).__name__}: {first}", "kind": "BackendUnavailable"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Entry point of the process."""
    from . import inputs  # noqa: F401  (NumPy and its like belong to what an empty process holds)

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = os.fdopen(0, "r", encoding="utf-8")
    try:
        serve(requests, answers)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


if __name__ == "__main__":
    main()
