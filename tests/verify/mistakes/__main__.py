"""Prints how the verifier fares: `python -m tests.verify.mistakes [--dtype float32] [--filter gelu] [--size small]`.

Exit code 0 if every mistake is found and at least 95 % of them where they are, else 1. With --causes, whether each is
named: exit code 1 if any is given a wrong name. With --without-own, how the tensor is described where the causes that
are right to name aren't known: exit code 1 if anything is named, or a place is wrong. With --pairs 60 --seed 1, or
--triples 20, so many groups of mistakes at once, drawn by chance: exit code 1 if too few of them are named, if anything
else is, or if the first place is wrong. With --blocks, --causes from dumps of the outputs of layers and heads alone.
With --variants, the mistakes in RoBERTa, DistilBERT and ALBERT. With --onnx older, newer, fused or int8, ONNX files
with the mistakes in the forward pass: exit code 1 if fewer than 95 % are found where the file shows them, or 90 % of
those that are more than int8's own rounding.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable

from bertref.verify.graph.axes import split

from . import MISTAKES, OF_VARIANTS
from .in_files import WAYS, InFile, in_files
from .measure import SEED, Outcome, measure_all, measure_blocks
from .pairs import GroupOutcome, groups, measure_group

SHARE = 0.95
"""Of the mistakes, that have to be found at the right tensor."""
PAIRS, TRIPLES = 0.75, 0.5
"""Of the groups, in which every mistake has to be named."""
IN_INT8 = 0.9
"""Of the mistakes in files of int8 that their own rounding leaves visible, that have to be at the right tensor."""
BLOCKS = 0.6
"""Of the mistakes in the forward pass, that have to be named from the outputs of layers and heads alone."""

HEAD = f"{'mistake':36} {'dtype':9} {'found':6} {'first wrong tensor':52} right"


def line(outcome: Outcome) -> str:
    """One row of the table; a wrong tensor is followed by the expected one."""
    first = str(outcome.report.first)
    wrong = "" if outcome.right else f"   expected {outcome.expected}"
    return (
        f"{outcome.mistake.name:36} {outcome.dtype:9} {'yes' if outcome.detected else 'NO':6} {first:52} "
        f"{'yes' if outcome.right else 'NO'}{wrong}"
    )


CAUSES = f"{'mistake':36} {'dtype':9} {'cause':10} named"


def causes(outcomes: Iterable[Outcome], share: float = 0.0) -> int:
    """Prints what the diagnosis says of each mistake, and how often it is right; the exit code, 0 if nothing is wrong
    and this share is right."""
    print(CAUSES)
    counts = Counter[str]()
    for outcome in outcomes:
        found = outcome.report.diagnosis
        said = ", ".join(cause.id for cause in found.causes) if found else ""
        not_covered = outcome.cause == "unknown" and not outcome.covered
        counts["not covered by a family yet" if not_covered else outcome.cause] += 1
        note = "" if not not_covered else "not covered by a family yet"
        print(f"{outcome.mistake.name:36} {outcome.dtype:9} {outcome.cause:10} {said}{note}", flush=True)
    print(f"\n{sum(counts.values())} checks: " + ", ".join(f"{count} {word}" for word, count in counts.most_common()))
    wrong = counts["WRONG"] or counts["failed"] or counts["right"] < share * sum(counts.values())
    return 1 if wrong else 0


def unnamed(outcomes: Iterable[Outcome]) -> int:
    """Prints what the diagnosis says where it can't say what is right; the exit code."""
    print(CAUSES)
    counts = Counter[str]()
    for outcome in outcomes:
        found = outcome.report.diagnosis
        assert found is not None, "asked for"
        said = ", ".join(cause.id for cause in found.causes) or ", ".join(look.kind for look in found.looks)
        place = "" if outcome.right else f"   place {outcome.report.first}, expected {outcome.expected}"
        counts["WRONG" if found.causes else found.outcome] += 1
        counts["described"] += bool(found.looks)
        counts["at the wrong tensor"] += bool(place)
        print(f"{outcome.mistake.name:36} {outcome.dtype:9} {found.outcome:10} {said}{place}", flush=True)
    print(", ".join(f"{count} {word}" for word, count in counts.most_common()))
    return 1 if counts["WRONG"] or counts["failed"] or counts["at the wrong tensor"] else 0


