"""Runs parts one after the other, each in a process of its own, whatever becomes of the others."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from . import processes
from .parts import Part
from .results import Results

LEAST = 3.0
"""Seconds below which no part is begun."""

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"

Command = Callable[[Part, float], Sequence[str]]
"""What runs a part in so many seconds."""


class Outcome(NamedTuple):
    """What became of a part; `why` it is not "passed"."""

    part: Part
    outcome: str
    seconds: float
    why: str = ""


def run(
    parts: Sequence[Part], out: Path, minutes: float, command: Command, environment: Mapping[str, str] = os.environ,
) -> list[Outcome]:  # fmt: skip
    """The outcome of every part, which is also the last line of each in `results.jsonl`. A part has its own seconds,
    but no more than are left of all minutes."""
    results = Results(out)
    until = time.monotonic() + minutes * 60
    outcomes = []
    for part in parts:
        left = until - time.monotonic()
        if left < LEAST:
            outcome = Outcome(part, NOT_RUN, 0.0, f"the {minutes:g} minutes are over")
        else:
            outcome = _one(part, min(part.seconds, left), out, command, environment)
        results.add(part.name, outcome=outcome.outcome, seconds=round(outcome.seconds, 1), why=outcome.why)
        outcomes.append(outcome)
    return outcomes


def _one(part: Part, seconds: float, out: Path, command: Command, environment: Mapping[str, str]) -> Outcome:
    log = out / f"{part.name}.log"
    print(f"{part.number} {part.name}: {part.what}", file=sys.stderr, flush=True)
    ended = processes.run(command(part, seconds), seconds, log, environment)
    if ended.code == 0:
        return Outcome(part, PASSED, ended.seconds)
    if ended.code is None:
        why = f"killed after {ended.seconds:.0f} s"
    elif ended.code < 0:
        why = f"died of signal {-ended.code}: {last_line(log)}"
    else:
        errors = [record["error"] for record in Results(out).of(part.name) if "error" in record]
        why = errors[-1] if errors else f"exit status {ended.code}: {last_line(log)}"
    return Outcome(part, FAILED, ended.seconds, why)


def last_line(log: Path) -> str:
    """The last words of a process."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    return lines[-1].strip()[:200] if lines else "it said nothing"
