"""Mistakes in the forward pass are found in ONNX files, too: where the file shows them."""

import pytest

from . import MISTAKES
from .__main__ import main
from .in_files import ABSENT, ELSEWHERE, WAYS, in_file

BY_NAME = {one.name: one for one in MISTAKES}
SAMPLE = (("relu-for-gelu", "older"), ("query-bias-missing", "fused"),
          ("pooler-tanh-missing", "int8"), ("decoder-bias-missing", "int8"))  # fmt: skip


def test_what_is_said_of_files_is_said_of_mistakes() -> None:
    assert set(BY_NAME) >= {*ABSENT, *ELSEWHERE}
    assert not set(ABSENT) & set(ELSEWHERE)


@pytest.mark.parametrize(("name", "way"), SAMPLE)
def test_a_mistake_is_found_where_the_file_shows_it(name: str, way: str) -> None:
    found = in_file(BY_NAME[name], way)
    assert found.right, found
    hidden = found.first != found.shown
    assert hidden == (way == "fused")
    assert found.report is not None
    assert not hidden or found.first in found.report.between


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_mistake_is_found_where_the_file_shows_it(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--onnx", way]) == 0, capsys.readouterr().out
