"""Part 9: the tests that follow `--backend`, on every backend of this GPU, with the time that is left."""

import os
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
WORKERS = 8


def run(context: Context) -> None:
    failed = []
    for backend in ("torch:cpu",) if context.dry else ("cupy", "torch:cuda"):
        passed, said = tested(context, backend)
        context.report(backend=backend, passed=passed, said=said)
        if not passed:
            failed.append(f"{backend}: {said[-1] if said else 'nothing said'}")
    if failed:
        raise PartFailed("; ".join(failed)[:400])


def tested(context: Context, backend: str) -> tuple[bool, list[str]]:
    """Whether all passed, and pytest's last words."""
    parallel = ["-n", str(WORKERS)] if find_spec("xdist") and not context.dry else []
    tests = DRY_TESTS if context.dry else TESTS
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *parallel, "--backend", backend, *tests]
    threads = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS")}  # hosts that mostly wait for the device
    log = context.out / f"suite-{backend.replace(':', '-')}.txt"
    with log.open("w", encoding="utf-8") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **threads})
    words = [line for line in log.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()]
    wrong = [line[:200] for line in words if line.startswith(("FAILED", "ERROR"))]
    return code.returncode == 0, [*wrong[:40], *words[-1:]]


def lines(records: list[dict[str, Any]]) -> list[str]:
    told = []
    for record in records:
        if "said" in record and "backend" in record:
            told += [f"{record['backend']}: {line}" for line in (*record["said"][:4], *record["said"][-1:])]
    return list(dict.fromkeys(told))
