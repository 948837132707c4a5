"""Any Python object as a subject: the protocol, its examples, and what is said when it isn't kept."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertref.errors import InputError
from bertref.verify.cases.case import generate
from bertref.verify.checking import check
from bertref.verify.subjects import parse
from bertref.verify.subjects.python import PythonSubject, case_dict, import_subject
from bertref.verify.subjects.transformers import TransformersSubject

from .compare import errors, worst

CASE = generate(61)


PLAIN = """
from torch import nn

class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, input_ids, attention_mask):
        return self.layer(input_ids)

class Protocol(nn.Module):
    def forward(self, case):
        return {"loss.total": 0.0}
"""


def test_a_torch_module_of_another_build_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(PLAIN, encoding="utf-8")
    spec = f"python:{tmp_path / 'plain.py'}"
    said = r"Bert is a torch module, but not of .* TransformersSubject\(model\), or"
    with pytest.raises(InputError, match=said) as one:
        parse(f"{spec}:Bert")
    assert "forward(case)" in str(one.value)
    assert parse(f"{spec}:Protocol").answer(CASE).values == {"loss.total": 0.0}
    import torch

    with pytest.raises(InputError, match=r"verify: Linear is a torch module, but not of Hugging Face's build"):
        check(torch.nn.Linear(2, 2), CASE)


def test_a_case_is_plain_and_shared_with_nobody() -> None:
    given = case_dict(CASE, "float32", {"pooled", "loss.mlm"})
    assert given["config"]["num_hidden_layers"] == 2
    assert given["config"]["layer_norm_eps"] == CASE.numerics.layer_norm_eps
    assert given["numerics"]["gelu"] == "erf"
    assert given["wanted"] == ["loss.mlm", "pooled"]
    assert given["params"].keys() == CASE.params.keys()
    assert {array.dtype for array in given["params"].values()} == {np.dtype(np.float32)}
    assert {array.dtype for array in case_dict(CASE, "float64")["params"].values()} == {np.dtype(np.float64)}
    assert given["optimizer"]["kind"] == "adamw"
    assert given["optimizer"]["step"] == 7
    assert "bert.pooler.dense.weight" in given["optimizer"]["decayed"]
    assert "bert.pooler.dense.bias" not in given["optimizer"]["decayed"]
    before = {name: array.copy() for name, array in CASE.params.items()}
    for array in (*given["params"].values(), *given["batch"].values(), *given["optimizer"]["moments"].values()):
        array[...] = 7
    assert all(np.array_equal(before[name], array) for name, array in CASE.params.items())
    assert case_dict(generate(1, optimizer=None))["optimizer"] is None


def reference_values() -> dict[str, Any]:
    return dict(parse("numpy:dtype=float64,kernels=off").answer(CASE).values)


def test_methods_and_short_names() -> None:
    values = reference_values()
    weight, asked = "bert.pooler.dense.weight", []

    class Subject:
        name, precision = "mine", "float64"

        def forward(self, case: Any) -> Any:
            asked.append("forward")
            return {
                "pooled": torch.from_numpy(values["pooled"]),
                "loss.total": values["loss.total"][None],
                "nsp.logits": None,
            }

        def gradients(self, case: Any) -> Any:
            asked.append("gradients")
            return {
                weight: values[f"grad:{weight}"],
                "grad:pooled": values["grad:pooled"],
                "layer.0.output": values["grad:layer.0.output"],
            }

        def update(self, case: Any) -> Any:
            asked.append("update")
            return {weight: values[f"update:{weight}"]}

    subject = PythonSubject(Subject())
    assert (subject.name, subject.precision) == ("mine", "float64")
    found = subject.answer(CASE).values
    assert set(found) == {
        "pooled", "loss.total", f"grad:{weight}", "grad:pooled", "grad:layer.0.output", f"update:{weight}"
    }  # fmt: skip
    assert worst(CASE, found) < 1e-12
    asked.clear()
    assert set(subject.answer(CASE, {"pooled"}).values) == {"pooled"}
    assert asked == ["forward"], "what nobody wants is not computed"


def test_a_function_may_answer_everything() -> None:
    values = reference_values()
    found = PythonSubject(lambda case: values, name="all", precision="float64").answer(CASE)
    assert found.values.keys() == values.keys()
    assert worst(CASE, found.values) < 1e-9


def test_bfloat16_is_read() -> None:
    values = reference_values()
    half = {"pooled": torch.from_numpy(values["pooled"]).bfloat16()}
    found = PythonSubject(lambda case: half, precision="bfloat16").answer(CASE).values["pooled"]
    assert found.dtype == np.float32
    assert 1e-4 < errors(CASE, {"pooled": found})["pooled"] < 1e-2


def raises(case: Any) -> Any:
    raise RuntimeError("no such layer\nand more")


@pytest.mark.parametrize(
    ("implementation", "words"),
    [
        (raises, ("forward(case) failed: RuntimeError: no such layer", "test_python.py, line")),
        (lambda case: [1, 2], ("gave list", "a dict")),
        (lambda case: {"layer.0.outputs": 1.0}, ("'layer.0.outputs'", "is it 'layer.0.output'?")),
        (lambda case: {"pooled": "text"}, ("pooled", "give floating-point arrays")),
        (lambda case: {"loss.total": object()}, ("loss.total", "give floating-point arrays")),
    ],
)
def test_what_is_said_of_a_broken_one(implementation: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        PythonSubject(implementation, name="mine").answer(CASE)
    message = str(caught.value)
    assert message.startswith("mine: ")
    assert all(word in message for word in words), message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("thing", [3, None, object()])
def test_what_is_no_subject(thing: Any) -> None:
    with pytest.raises(InputError, match="is not a function and has no method forward"):
        PythonSubject(thing)


def test_an_unknown_precision() -> None:
    with pytest.raises(InputError, match="precision is 'float8'"):
        PythonSubject(raises, precision="float8")


# ---------------------------------------------------------------------------------------------------------------------
# by name

MODULE = """
import bertref_subjects_under_test_helper
"""
FACTORIES = """
import torch, transformers

