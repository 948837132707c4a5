"""The formulas name what a step is really made from, and files that exist."""

import re
from pathlib import Path

import pytest

from bertref.verify.cases.case import describe, generate
from bertref.verify.graph.steps import Graph
from bertref.verify.report.formulas import formula

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = [{}, {"dialect": "google"}, {"optimizer": "lamb", "hidden_act": "relu"}, {"hidden_act": "tanh", "L": 1}]


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "google", "lamb-relu", "tanh-one-layer"])
def test_every_formula_names_the_inputs_of_its_step_and_no_others(options: dict[str, object]) -> None:
    case = generate(0, **options)
    graph, about = Graph(case), describe(case)
    for step in graph:
        if step.name.startswith("update:"):
            continue
        text = formula(step.name, about).text
        named = {word for word in re.findall(r"[\w.:]+", text.replace(".T", "")) if word in graph.steps}
        assert named == set(step.inputs), f"{step.name}: {text}"


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "google", "lamb-relu", "tanh-one-layer"])
def test_every_file_exists(options: dict[str, object]) -> None:
    case = generate(0, **options)
    about = describe(case)
    for step in Graph(case):
        for file in formula(step.name, about).files:
            assert (ROOT / file).is_file(), f"{step.name}: {file}"


def test_the_dialect_decides_which_file() -> None:
    names = ["layer.0.ffn_act", "update:cls.predictions.bias"]
    google, other = (describe(generate(0, dialect=d, optimizer="lamb")) for d in ("google", "huggingface"))
    assert [formula(n, google).files[0] for n in names] == ["bertref/ops/gelu_tanh.py", "bertref/optim/lamb.py"]
    assert formula(names[0], other).files == ("bertref/ops/gelu_erf.py",)
