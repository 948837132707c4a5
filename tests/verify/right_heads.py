"""Right implementations of every head, for every kind of subject, each drawn from a seed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bertref.onnx_export import export
from bertref.verify.cases.case import generate
from bertref.verify.cases.targets import HEADS
from bertref.verify.exchange import write_answers, write_case
from bertref.verify.records import Arrays, Case
from bertref.verify.subject import Subject
from bertref.verify.subjects import parse
from bertref.verify.subjects.command import CommandSubject
from bertref.verify.subjects.dump import DumpSubject
from bertref.verify.subjects.onnx import OnnxSubject
from bertref.verify.subjects.python import PythonSubject

NOT_IN_FILES = ("sentence_embedding",)
"""The exporter writes no pooling."""
Draw = np.random.Generator


def _precision(draw: Draw) -> str:
    return str(draw.choice(["float32", "float32", "bfloat16"]))


def _answers(case: Case, precision: str) -> Arrays:
    return parse(f"torch:dtype={precision},kernels=off").answer(case).values


def backend(case: Case, folder: Path, draw: Draw) -> Subject:
    return parse(f"{draw.choice(['numpy', 'torch'])}:dtype=float32,kernels={draw.choice(['on', 'off'])}")


def transformers(case: Case, folder: Path, draw: Draw) -> Subject:
    return parse(f"transformers:attention={draw.choice(['eager', 'sdpa'])},dtype={_precision(draw)}")


def python(case: Case, folder: Path, draw: Draw) -> Subject:
    precision = _precision(draw)
    return PythonSubject(lambda given: _answers(case, precision), name="python", precision=precision)


def dump(case: Case, folder: Path, draw: Draw) -> Subject:
    precision = _precision(draw)
    write_case(case, folder / "case")
    write_answers(_answers(case, precision), case, folder / "case" / "answers", precision=precision)
    return DumpSubject(folder / "case" / "answers")


def command(case: Case, folder: Path, draw: Draw) -> Subject:
    precision = _precision(draw)
    write_answers(_answers(case, precision), case, folder / "answers", precision=precision)
    return CommandSubject(f"sh -c 'test -f {{case}}/index.tsv && cp {folder}/answers/* {{out}}'")


def onnx(case: Case, folder: Path, draw: Draw) -> Subject:
    export(case.params, case.config, case.numerics, folder / "model.onnx", heads=case.heads)
    return OnnxSubject(folder / "model.onnx")


OF_HEADS: dict[str, Callable[[Case, Path, Draw], Subject]] = {
    "heads-backend": backend, "heads-transformers": transformers, "heads-python": python, "heads-dump": dump,
    "heads-cmd": command, "heads-onnx": onnx,
}  # fmt: skip
"""Kinds of subjects."""


def subject_of_head(kind: str, seed: int, base: Case, folder: Path) -> tuple[Subject, Case]:
    """A subject and a case of the sizes of `base`; the heads take turns with the seed."""
    heads = [head for head in HEADS if kind != "heads-onnx" or head not in NOT_IN_FILES]
    options = {name: value for name, value in base.origin["options"].items() if name != "edge"}
    head = heads[seed % len(heads)]
    if head == "multiple_choice":
        options["B"] = 3 * max(options["B"] // 3, 1)
    case, home = generate(seed, head=head, **options), folder / f"{kind}-{seed}"
    home.mkdir()
    subject = OF_HEADS[kind](case, home, np.random.default_rng([seed, 4]))
    return subject, (subject.case() or case) if isinstance(subject, DumpSubject) else case
