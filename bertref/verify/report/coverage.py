"""What a verdict is about: which steps were judged by themselves, which only together with others, which not at all."""

from collections.abc import Iterator, Sequence

from ..graph.axes import split
from ..records import Report
from .mistakes import compressed

PARTS = {"": "forward", "grad": "backward", "update": "of the update"}


def coverage(report: Report) -> list[tuple[str, str]]:
    """Label and sentence, of a right report."""
    layers = report.case["config"]["num_hidden_layers"]
    every = (*report.alone, *report.in_blocks, *report.not_judged)
    lines = []
    if report.alone:
        lines.append(("alone", f"judged by themselves: {_counted(report.alone, every)}"))
    if report.in_blocks:
        names = compressed(report.in_blocks, layers)
        lines.append(("in blocks", f"judged only together with steps beside them: {names}"))
    if report.not_judged:
        lines.append(("not judged", ", ".join(_left_out(report.not_judged, every, layers))))
    return lines


def _of(part: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if split(name)[0] == part]


def _counted(names: Sequence[str], every: Sequence[str]) -> str:
    """How many of each part: "30 of 56 steps forward, all 42 steps of the update"."""
    texts = []
    for part, words in PARTS.items():
        some, total = len(_of(part, names)), len(_of(part, every))
        if some:
            texts.append(f"all {total} steps {words}" if some == total else f"{some} of {total} steps {words}")
    return ", ".join(texts)


def _left_out(names: Sequence[str], every: Sequence[str], layers: int) -> Iterator[str]:
    """The names, a part of which nothing is judged as a whole."""
    for part, words in PARTS.items():
        some = _of(part, names)
        if some and len(some) == len(_of(part, every)):
            yield f"all {len(some)} steps {words}"
        elif some:
            yield compressed(some, layers)
