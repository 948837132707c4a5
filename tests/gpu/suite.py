"""Part 10: the tests that follow `--backend`, on every backend of this GPU, with the time that is left."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .context import Context, PartFailed

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/backends", "tests/ops", "tests/mixed", "tests/layers", "tests/heads", "tests/optim",
    "tests/train/test_step.py", "tests/test_model.py", "tests/objectives", "tests/test_dropout.py",
    "tests/test_layout.py", "--ignore=tests/ops/test_twins.py",
)  # fmt: skip
"""The twins test the checks, not the device."""
DRY_TESTS = ("tests/backends/test_index_add.py",)
WORKERS, SPARE = 8, 3.0
"""Processes; seconds that are left for the report."""


def run(context: Context) -> None:
    failed = []
    for backend in ("torch:cpu",) if context.dry else ("cupy", "torch:cuda"):
        code, said = tested(context, backend)
        context.report(backend=backend, code=code, said=said)
        if code or (code is None and len(said) > 1):
            failed.append(f"{backend}: {said[-1]}")
    if failed:
        raise PartFailed("; ".join(failed)[:400])


def tested(context: Context, backend: str) -> tuple[int | None, list[str]]:
    """pytest's exit status, None where the time was over; what failed, and its last words."""
    parallel = ["-n", str(WORKERS)] if find_spec("xdist") and not context.dry else []
    tests = DRY_TESTS if context.dry else TESTS
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *parallel, "--backend", backend, *tests]
    threads = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS")}  # hosts that mostly wait for the device
    options: Any = {"cwd": ROOT, "env": {**os.environ, **threads}, "stderr": subprocess.STDOUT}
    log = context.out / f"suite-{backend.replace(':', '-')}.txt"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, **options)
        try:
            code: int | None = process.wait(max(context.left - SPARE, 1))
        except subprocess.TimeoutExpired:
            process.kill()
            code = None
    lines_ = [line for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    return code, [*wrong(lines_)[:40], lines_[-1][:200] if lines_ else "it said nothing"]


def wrong(words: list[str]) -> list[str]:
    """What pytest says of each test that failed, as long as it can be: verbose, it names one when that is done."""
    found: dict[str, str] = {}
    for line in words:
        named = re.search(r"\btests/\S+", line)
        if named and re.search(r"\b(FAILED|ERROR)\b", line):
            found[named[0]] = line[:200]
    return list(found.values())


def lines(records: list[dict[str, Any]]) -> list[str]:
    told = []
    for record in records:
        if "said" in record and "backend" in record:
            told += [f"{record['backend']}: {line}" for line in (*record["said"][:4], *record["said"][-1:])]
    return list(dict.fromkeys(told))
