"""Every head with every kind of subject, forward, backward and a step: right code is right, and what can't be asked of
a kind is listed with its reason."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bertref.onnx_export import export as export_onnx
from bertref.verify.cases.case import generate
from bertref.verify.cases.targets import HEADS
from bertref.verify.checking import check
from bertref.verify.exchange import read_case, settings_digest, write_answers, write_case
from bertref.verify.graph.axes import AxesOf, split
from bertref.verify.graph.replay import Replay
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.cache import key as cache_key
from bertref.verify.judgement.reference import answer_names, reference
from bertref.verify.meant import GROUPS, case_for
from bertref.verify.records import Arrays, Case, Report
from bertref.verify.report.formulas import formula
from bertref.verify.report.layout import maps
from bertref.verify.report.words import explain
from bertref.verify.subjects import parse
from bertref.verify.subjects.command import CommandSubject
from bertref.verify.subjects.dump import DumpSubject
from bertref.verify.subjects.onnx import OnnxSubject
from bertref.verify.subjects.python import PythonSubject

SIZES = {"L": 1, "H": 12, "A": 3, "I": 20, "V": 31, "S": 9}

LEFT_OUT = [
    (tuple(HEADS), ("onnx",), ("backward", "update"), "a file for inference has no gradients"),
    (("sentence_embedding",), ("onnx",), ("forward",), "the exporter writes no pooling"),
    (("sentence_embedding",), ("transformers",), ("backward", "update"), "no class of the library has such a loss"),
]
"""Heads, kinds, parts, and why nothing is judged there."""


def left_out(head: str, kind: str) -> set[str]:
    return {part for heads, kinds, parts, _ in LEFT_OUT if head in heads and kind in kinds for part in parts}


@cache
def case_of(head: str) -> Case:
    return generate(77, head=head, **SIZES)


@cache
def answers_of(head: str) -> Arrays:
    """A right implementation's, that shares no code with the steps."""
    return parse("torch:dtype=float32,kernels=off").answer(case_of(head)).values


def by_backend(head: str, folder: Path) -> Report:
    return check(parse("numpy:kernels=off"), case_of(head))


def by_transformers(head: str, folder: Path) -> Report:
    return check(parse("transformers"), case_of(head))


def by_python(head: str, folder: Path) -> Report:
    case = case_of(head)

    def forward(given: dict[str, object]) -> Arrays:
        assert given["head"] == head
        targets = given["targets"]
        assert isinstance(targets, dict)
        assert {name: value.tolist() for name, value in targets.items()} == {
            name: np.asarray(value).tolist() for name, value in case.targets.items()
        }
        return answers_of(head)

    return check(PythonSubject(forward), case)


def by_dump(head: str, folder: Path) -> Report:
    write_case(case_of(head), folder / "case")
    write_answers(answers_of(head), case_of(head), folder / "case" / "answers", precision="float32")
    return check(DumpSubject(folder / "case" / "answers"))


def by_command(head: str, folder: Path) -> Report:
    write_answers(answers_of(head), case_of(head), folder / "answers", precision="float32")
    return check(CommandSubject(f"sh -c 'test -f {{case}}/index.tsv && cp {folder}/answers/* {{out}}'"), case_of(head))


def by_onnx(head: str, folder: Path) -> Report:
    case = case_of(head)
    export_onnx(case.params, case.config, case.numerics, folder / "model.onnx", heads=case.heads)
    return check(OnnxSubject(folder / "model.onnx"))


KINDS: dict[str, Callable[[str, Path], Report]] = {
    "backend": by_backend, "transformers": by_transformers, "python": by_python, "dump": by_dump, "cmd": by_command,
    "onnx": by_onnx,
}  # fmt: skip


ASKED = [(kind, head) for kind in KINDS for head in HEADS if "forward" not in left_out(head, kind)]


@pytest.mark.parametrize(("kind", "head"), ASKED)
def test_right_code_is_right_with_every_head(kind: str, head: str, tmp_path: Path) -> None:
    missing = left_out(head, kind)
    report = KINDS[kind](head, tmp_path)
    assert report.verdict == "right", explain(report)
    judged = {split(finding.name)[0] for finding in report.findings if finding.status == "right"}
    assert judged == {prefix for part, prefix in GROUPS.items() if part not in missing}


@pytest.mark.parametrize("head", HEADS)
def test_the_steps_make_what_the_model_makes(head: str) -> None:
    case = case_of(head)
    found, graph = reference(case).values, Graph(case)
    right, axes = Replay(graph, {}), AxesOf(case)
    assert found.keys() == graph.steps.keys() == set(answer_names(case))
    for name, value in found.items():
        wanted = right(name)
        assert value.shape == axes(name).shape, name
        size = max(float(np.abs(wanted).max()), 1e-3)
        np.testing.assert_allclose(axes(name).clean(value), wanted, rtol=1e-9, atol=1e-11 * size, err_msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_a_loss_goes_down_along_its_gradient(head: str) -> None:
    """Against differences of losses that the model computes, in a random direction."""
    case = case_of(head)
    draw = np.random.default_rng(5)
    way = {name: draw.standard_normal(array.shape) for name, array in case.params.items()}
    grads = reference(case, [f"grad:{name}" for name in way]).values
    slope = sum(float((grads[f"grad:{name}"] * way[name]).sum()) for name in way)

    def loss(step: float) -> float:
        moved = {name: array + step * way[name] for name, array in case.params.items()}
        return float(reference(replace(case, params=moved), ["loss.total"]).values["loss.total"])

    h = 1e-6
    assert (loss(h) - loss(-h)) / (2 * h) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_a_case_folder_keeps_the_head(head: str, tmp_path: Path) -> None:
    case = case_of(head)
    again = read_case(write_case(case, tmp_path / "case"))
    assert (again.heads, again.objective, again.num_labels, again.choices) == (
        case.heads, case.objective, case.num_labels, case.choices,
    )  # fmt: skip
    assert {name: value.tolist() for name, value in again.targets.items()} == {
        name: value.tolist() for name, value in case.targets.items()
    }
    assert settings_digest(again) == settings_digest(case)


@pytest.mark.parametrize("head", HEADS)
def test_every_answer_has_a_formula_and_a_place(head: str) -> None:
    case = case_of(head)
    report = check(PythonSubject(lambda given: answers_of(head)), case)
    for name in answer_names(case):
        text = formula(name, report.case).text
        assert text
        assert "{" not in text
    assert sum(len(one.findings) for one in maps(report)) == len(report.findings)


def test_another_objective_has_another_noise_floor() -> None:
    names, cases = answer_names(case_of("sequence_classification")), (case_of("sequence_classification"),)
    other = replace(cases[0], objective="multi_label", targets={"labels": np.ones((5, 3))})
    moved = replace(cases[0], targets={"labels": cases[0].targets["labels"][::-1].copy()})
    assert len({cache_key(one, "float32", names) for one in (*cases, other, moved)}) == 3


def test_the_subject_says_which_head_it_has() -> None:
    def forward(given: dict[str, object]) -> Arrays:
        return {}

    forward.head, forward.choices = "multiple_choice", 4  # type: ignore[attr-defined]
    case = case_for(PythonSubject(forward))
    assert (case.objective, case.choices) == ("multiple_choice", 4)
    assert case_for(PythonSubject(forward), head="regression").objective == "regression"
