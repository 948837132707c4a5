"""The page that describes the format is complete, and its example is read as it says."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bertref.heads import parameter_shapes
from bertref.verify import exchange
from bertref.verify.cases.case import JUDGED, generate
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


def documented() -> set[str]:
    """The keys that the page lists: the words of its block, without remarks in brackets and beside them."""
    block = PAGE.partition("**settings.tsv.**")[2].partition("    loss.mlm = ")[0]
    lines = re.sub(r"\n {20}", " ", block).splitlines()
    found: set[str] = set()
    for group, rest in (line.split(None, 1) for line in lines if line.startswith("    ")):
        words = re.sub(r"\([^)]*\)", "", rest).split(";")[0 if "config.json" not in rest else 1].rpartition(":")[2]
        found |= {group.replace("*", word.strip()) for word in words.split(",")} if "*" in group else {group}
    return found


def test_every_setting_is_on_the_page_and_every_key_of_the_page_is_a_setting() -> None:
    counted = replace(case(), numerics=replace(case().numerics, span_padding="counted"))
    albert, distilbert = generate(1, variant="albert"), generate(1, variant="distilbert")
    others = albert, replace(distilbert, config=replace(distilbert.config, qa_dropout=0.1))
    grouped = replace(albert, config=replace(albert.config, num_hidden_layers=2, inner_group_num=2))
    keys = {key for one in (case(), counted) for key, _ in settings.flat(one)}
    keys |= {key for one in (*others, grouped) for key, _ in settings.flat(one) if key.startswith("config.")}
    decay = {key for key in keys if key.startswith("decay.")}
    assert decay == {f"decay.{name}" for name in parameter_shapes(case().config)}
    page = {key for key in documented() if not key.startswith("decay.")}
    assert page == keys - decay
    assert ("optimizer", "none") in settings.flat(replace(case(), optimizer=None))


def test_every_optimiser_that_can_be_judged_has_its_formula() -> None:
    missing = [name for name in JUDGED if not re.search(rf"^ +([a-z-]+, )?{name}(, [a-z-]+)? .*-= rate", PAGE, re.M)]
    assert missing == []


def test_the_example_is_an_index(tmp_path: Path) -> None:
    lines = [line.strip().replace("<TAB>", "\t") for line in PAGE.splitlines() if "<TAB>" in line]
    (tmp_path / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = index.read(tmp_path)
    assert found.fields == {"version": 1, "case": "DIGEST", "precision": "float32"}
    (entry,) = found.entries
    assert (entry.name, entry.dtype, entry.shape, entry.offset, entry.file) == (
        "layer.0.output", "float32", (4, 16, 32), 0, "answers.bin")  # fmt: skip
