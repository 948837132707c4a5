"""The page that describes the format is complete, and its example is read as it says."""

import re
from pathlib import Path

import pytest

from bertref.heads import parameter_shapes
from bertref.verify import exchange
from bertref.verify.exchange import index, settings
from bertref.verify.exchange.tensors import DTYPES
from bertref.verify.judgement.reference import answer_names
from bertref.verify.records import PRECISIONS

from .folders import case

PAGE = exchange.__doc__ or ""


def test_every_answer_is_named() -> None:
    parts = {name.rpartition(".")[2] for name in answer_names(case()) if ":" not in name}
    assert [part for part in sorted(parts) if not re.search(rf"\b{part}\b", PAGE)] == []


@pytest.mark.parametrize("word", [*exchange.FORMATS, *PRECISIONS, "float64", "float16", "bfloat16", "bool"])
def test_formats_precisions_and_dtypes_are_named(word: str) -> None:
    assert re.search(rf"\b{word}\b", PAGE)
    assert word not in DTYPES or DTYPES[word]


def test_every_setting_is_named() -> None:
    """By its own key, or by the star of its group."""
    keys = dict(settings.flat(case()))
    short = {key.partition(".")[2] if "." in key else key for key in keys
             if not key.startswith(("config.", "numerics.", "decay."))}  # fmt: skip
    optional = {"decay_exclusions"}  # spelt out by the lines decay.NAME
    assert [key for key in sorted(short - optional) if not re.search(rf"\b{key}\b", PAGE)] == []
    assert all(f"decay.{name}" in keys for name in parameter_shapes(case().config))


def test_the_example_is_an_index(tmp_path: Path) -> None:
    lines = [line.strip().replace("<TAB>", "\t") for line in PAGE.splitlines() if "<TAB>" in line]
    (tmp_path / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = index.read(tmp_path)
    assert found.fields == {"version": 1, "case": "DIGEST", "precision": "float32"}
    (entry,) = found.entries
    assert (entry.name, entry.dtype, entry.shape, entry.offset, entry.file) == (
        "layer.0.output", "float32", (4, 16, 32), 0, "answers.bin")  # fmt: skip
