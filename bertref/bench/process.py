"""The race's end of a worker: starts the process, asks it, and makes sure that it ends."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ..errors import BackendUnavailable, BertrefError, InputError, ProcessLost

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)  # fmt: skip
"""What the libraries read when they are loaded."""

PATIENCE = 3.0
"""Seconds that a worker has to end by itself."""


def environment(threads: int, blas_threads: int | None = None) -> dict[str, str]:
    """The surroundings of a worker: this process's, with so many threads for every library."""
    found = dict(os.environ)
    found.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if blas_threads is not None:
        found["OPENBLAS_NUM_THREADS"] = found["OMP_NUM_THREADS"] = str(blas_threads)
    found.update(PYTHONIOENCODING="utf-8", TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")
    return found


class Process:
    """A worker. Use it in a `with` block: however that ends, the process ends too.

    It lives in a process group of its own, so a Ctrl-C reaches only the race, which then ends it. The session is the
    race's: where other work keeps a machine busy, Linux gives every session the same share, and a side of two would
    have two shares.
    """

    def __init__(self, name: str, surroundings: Mapping[str, str]) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bertref.bench.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, env=dict(surroundings), text=True, encoding="utf-8",
            process_group=0 if os.name == "posix" else None,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """The answer to a command. Raises the worker's own error, and `BackendUnavailable` if it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BackendUnavailable(f"{self.name}: its process ended{self._why()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kinds: dict[str, type[BertrefError]] = {
                "BackendUnavailable": BackendUnavailable, "ProcessLost": ProcessLost
            }  # fmt: skip
            raise kinds.get(answer["kind"], InputError)(f"{self.name}: {answer['error']}")
        return answer

    def _why(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        if code < 0:
            killed = " (out of memory?); use a smaller --batch-size" if code == -9 else ""
            return f", killed by signal {-code}{killed}"
        return f" with code {code}" + (f": {said[-1]}" if said else "")

    def close(self) -> None:
        """Ends the process: by the end of its input, else by force."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()
