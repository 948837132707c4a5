"""Edge cases behave as the docstrings state, and what they state is tested."""

import re
from typing import Any

import pytest

from bertref.ops import OPS

from .edges import EDGES, ELSEWHERE, Edge

CASES = [pytest.param(op, edge, id=f"{op}-{i}") for op in OPS for i, edge in enumerate(EDGES[op])]


def docstring(op: str) -> str:
    """The text of the op's module, on one line."""
    module = __import__(OPS[op].forward.__module__, fromlist=["forward"])
    return " ".join(module.__doc__.split())


def stated(op: str) -> list[str]:
    """The statements of the paragraph on edge cases."""
    module = __import__(OPS[op].forward.__module__, fromlist=["forward"])
    paragraphs = [" ".join(part.split()) for part in module.__doc__.split("\n\n")]
    edge_cases = [part.removeprefix("Edge cases: ") for part in paragraphs if part.startswith("Edge cases:")]
    return [s.strip() for part in edge_cases for s in re.split(r";|\. |\.$", part) if s.strip()]


@pytest.mark.parametrize(("op", "edge"), CASES)
def test_forward(op: str, edge: Edge, xp: Any) -> None:
    edge.forward(OPS[op], xp)


@pytest.mark.parametrize(("op", "edge"), CASES)
def test_backward(op: str, edge: Edge, xp: Any) -> None:
    edge.backward(OPS[op], xp)


@pytest.mark.parametrize("op", OPS)
def test_every_statement_is_tested(op: str) -> None:
    tested = {edge.statement for edge in EDGES[op]} | {text for name, text in ELSEWHERE if name == op}
    assert set(stated(op)) <= tested


@pytest.mark.parametrize("op", OPS)
def test_every_quotation_is_in_the_docstring(op: str) -> None:
    for statement in {edge.statement for edge in EDGES[op]} | {text for name, text in ELSEWHERE if name == op}:
        assert statement in docstring(op)
