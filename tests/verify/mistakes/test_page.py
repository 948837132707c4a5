"""The table on the room's page is that of the catalogue; that every row is true, the slow test of `test_found` says."""

from pathlib import Path

from . import MISTAKES
from .__main__ import HEAD

PAGE = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
LAYERS = 2
"""Of the case that the table is made from."""


def test_the_table_has_every_mistake_of_the_catalogue() -> None:
    _, _, after = PAGE.partition(HEAD + "\n")
    rows, _, summary = after.partition("\n\n")
    catalogue = [[one.name, dtype, "yes", one.expected(LAYERS), "yes"] for one in MISTAKES for dtype in one.dtypes]
    assert [row.split() for row in rows.splitlines()] == catalogue
    count = len(catalogue)
    assert summary.startswith(f"{count} checks: {count} found, {count} at the right tensor (100.0%)\n")
    assert f"{len(MISTAKES)} mistakes" in PAGE
