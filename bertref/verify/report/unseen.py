"""What a right verdict could not have seen, in words: what would have been called right all the same, and what would
show it."""

from collections.abc import Mapping

from ..records import BlindSpot, Report
from .layout import number
from .mistakes import compressed

Lines = list[tuple[str, str]]
LEAST = 0.1
"""Smaller ratios are not written out."""


def unseen(report: Report) -> Lines:
    """Label and sentence. What only rounding hides is counted: it changes less than that does."""
    found = report.blind_spots
    if found is None:
        return []
    lines = [("" if i else "not seen", f"{spot.sentence}: {why(spot, report)}")
             for i, spot in enumerate(spot for spot in found.spots if spot.hidden_by != "precision")]  # fmt: skip
    hidden = [spot.id for spot in found.spots if spot.hidden_by == "precision"]
    if hidden:
        names = ", ".join(dict.fromkeys(hidden))
        lines.append(("below", f"what changes less than {report.precision} rounds could not show either: {names}"))
    if not found.spots:
        lines.append(("not seen", "nothing that is known, of the steps that were judged"))
    return lines + _step(found.step)


def why(spot: BlindSpot, report: Report) -> str:
    """What hides it, and what would show it."""
    if spot.hidden_by == "case":
        return "makes no difference in this case" + (f", which has {' and '.join(spot.reasons)}" * bool(spot.reasons))
    size = f"at most {number(spot.ratio)} times" if spot.ratio >= LEAST else f"less than {LEAST} times"
    if spot.hidden_by == "precision":
        return f"{size} what rounding explains, and too little by itself, too, in {report.precision}"
    names = compressed(spot.ask, report.case["config"]["num_hidden_layers"])
    return f"{size} what rounding explains; give {names}, or --feed it if it can do single steps"


def _step(step: Mapping[str, bool]) -> Lines:
    """Which parts of the optimiser's step the data tell apart from others."""
    told, not_told = ([part for part, shows in step.items() if shows is wanted] for wanted in (True, False))
    texts = [f"a mistake would show in: {', '.join(told)}"] if told else []
    texts += [f"some would not show in: {', '.join(not_told)}"] if not_told else []
    return [("the step", "; ".join(texts))] if texts else []
