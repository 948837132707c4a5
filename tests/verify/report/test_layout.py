"""Every tensor has one cell, which says without colour what it is."""

from collections import Counter

import pytest

from bertref.verify.records import Finding
from bertref.verify.report.layout import LEGEND, cell, maps, number
from tests.verify.report.reports import case, names, report, wrong


def test_every_tensor_is_in_one_map() -> None:
    found = [finding.name for one in maps(report()) for finding in one.findings]
    assert Counter(found) == Counter(names())


def test_the_maps_and_their_rows() -> None:
    forward, probes, gradients, updates = maps(report())
    layers = [f"layer {i}" for i in range(case().config.num_hidden_layers)]
    for one in (forward, probes, gradients, updates):
        assert [label for label, _ in one.rows] == layers
        assert all(len(cells) == len(one.columns) and None not in cells for _, cells in one.rows)
        assert [part for part, _ in one.lists] == ["embeddings", "heads"]
    assert forward.columns == probes.columns
    assert forward.columns[:2] == ("query", "key")
    assert gradients.columns == updates.columns
    assert gradients.columns[0] == "query.w"
    assert forward.rows[1][1][3].name == "layer.1.scores"
    assert updates.rows[1][1][3].name == "update:bert.encoder.layer.1.attention.self.key.bias"


def test_a_map_of_what_was_not_given_is_left_out() -> None:
    missing = tuple(name for name in names() if name.startswith(("grad:", "update:")))
    assert [one.key for one in maps(report(missing=missing))] == ["forward"]


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("x", "right", 1.25, 0.5), "1.2"),
        (wrong("x"), "!1234"),
        (wrong("x", "wrong"), "?1234"),
        (wrong("x", "inherited"), "~4321"),
        (Finding("x", "missing"), "-"),
        (Finding("x", "not-finite", note="3 NaN of 4 elements"), "NaN"),
        (Finding("x", "not-finite", note="3 infinite of 4 elements"), "inf"),
        (Finding("x", "shape"), "shape"),
        (Finding("x", "unsteady", 5.0, 5.0), "=/="),
        (Finding("x", "unjudged"), "o"),
        (None, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cell(finding: Finding | None, text: str) -> None:
    assert cell(finding) == text


def test_marks_differ() -> None:
    assert len({mark for mark, _ in LEGEND.values()}) == len(LEGEND)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (9.94, "9.9"), (9.96, "10"), (9999.0, "9999"), (12345.0, "1e4"), (3e12, "3e12"),
     (float("inf"), "inf"), (None, ""), (float("nan"), "")],
)  # fmt: skip
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text
