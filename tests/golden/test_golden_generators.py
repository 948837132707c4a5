"""The generators owe nothing to what they check."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bertref.golden.generate

FILES = sorted(Path(bertref.golden.generate.__path__[0]).glob("*.py"))
ORACLES = {"mpmath", "numpy", "safetensors", "tensorflow", "torch", "transformers"}


def foreign_imports(source: str) -> list[str]:
    """What a generator imports that is neither the standard library's, nor an oracle, nor a generator beside it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [] if node.level == 1 else ["." * node.level + (node.module or "")]
        elif isinstance(node, ast.Name | ast.Attribute) and "import" in ast.unparse(node).split(".")[-1]:
            found.append(ast.unparse(node))  # __import__, importlib.import_module
            continue
        else:
            continue
        found += [name for name in names if name.split(".")[0] not in sys.stdlib_module_names | ORACLES]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_generators_import_oracles_only(file: Path) -> None:
    assert foreign_imports(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import bertref",
        "from bertref.ops import OPS",
        "from ...ops import OPS",
        "from .. import load",
        "import scipy",
        "__import__('bertref.ops')",
        "importlib.import_module('bertref.ops')",
    ],
)
def test_other_imports_are_found(line: str) -> None:
    assert foreign_imports(line)


@pytest.mark.parametrize(
    "line", ["import numpy as np", "from . import common", "from .common import write", "import json"]
)
def test_oracles_are_not(line: str) -> None:
    assert foreign_imports(line) == []


def test_generating_loads_nothing_that_computes() -> None:
    """Of bertref, the generators' process holds the package, its errors and the goldens' own reader."""
    code = (
        "import sys, bertref.golden.generate.__main__\n"
        "print(*sorted(name for name in sys.modules if name.startswith('bertref')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    others = [name for name in loaded if not name.startswith("bertref.golden.generate")]
    assert set(others) == {"bertref", "bertref.errors", "bertref.golden"}
