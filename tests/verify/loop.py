"""Looks for false alarms: `python -m tests.verify.loop --kind two-runs --cases 200 --out FILE`.

Every case is a line of JSON in FILE; those that stand there already aren't computed again. Exit code 0 if all are
right, else 1. Kinds are the right implementations of `right.py`. With `--forced` a cause is looked for all the same, at
the largest ratio, and one that is named is an alarm, too.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from bertref.verify.diagnosis.diagnose import diagnose
from bertref.verify.diagnosis.scene import Scene
from bertref.verify.judgement.judge import judged

from .right import KINDS, asked

FIRST_SEED, CASES = 20_000, 200


def verified(kind: str, seed: int, folder: Path, *, forced: bool = False) -> dict[str, Any]:
    """What verify says of one case, how near to the limit it came, and, if `forced`, the causes that it would name:
    there is no second case to refute them."""
    start = time.perf_counter()
    subject, case = asked(kind, seed, folder)
    report, judgement = judged(case, subject.answer(case), subject.precision, subject=subject.name)
    largest, at = max(((f.own, f.name) for f in report.findings if f.own is not None), default=(0.0, ""))
    count = sum(f.status not in ("missing", "unjudged") for f in report.findings)
    named: dict[str, Any] = {}
    if forced:
        found = diagnose(report, Scene(judgement), force=True)
        named = {"causes": [one.id for one in found.causes], "looks": len(found.looks), "tried": len(found.ruled_out)}
    return {
        "kind": kind, "seed": seed, "subject": subject.name, "case": case.name, "verdict": report.verdict,
        "first": report.first, "largest": round(largest, 2), "at": at, "judged": count, "notes": report.notes,
        **named, "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def known(path: Path) -> list[dict[str, Any]]:
    """The lines of an earlier run; what one that was killed left unfinished is cut off."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    path.write_text(f"{whole}\n" if whole else "", encoding="utf-8", newline="\n")
    return [json.loads(line) for line in whole.split("\n") if line]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.loop", description="Look for false alarms.")
    parser.add_argument("--kind", required=True, choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--out", type=Path, required=True, help="a line of JSON a case")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first case")
    parser.add_argument("--forced", action="store_true", help="look for a cause where nothing is wrong")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    seeds = range(options.seed, options.seed + options.cases)
    lines = {line["seed"]: line for line in known(options.out) if line["kind"] == options.kind}
    if options.forced:
        lines = {seed: line for seed, line in lines.items() if "causes" in line}
    with tempfile.TemporaryDirectory() as folder, options.out.open("a", encoding="utf-8", newline="\n") as out:
        for seed in (seed for seed in seeds if seed not in lines):
            lines[seed] = verified(options.kind, seed, Path(folder), forced=options.forced)
            out.write(json.dumps(lines[seed]) + "\n")
            out.flush()
    found = [lines[seed] for seed in seeds]
    alarms = [line for line in found if line["verdict"] != "right" or line.get("causes")]
    print(f"{options.kind}: {len(found)} cases, {len(alarms)} alarms, largest {max(one['largest'] for one in found)}")
    for line in alarms:
        named = ", ".join(line.get("causes", ()))
        print(f"  seed {line['seed']}: {line['subject']}: {line['verdict']} {line['first']} {named} ({line['case']})")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