def forward(case):
    return {"pooled": case["params"]["bert.pooler.dense.bias"]}

def make():
    return forward

def broken():
    raise OSError("no weights here")

class Subject:
    precision = "float64"
    def forward(self, case):
        return {}

class NeedsArguments:
    def __init__(self, path):
        self.path = path

instance = Subject()
number = 3

def model():
    return transformers.BertForPreTraining(transformers.BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=9)).eval()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, which Python wouldn't look in."""
    name = "bertref_subjects_under_test"
    (tmp_path / f"{name}.py").write_text(FACTORIES, encoding="utf-8")
    (tmp_path / "needs.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "syntax.py").write_text("def (", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for known in (name, "needs", "syntax"):
        monkeypatch.delitem(sys.modules, known, raising=False)
    return name


def test_factories(module: str) -> None:
    for attribute in ("forward", "make"):
        subject = import_subject(f"{module}:{attribute}")
        assert isinstance(subject, PythonSubject)
        assert set(subject.answer(CASE).values) == {"pooled"}
        assert subject.name == f"python:{module}:{attribute}"
    for attribute in ("Subject", "instance"):
        assert import_subject(f"{module}:{attribute}").precision == "float64"
    subject = import_subject(f"{module}:model")
    assert isinstance(subject, TransformersSubject)
    assert subject.weights() is not None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module:f", "no such module"),
        ("no/such/file.py:f", "no such file"),
        ("needs:f", "needs the module bertref_subjects_under_test_helper"),
        ("syntax:f", "can't be imported: SyntaxError"),
        ("{module}:forwards", "has no forwards; is it forward?"),
        ("{module}:broken", r"broken\(\) failed: OSError: no weights here"),
        ("{module}:NeedsArguments", "class that needs arguments"),
        ("{module}:number", "int"),
        ("{module}:", "names no factory"),
    ],
)
def test_a_wrong_target(module: str, target: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        import_subject(target.format(module=module))
    assert len(str(caught.value).splitlines()) == 1
