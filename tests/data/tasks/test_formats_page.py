"""The page of the room shows files as they are read: each example, under its name, is the data of its task."""

import json
from pathlib import Path

import pytest

from bertref.data.tasks.opening import open_data_set
from tests.pages import ROOT, Block, Page

from .files import read, write

BLOCKS = [block for block in Page(ROOT / "bertref/data/tasks/README.md").blocks if block.note]
COUNTS = {"squad.json": 1}


@pytest.mark.parametrize("block", BLOCKS, ids=[block.note for block in BLOCKS])
def test_an_example_is_read(block: Block, tmp_path: Path) -> None:
    name, task = block.note.split()
    part = open_data_set(task, write(tmp_path / name, block.text)).parts["train"]
    assert len(read(part)) == COUNTS.get(name, 2)


def test_every_kind_has_one_and_both_ways_say_the_same(tmp_path: Path) -> None:
    found = {block.note.split()[0]: block for block in BLOCKS}
    assert len({block.note.split()[1] for block in BLOCKS}) == 6
    said = []
    for name in ("topics.csv", "topics.jsonl"):
        part = open_data_set("multi-label", write(tmp_path / name, found[name].text)).parts["train"]
        said.append([(example.text, example.label) for example in read(part)])
    assert said[0] == said[1]
    assert json.loads(found["squad.json"].text)["version"] == "1.1"
