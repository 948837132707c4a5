"""RoBERTa, DistilBERT and ALBERT as every kind of subject, right and with a mistake: `onnx:`, `dump:`, `cmd:`."""

import shlex
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from bertref.onnx_export import export
from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.exchange import write_answers, write_case
from bertref.verify.records import Case, Report
from bertref.verify.subjects import parse
from tests.verify.mistakes import OF_VARIANTS
from tests.verify.mistakes.measure import subject

PROGRAM = Path(__file__).parent / "examples" / "embeddings_of_variants.py"
DUMPED = {
    "roberta": "roberta-positions-offset-1", "distilbert": "distilbert-classifier-relu-missing",
    "albert": "albert-gradient-of-last-layer",
}  # fmt: skip
"""The mistake in a dump."""
ASKED = {
    "roberta": ("offset", "embeddings.position", "embeddings.positions_offset"),
    "distilbert": ("norm", "embeddings.norm", "norm.missing"),
    "albert": ("projection", "embeddings.projection", "dense.no_bias"),
}  # fmt: skip
"""The mistake of the program, the first tensor that it makes wrong, and the cause."""
EXPORTED = {
    "roberta": ("Tanh", "Relu", "pooled", "activation.relu"), "albert": ("Tanh", "Relu", "pooled", "activation.relu"),
    "distilbert": ("Max", "Add", "pooled", "activation.missing"),
}  # fmt: skip
"""The op that is exchanged in an ONNX file, by which, the first wrong tensor, and the cause. The larger of x and 0 is
relu; with the sum of both there is none."""
VARIANTS = tuple(DUMPED)


def causes(report: Report) -> set[str]:
    return {cause.id for cause in report.diagnosis.causes} if report.diagnosis else set()


def seen(report: Report) -> set[str]:
    return {finding.name for finding in report.findings if finding.status not in ("missing", "unjudged")}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_dump_is_judged(variant: str, tmp_path: Path) -> None:
    mistake = next(one for one in OF_VARIANTS if one.name == DUMPED[variant])
    case = generate(7, **mistake.case)
    write_case(case, tmp_path / "case")
    for name, made in (("right", subject()), ("wrong", subject(mistake))):
        write_answers(dict(made.answer(case).values), case, tmp_path / "case" / name, precision="float32")
    right, wrong = (_of_dump(tmp_path / "case" / name) for name in ("right", "wrong"))
    assert right.verdict == "right"
    assert {"layer.1.probs", "grad:layer.0.query", "loss.total"} <= seen(right)
    assert (wrong.first, causes(wrong)) == (mistake.first, set(mistake.causes))


def _of_dump(folder: Path) -> Report:
    """Judged by the case that lies around it."""
    dumped = parse(f"dump:{folder}")
    case = dumped.case()  # type: ignore[attr-defined]
    assert isinstance(case, Case)
    return check(dumped, case)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_command_is_judged(variant: str) -> None:
    mistake, first, cause = ASKED[variant]
    command = f"cmd:{shlex.quote(sys.executable)} {shlex.quote(str(PROGRAM))} {{case}} {{out}}"
    case = generate(8, variant=variant)
    right, wrong = check(parse(command), case), check(parse(f"{command} {mistake}"), case)
    assert right.verdict == "right"
    assert {"embeddings.position", "embeddings.norm"} <= seen(right)
    assert ("embeddings.projection" in seen(right)) == (variant == "albert")
    assert (wrong.first, causes(wrong)) == (first, {cause})


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_onnx_file_is_judged(variant: str, tmp_path: Path) -> None:
    op, other, first, cause = EXPORTED[variant]
    head = None if variant == "albert" else "sequence_classification"
    case = generate(9, variant=variant, **({"head": head} if head else {}))
    path = export(case.params, case.config, case.numerics, tmp_path / "model.onnx", heads=case.heads)
    right = check(parse(f"onnx:{path}"), case)
    assert right.verdict == "right"
    assert {"embeddings.position", "layer.1.output", "pooled"} <= seen(right)
    wrong = check(parse(f"onnx:{_exchanged(path, op, other)}"), case)
    assert (wrong.first, causes(wrong)) == (first, {cause})


def _exchanged(path: Path, op: str, other: str) -> Path:
    """The file with another op in place of the last one of a kind."""
    model: Any = onnx.load(path)
    [*_, node] = (node for node in model.graph.node if node.op_type == op)
    node.op_type = other
    changed = path.with_name("changed.onnx")
    onnx.save(model, changed)
    return changed