def groups_named(outcomes: Iterable[GroupOutcome], share: float) -> int:
    """Prints which mistakes of each group are named; the exit code, 0 if all of at least this share of groups are."""
    found, all_named, bad = 0, 0, 0
    for one in outcomes:
        missed = [mistake.name for mistake in one.group if mistake not in one.named]
        wrong = (*one.wrong, *(() if one.place else (f"first wrong {one.report.first}",)))
        found, all_named, bad = found + 1, all_named + (not missed), bad + bool(wrong)
        notes = [f"not named: {', '.join(missed)}"] * bool(missed) + [f"WRONG: {', '.join(wrong)}"] * bool(wrong)
        print(" + ".join(mistake.name for mistake in one.group), "; ".join(notes), sep=": ", flush=True)
    print(f"\n{found} groups: all named in {all_named} ({all_named / found:.0%}), something wrong in {bad}")
    return 1 if bad or all_named < share * found else 0


def found_in_files(outcomes: Iterable[InFile]) -> int:
    """Prints where each file is said to be wrong; the exit code, 0 if enough of those that can be made are right."""
    print(f"{'mistake':36} {'file':6} {'first wrong tensor':52} right")
    counts, share = Counter[str](), SHARE
    for one in outcomes:
        share = IN_INT8 if one.way == "int8" else share
        if one.report is None:
            kind, said = "without a file" if one.right else "REFUSED", f"no file: {one.refused}"
        elif one.drowned:
            kind = said = "below int8's rounding"
        else:
            kind, place = ("right", "yes") if one.right else ("elsewhere", f"NO   expected {one.first} at {one.shown}")
            said = f"{one.report.first!s:52} {place}"
        counts[kind] += 1
        print(f"{one.mistake.name:36} {one.way:6} {said}", flush=True)
    print("\n" + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    return 0 if counts["right"] >= share * (counts["right"] + counts["elsewhere"]) and not counts["REFUSED"] else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.mistakes", description="Verify known mistakes.")
    parser.add_argument("--dtype", action="append", default=[], help="instead of those that each mistake names")
    parser.add_argument("--filter", default="", help="only mistakes whose name or section contains this")
    parser.add_argument("--size", default="tiny", help="of the case: tiny, small, medium")
    parser.add_argument("--seed", type=int, help=f"of the case ({SEED}); of the drawing of groups (1)")
    parser.add_argument("--causes", action="store_true", help="whether the cause is named, instead of the tensor")
    parser.add_argument("--without-own", action="store_true", help="what is named when the right cause isn't known")
    parser.add_argument("--blocks", action="store_true", help="causes from dumps of the outputs of layers and heads")
    parser.add_argument("--variants", action="store_true", help="mistakes in other networks than BERT")
    parser.add_argument("--onnx", action="append", choices=WAYS, help="in ONNX files made in this way")
    parser.add_argument("--pairs", type=int, default=0, help="so many pairs of mistakes")
    parser.add_argument("--triples", type=int, default=0, help="so many groups of three")
    options = parser.parse_args(arguments)
    for count, size, share in ((options.pairs, 2, PAIRS), (options.triples, 3, TRIPLES)):
        if count:
            return groups_named(map(measure_group, groups(count, size, options.seed or 1)), share)
    every = OF_VARIANTS if options.variants else MISTAKES
    chosen = [one for one in every if options.filter in one.name or options.filter in one.section]
    if not chosen:
        print(f"no mistake has {options.filter!r} in its name or section", file=sys.stderr)
        return 2
    if options.onnx:
        return found_in_files(in_files(chosen, options.onnx))
    how = {"seed": options.seed or SEED, "size": options.size}
    if options.blocks:
        forward = (one for one in chosen if not split(one.first)[0])
        return causes((measure_blocks(one, seed=how["seed"]) for one in forward), BLOCKS)
    if options.without_own:
        return unnamed(measure_all(chosen, options.dtype, without_own=True, **how))
    if options.causes:
        return causes(measure_all(chosen, options.dtype, diagnosis=True, **how))
    print(HEAD)
    outcomes = []
    for outcome in measure_all(chosen, options.dtype, **how):
        outcomes.append(outcome)
        print(line(outcome), flush=True)
    found, right = sum(o.detected for o in outcomes), sum(o.right for o in outcomes)
    print(f"\n{len(outcomes)} checks: {found} found, {right} at the right tensor ({right / len(outcomes):.1%})")
    return 0 if found == len(outcomes) and right >= SHARE * len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
