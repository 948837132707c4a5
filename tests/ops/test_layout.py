"""Every op is written to one plan: one file, its formula and source, forward and backward, cache and gradients."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import bertref.ops
from bertref.golden.generate.op_inputs import INPUTS
from bertref.ops import OPS

FOLDER = Path(bertref.ops.__file__).parent
FILES = sorted(file for file in FOLDER.glob("*.py") if file.stem not in ("__init__", "_wide", "op"))


def module_of(op: str) -> Any:
    return importlib.import_module(OPS[op].forward.__module__)


def parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def grads_of(op: str) -> Any:
    return inspect.signature(OPS[op].backward).return_annotation


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_has_a_page_of_prose_and_its_op_is_registered(file: Path) -> None:
    module = importlib.import_module(f"bertref.ops.{file.stem}")
    assert re.search(r"^Source: \S", module.__doc__ or "", re.M), "the docstring names no source"
    assert re.search(r"^    \S.* = ", module.__doc__ or "", re.M), "the docstring has no formula"
    assert [name for name in OPS if module_of(name) is module], "no op of this file is in OPS"


@pytest.mark.parametrize("op", OPS)
def test_an_op_is_named_after_its_variable(op: str) -> None:
    assert OPS[op].name == op
    assert getattr(module_of(op), op) is OPS[op]


@pytest.mark.parametrize("op", OPS)
def test_signatures(op: str) -> None:
    forward, backward = parameters(OPS[op].forward), parameters(OPS[op].backward)
    assert [p.name for p in backward[:3]] == ["xp", "dy", "cache"]
    assert forward[0].name == "xp"
    for parameter in forward[1:]:
        annotation = str(parameter.annotation)
        is_array = "Any" in annotation and "Callable" not in annotation
        keyword_only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert is_array != keyword_only, f"{parameter.name}: arrays are positional, options are named"
    extra = [p.name for p in backward[3:]]
    assert extra == (["probe"] if OPS[op].probes else [])
    assert ("probe" in [p.name for p in forward]) == bool(OPS[op].probes)


@pytest.mark.parametrize("op", OPS)
def test_gradients_are_named_after_arguments(op: str) -> None:
    arguments = {p.name for p in parameters(OPS[op].forward)}
    fields = grads_of(op)._fields
    assert fields
    assert set(fields) <= arguments
    assert fields == tuple(name for name in (p.name for p in parameters(OPS[op].forward)) if name in fields)
    assert set(fields) == set(INPUTS[op].differentiable), "the goldens hold other gradients than the op returns"


@pytest.mark.parametrize("op", OPS)
def test_cache_and_gradients_are_explained(op: str) -> None:
    cache = parameters(OPS[op].backward)[2].annotation
    for record in (cache, grads_of(op)):
        assert issubclass(record, tuple)
        assert hasattr(record, "_fields")
        assert record.__doc__
        assert not record.__doc__.startswith(f"{record.__name__}("), "only the generated docstring"
    for function in (OPS[op].forward, OPS[op].backward):
        assert function.__doc__
        assert "->" in function.__doc__, "the shapes are missing"


@pytest.mark.parametrize("op", OPS)
def test_backward_quotes_a_line_of_forward(op: str) -> None:
    """A comment in backward says which line it inverts; add's is the whole op."""
    source = inspect.getsource(OPS[op].backward)
    assert re.search(r"# .*\w+.* = ", source)


def test_no_op_is_forgotten() -> None:
    """Every `Op(...)` in the folder is in OPS."""
    made = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Op":
                made.add(node.args[0].value)
    assert made == set(OPS)
