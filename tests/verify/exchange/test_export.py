"""Exported cases carry the right answers that were asked for, and no others."""

from pathlib import Path

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.verify.exchange import EXPECTED, export, index, read_case, settings_digest
from bertref.verify.exchange.tensors import locate, values
from bertref.verify.judgement.reference import reference

from .folders import case

GROUPS = {
    "probes": lambda name: not name.startswith(("grad:", "update:")),
    "gradients": lambda name: name.startswith("grad:"),
    "updates": lambda name: name.startswith("update:"),
}


@pytest.mark.parametrize("expected", [(), ("probes",), ("updates", "gradients"), EXPECTED], ids=str)
def test_the_expected_answers_are_the_references(tmp_path: Path, expected: tuple[str, ...]) -> None:
    folder = export(case(), tmp_path / "case", expected=expected)
    right = reference(case()).values
    wanted = {name: a for name, a in right.items() if any(GROUPS[group](name) for group in expected)}
    listed = index.read(folder)
    tensors = locate(folder, listed.entries, listed.path)
    found = {t.name: values(t) for t in tensors if t.kind == "expected"}
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert settings_digest(read_case(folder)) == settings_digest(case())


def test_an_unknown_group_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"outputs.*probes, gradients, updates"):
        export(case(), tmp_path / "case", expected=("outputs",))
    assert not list(tmp_path.iterdir())
