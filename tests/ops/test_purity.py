"""The ops' sources do nothing that a reference must not do; and the test that says so can tell."""

from pathlib import Path

import pytest

import bertref.ops

from .purity import violations

FILES = sorted(Path(bertref.ops.__file__).parent.glob("*.py"))

ARGUMENTS = "xp, x: Array, y: Array, scale: float, keep: Array | None, flag: bool, probe: InnerProbe | None"
FORBIDDEN = {
    "item assignment": "x[0] = 1",
    "slice assignment": "x[:, 1:] = y",
    "attribute assignment": "x.dtype = y",
    "item in a tuple": "x[0], b = 1, 2",
    "item as a loop variable": "for x[0] in (1, 2): pass",
    "augmented assignment": "x += y",
    "augmented item assignment": "x[0] += y",
    "deletion": "del x[0]",
    "fill": "x.fill(0)",
    "torch's in-place methods": "x.add_(y)",
    "out": "xp.add(x, y, out=x)",
    "branch on an element": "if x[0] > 1: y = x",
    "branch on a reduction": "if xp.any(x): y = x",
    "branch on a name made of an array": "m = xp.max(x)\n    if m > scale: y = x",
    "branch on the truth of an array": "if x: y = x",
    "branch on an optional array's truth": "if keep: y = x",
    "loop on values": "while xp.sum(x) > 0: x = x - 1",
    "assertion on values": "assert xp.all(x > 0)",
    "conditional expression": "y = x if x.item() > 0 else y",
    "and": "y = flag and xp.any(x)",
    "or": "y = x or y",
    "not": "y = not x",
    "condition of a comprehension": "y = [a for a in x if a > 0]",
    "match": "match x.item():\n        case 0: pass",
    "membership": "if 0 in x: y = x",
    "random numbers": "y = xp.random.normal(3)",
    "import of an array library": "import numpy as np",
    "import from an array library": "from torch import nn",
    "import of random": "import random",
    "global": "global z",
}  # fmt: skip
ALLOWED = {
    "presence": "y = x if keep is None else y",
    "a flag": "if flag: y = x",
    "a number": "if scale == -math.inf: y = x",
    "a probe": "if probe: probe('x', x)",
    "a shape": "if x.shape[-1] == 1: y = x",
    "a dtype": "if xp.finfo(x.dtype).bits < 32: y = x",
    "several": "if flag and scale < 0 and keep is not None: y = x",
    "selection": "y = xp.where(x > 0, x, y)",
    "new names": "a, b = x, y",
    "an assertion of presence": "assert keep is not None",
}


def snippet(statement: str) -> str:
    return f"def forward({ARGUMENTS}):\n    {statement}\n    return y\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_ops_are_pure(file: Path) -> None:
    assert violations(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_forbidden_is_found(name: str) -> None:
    assert violations(snippet(FORBIDDEN[name]))


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_is_not(name: str) -> None:
    assert violations(snippet(ALLOWED[name])) == []


def test_conditions_outside_of_functions_are_found() -> None:
    assert violations("import math\nif math.inf > 1:\n    C = 1\n")


def test_fields_of_a_record_count_as_what_they_are_annotated() -> None:
    record = "class Cache(NamedTuple):\n    x: Array\n    has_bias: bool\n\n"
    branch = "def backward(xp, dy: Array, cache: Cache):\n    x, has_bias = cache\n    return dy if {} else x\n"
    assert violations(record + branch.format("has_bias")) == []
    assert violations(record + branch.format("cache.has_bias")) == []
    assert violations(record + branch.format("x"))
    assert violations(record + branch.format("cache.x"))
