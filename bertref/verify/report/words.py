"""A report in words: the verdict, how wrong and where, and what to do next. Plain text, lines of label and sentence."""

import re
from collections import Counter
from collections.abc import Sequence

from ..records import WRONG, Diagnosis, Finding, Place, Report
from .coverage import coverage
from .formulas import formula
from .layout import amplified, axis_names, number, ratio
from .mistakes import Mistake, compressed, mistakes
from .unseen import unseen

LISTED = 4
"""So many names are written out; of more, the number."""
NAMED = 5
"""So many mistakes have lines of their own, the first one included."""
WRITTEN_OUT = 14
"""So many steps are written out as formulas, a layer's; of more, the names."""
BRACKETED = ("wrong", "not-finite", "shape", "unsteady")
"""The statuses whose error may come from steps that were not given."""

ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What neither XML nor UTF-8 can hold."""

Lines = list[tuple[str, str]]
"""Label and sentence."""


def headline(report: Report) -> str:
    """The verdict in one line."""
    given = [finding for finding in report.findings if finding.status not in ("missing", "unjudged")]
    about = f"{report.precision}, {report.case['name']}"
    if report.verdict == "right":
        how = "right for int8" if report.precision == "int8" else "within rounding"
        return f"RIGHT: {report.subject}: {len(given)} tensors {how} ({about})"
    if report.verdict == "diverges":
        return f"DIVERGES: {report.subject}: first wrong tensor {report.first} ({about})"
    return f"COULD NOT RUN: {report.subject} ({about})"


def counts(report: Report) -> dict[str, int]:
    """Status -> number of tensors."""
    return dict(Counter(finding.status for finding in report.findings))


def first_finding(report: Report) -> Finding | None:
    """The finding on the first wrong tensor."""
    return next((finding for finding in report.findings if finding.name == report.first), None)


def details(report: Report) -> Lines:
    """What is to be said of a report below its headline: of one that is right, how close it is to the limit."""
    first = first_finding(report)
    if first is None:
        return [*_closest(report), *coverage(report), *unseen(report), *_notes(report)]
    lines = [
        *causes(report),
        *_reduced(report),
        ("first wrong", f"{first.name}: {WHY[first.status]}" + (f" ({first.note})" if first.note else "")),
    ]
    lines += _size(first, report)
    if first.place is not None:
        lines.append(("where", where(first.name, first.place)))
    lines += _bracket(report, first)
    lines += _others(report, first)
    lines += _should_be(report, first)
    return [*lines, *_notes(report)]


WHY = {
    "added": "this step makes the error; what it was given is right for it",
    "inherited": "wrong, though right for the inputs that it was given",
    "wrong": "wrong, and its direct inputs were not given",
    "not-finite": "not finite where the reference is",
    "shape": "has another shape",
    "unsteady": "differs from run to run",
}
"""What a status means for the first wrong tensor."""


def causes(report: Report) -> Lines:
    """Why it diverges, as far as that is known, and what to change."""
    found = report.diagnosis
    if found is None or found.outcome == "failed":
        return []
    if found.outcome == "unknown":
        return [("cause", _unknown(report, found)), *_looks(found)]
    first, more = ("either", "or") if found.outcome == "ambiguous" else ("cause", "and")
    labels = [first, *[more for _ in found.causes]]
    lines = [(label, cause.sentence) for label, cause in zip(labels, found.causes, strict=False)]
    lines += [("change", cause.patch) for cause in found.causes[:1] if found.outcome == "named"]
    return [*lines, *_looks(found)]


def _unknown(report: Report, found: Diagnosis) -> str:
    """That no cause is known, and of what families those are that it isn't."""
    families = Counter(id.partition(".")[0] for id in found.ruled_out)
    listed = ", ".join(f"{family} {count}" for family, count in families.most_common())
    tried = f"{families.total()} ruled out at {report.first} ({listed})" if listed else ""
    return "unknown: " + ("; ".join(filter(None, (found.note, tried))) or f"none is listed for {report.first}")


