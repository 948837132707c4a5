"""The end of a run for a person: few lines, the most important last, because only the end may be seen."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .results import Results
from .runner import FAILED, NOT_RUN, Outcome

MOST, WIDTH = 100, 118
"""Lines, and characters of each."""

SHARES = {"trace": 20, "sweep": 14, "suite": 10, "pairs": 8}
"""Lines of a part, where they are not `FEW`."""
FEW = 5


def lines(outcomes: Sequence[Outcome], out: Path) -> list[str]:
    """At most `MOST`: what each part found, the last part first, a table, and what failed."""
    found = []
    for outcome in reversed(outcomes):
        part = outcome.part
        told = import_module(f"{__package__}.{part.module}").lines(Results(out).of(part.name))
        if told:
            found += [f"-- {part.name}", *told[: SHARES.get(part.name, FEW)]]
    table = ["-- parts"]
    for part, result, seconds, why in outcomes:
        table.append(f"{part.number} {part.name:9} {result:8} {seconds:6.1f} s  {why}".rstrip())
    failed = [f"{o.part.number} {o.part.name}" for o in outcomes if o.outcome == FAILED]
    left_out = [str(o.part.number) for o in outcomes if o.outcome == NOT_RUN]
    table.append(f"failed: {', '.join(failed) or 'none'}" + (f"; not run: {', '.join(left_out)}" if left_out else ""))
    return [line[:WIDTH] for line in (found + table)[-MOST:]]
