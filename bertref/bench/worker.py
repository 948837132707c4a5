"""One side of a race in its own process: reads commands as JSON lines, answers each with a JSON line.

    {"do": "set_up", "job": ...}                    -> {"about": {...}, "units": [...]}
    {"do": "figures"}                               -> {"figures": {...}}      see `agreement`
    {"do": "about"}                                 -> {"about": {...}}        as it is after the work
    {"do": "run", "unit": "step", "times": 3}       -> {"seconds": ...}        of one time
    {"do": "forget_peak"} , {"do": "memory"}        -> {"peak": ..., "now": ...}   resident bytes
    {"do": "products", "side": ..., "size": n, "threads": m}   -> {"flops": ...}   see `roofline`

An answer is {"error": ..., "kind": ...} instead where the command failed. The process ends when its input does, so it
never outlives the race. Whatever libraries print goes to standard error: standard output is the protocol's.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from ..errors import BertrefError
from .job import Job
from .resident import forget_peak, peak, resident
from .sides import Side, make_side


class Worker:
    """What the commands act on."""

    def __init__(self) -> None:
        self._side: Side | None = None

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
        self._side = make_side(Job.from_json(job))
        return {"about": self._side.about, "units": list(self._side.units)}

    def about(self) -> dict[str, Any]:
        return {"about": self.side.about}

    def figures(self) -> dict[str, Any]:
        return {"figures": self.side.figures()}

    def run(self, unit: str, times: int) -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(times):
            self.side.run(unit)
        return {"seconds": (time.perf_counter() - start) / times}

    def forget_peak(self) -> dict[str, Any]:
        return {"forgotten": forget_peak(), "now": resident()}

    def memory(self) -> dict[str, Any]:
        return {"peak": peak(), "now": resident()}

    def products(self, side: str, size: int, threads: int) -> dict[str, Any]:
        from .roofline import products

        return products(side, size, threads)


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