def _looks(found: Diagnosis) -> Lines:
    """What a tensor that nothing explains looks like."""
    if not found.looks:
        return []
    text = "; there it is ".join(look.sentence for look in found.looks)
    return [("looks like", f"{found.looks[0].tensor} is {text}. That describes it, and is no cause.")]


def _reduced(report: Report) -> Lines:
    """What is left of a case that was made smaller."""
    if "reduced" not in report.case["origin"]:
        return []
    sizes = f"{report.case['config']['num_hidden_layers']} layers, {report.case['rows']} rows of "
    return [("smallest", f"{sizes}{report.case['length']} tokens: nothing can be left out without losing the mistake")]


def _closest(report: Report) -> Lines:
    """How far from the limit the worst tensor of a right report is, and what rounding alone put beyond it."""
    rights = [finding for finding in report.findings if finding.status == "right"]
    judged = [(size, finding.name) for finding in rights if (size := ratio(finding)) is not None]
    if not judged:
        return []
    worst, name = max(judged)
    lines = [("largest", f"{number(worst)} times what rounding explains, at {name}; the limit is {report.limit:g}")]
    far = [(finding.total or 0.0, finding.name) for finding in rights if amplified(finding)]
    if far:
        most, at = max(far)
        which = f"{len(far)} tensors are" if len(far) > 1 else "1 tensor is"
        lines.append(("amplified", f"{which} up to {number(most)} times off in total ({at}) and right all the same: "
                                   "each step is right for its inputs, and these were right"))  # fmt: skip
    return lines


def _size(first: Finding, report: Report) -> Lines:
    lines = []
    if first.own is not None:
        total = "" if first.total is None else f", {number(first.total)} times in total"
        lines.append(("how wrong", f"{number(first.own)} times what rounding explains in its own step{total}; "
                                   f"the limit is {report.limit:g}"))  # fmt: skip
    if first.error is not None and first.noise is not None:
        lines.append(("", f"relative error {first.error:.1e}; a correct {report.precision} implementation's is "
                          f"{first.noise:.1e}"))  # fmt: skip
    return lines


def where(name: str, place: Place) -> str:
    """The worst element, and where the error is concentrated."""
    names = axis_names(name, len(place.index))
    at = ", ".join(f"{axis} {i}" for axis, i in zip(names, place.index, strict=True)) or "the number"
    at += " (a row of a single token)" if place.single else ""
    text = f"worst at {at}: {place.found:.9g}, expected {place.expected:.9g}"
    return text + (f"; nearly all of it in {', '.join(place.concentrated)}" if place.concentrated else "")


def _bracket(report: Report, first: Finding) -> Lines:
    lines = [("last right", report.last_right or "nothing that it is made from is known to be right")]
    if report.between and first.status in BRACKETED:
        lines.append(("in between", f"not given: {_compressed(report, report.between)}"))
    return lines


def _should_be(report: Report, first: Finding) -> Lines:
    """What is to be looked at: the step, or all steps between what was known right and it, in order."""
    names = (*(report.between if first.status in BRACKETED else ()), first.name)
    made = [formula(name, report.case) for name in names]
    if len(names) == 1:
        lines = [("it should be", made[0].text)]
    elif len(names) <= WRITTEN_OUT:
        lines = [("it should be" if not i else "", f"{name} = {one.text}")
                 for i, (name, one) in enumerate(zip(names, made, strict=True))]  # fmt: skip
    else:
        lines = [("one of these", f"{len(names)} steps, in order: {_compressed(report, names)}")]
    files = dict.fromkeys(file for one in made for file in one.files)
    return [*lines, ("look at", ", ".join(files))]


