"""`python -m tests.gpu --out DIR [--minutes 7] [--only 0,2,6] [--dry]`: what needs a GPU, see README.md beside this.

Exit status: 0, 1 if a part failed, 2 if there is no GPU to run on.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import runner, summary
from .parts import Part, chosen


def has_gpu() -> bool:
    """Whether the driver shows one."""
    program = shutil.which("nvidia-smi")
    return program is not None and b"GPU" in subprocess.run([program, "-L"], capture_output=True).stdout


def command(part: Part, seconds: float, out: Path, dry: bool) -> Sequence[str]:
    """What runs a part."""
    given = ["--out", str(out), "--seconds", f"{seconds:.1f}", *(["--dry"] if dry else [])]
    return [sys.executable, "-m", f"{__package__}.part", part.name, *given]


DRY_SECONDS = 600.0
"""Of every part of a dry run, which may be on a slow machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=".ci/run-gpu", description="Runs what needs a GPU, part by part.")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.jsonl and the parts' logs")
    parser.add_argument("--minutes", type=float, help="for everything (default: 7; dry, 60)")
    parser.add_argument("--only", metavar="0,2,6", help="these parts, in this order")
    parser.add_argument("--dry", action="store_true", help="on the CPU, at sizes of a moment")
    given = parser.parse_args(arguments)
    try:
        parts = chosen(given.only)
    except ValueError as error:
        parser.error(str(error))
    if not given.dry and not has_gpu():
        print("nvidia-smi shows no GPU; --dry runs everything on the CPU", file=sys.stderr)
        return 2
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if given.dry:
        parts = tuple(part._replace(seconds=DRY_SECONDS) for part in parts)
    minutes = given.minutes or (60.0 if given.dry else 7.0)
    outcomes = runner.run(parts, out, minutes, lambda part, seconds: command(part, seconds, out, given.dry))
    print("\n".join(summary.lines(outcomes, out)), flush=True)
    return 1 if any(outcome.outcome == runner.FAILED for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
