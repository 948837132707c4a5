"""The scripts in .ci name tests that exist: those for other machines are seldom run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in (ROOT / ".ci").glob("run-*"))


def test_there_are_scripts() -> None:
    assert {"run-foreign", "run-gpu", "run-xla"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_tests_that_a_script_names_exist(name: str) -> None:
    named = re.findall(r"\btests/[\w./*-]+", (ROOT / ".ci" / name).read_text(encoding="utf-8"))
    assert named
    assert [pattern for pattern in named if not any(ROOT.glob(pattern))] == []