def _others(report: Report, first: Finding) -> Lines:
    """The other wrong tensors: those with errors of their own are other places where something is wrong."""
    known = mistakes(report)
    lines = []
    for mistake in known:
        names = [finding.name for finding in mistake.findings if finding.name != first.name]
        if first in mistake.findings:
            lines += [("the same", f"this kind of step is wrong at {_compressed(report, names)}, too")] if names else []
    others = [mistake for mistake in known if first not in mistake.findings]
    same = [mistake for mistake in others if _is_explained(report, mistake)]
    if same:
        names = [finding.name for mistake in same for finding in mistake.findings]
        by = "the same cause" if report.diagnosis and len(report.diagnosis.causes) == 1 else "these causes"
        lines.append(("explained", f"by {by}: {_compressed(report, names)}"))
    others = [mistake for mistake in others if mistake not in same]
    for i, mistake in enumerate(others[: NAMED - 1]):
        lines.append(("also wrong" if not i else "", _one(report, mistake)))
    if left := others[NAMED - 1 :]:
        names = [finding.name for mistake in left for finding in mistake.findings]
        lines.append(("", f"and {len(left)} more kinds of steps: {_compressed(report, names)}"))
    return [*lines, ("the others", _counted(report))]


def _is_explained(report: Report, mistake: Mistake) -> bool:
    """Whether the causes that are named explain all of it."""
    found = report.diagnosis
    causes = found.causes if found and found.outcome == "named" else ()
    tensors = {name for cause in causes for name in cause.tensors}
    return all(finding.name in tensors for finding in mistake.findings)


def _one(report: Report, mistake: Mistake) -> str:
    """A mistake in a line."""
    worst = mistake.findings[0]
    size = "" if worst.own is None else f", {number(worst.own)} times what rounding explains in its own step"
    how = "" if worst.status == "added" else f" ({WHY[worst.status]})"
    return f"{_compressed(report, [finding.name for finding in mistake.findings])}{size}{how}"


def _counted(report: Report) -> str:
    """What became of the tensors that no mistake was found at."""
    wrong = [finding for finding in report.findings if finding.status in WRONG]
    inherited = sum(finding.status == "inherited" for finding in wrong)
    explained = [finding.explained_by for finding in wrong if finding.explained_by]
    right = sum(finding.status == "right" for finding in report.findings)
    texts = [f"{inherited} inherited their errors"] if inherited else []
    if explained:
        by = ", ".join(dict.fromkeys(explained))
        texts.append(f"{len(explained)} may be wrong for the same reason as {by}: a step between was not given")
    return "; ".join([*texts, f"{right} right"])


def _compressed(report: Report, names: Sequence[str]) -> str:
    return compressed(names, report.case["config"]["num_hidden_layers"])


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _it(names: Sequence[str]) -> str:
    return "them" if len(names) > 1 else "it"


def legal(text: str) -> str:
    """The text, with a question mark for every character that a file can't hold."""
    return ILLEGAL.sub("?", text)


def _notes(report: Report) -> Lines:
    return [("note", note) for note in report.notes]


def advice(report: Report, replay: str | None = None) -> str:
    """What to do next about a report that diverges; `replay` is the command that makes it again."""
    first = first_finding(report)
    if first is None:
        return ""
    if first.status == "unsteady":
        return "switch dropout off (evaluation mode) and fix what races, then verify again"
    if first.status == "shape":
        return "give it in the expected shape; a mapping file declares other layouts of a dump"
    live = not report.subject.startswith("dump:")
    if report.ask and first.status in ("wrong", "not-finite"):
        if "kernels=on" in report.subject:
            return f"verify with kernels=off, which shows {listed(report.ask)}"
        return f"have it give {listed(report.ask)}, too, and verify again: {first.name} is made from {_it(report.ask)}"
    if live and replay and "--shrink" not in replay:
        return f"{replay} --shrink   finds the smallest case that still fails"
    return f"compare your code of this step with {formula(first.name, report.case).files[0]}, line by line"


def explain(report: Report, replay: str | None = None) -> str:
    """A report as text of a few lines, for tests and logs."""
    lines = [headline(report), *(f"  {label:12}  {text}" for label, text in details(report))]
    todo = advice(report, replay)
    return "\n".join([*lines, *([f"  {'next':12}  {todo}"] if todo else [])])
