"""One name for one thing: no two rooms have a class of the same name."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from .test_imports import modules

PARALLEL = {
    "Cache", "ClassificationSide", "DropoutAddNormCache", "EncodingSide", "FinetuningSide", "Ops", "PredictionSide",
    "PretrainingSide", "SideBySide", "Tokenizing",
}  # fmt: skip
"""Modules that are alike may name their parts alike: kernels (also as the op they replace), the sides of a race."""


def classes() -> Iterator[tuple[str, str]]:
    """Every public class and the module that has it."""
    for path, module, _ in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, module


def test_no_two_classes_share_a_name() -> None:
    found = defaultdict(list)
    for name, module in classes():
        found[name].append(module)
    twice = {name: where for name, where in found.items() if len(where) > 1}
    assert not {name: where for name, where in twice.items() if name not in PARALLEL}
    assert twice.keys() == PARALLEL, "an exception that is not needed any more"
