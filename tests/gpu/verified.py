"""Part 7: `bertref verify` on a tiny case, in three precisions, on every backend of this GPU."""

from typing import Any

from bertref.verify import check

from .context import Context, PartFailed
from .part import first_line

PRECISIONS = ("float32", "bfloat16", "mixed-bfloat16")


def run(context: Context) -> None:
    wrong = []
    for backend in ("torch:cpu",) if context.dry else ("cupy", "torch:cuda"):
        for dtype in PRECISIONS[:1] if context.dry else PRECISIONS:
            verdict, said = verdict_of(f"{backend}:dtype={dtype}")
            context.report(subject=backend, dtype=dtype, verdict=verdict, said=said)
            if verdict != "right":
                wrong.append(f"{backend} {dtype}: {said}")
    if wrong:
        raise PartFailed("; ".join(wrong)[:400])


def verdict_of(subject: str) -> tuple[str, str]:
    """The verdict, and in a line what is wrong."""
    try:
        report = check(subject, size="tiny", diagnosis=False)
    except Exception as error:
        return "could not run", first_line(error)
    wrong = [finding.name for finding in report.findings if finding.name == report.first]
    return report.verdict, "; ".join([*(f"first wrong: {name}" for name in wrong), *report.notes])[:300]


def lines(records: list[dict[str, Any]]) -> list[str]:
    told = []
    for subject in dict.fromkeys(r["subject"] for r in records if "subject" in r):
        own = [r for r in records if r.get("subject") == subject]
        told.append(f"{subject}: " + ", ".join(f"{r['dtype']} {r['verdict']}" for r in own))
        told += [f"   {r['dtype']}: {r['said']}" for r in own if r["verdict"] != "right"]
    return told
