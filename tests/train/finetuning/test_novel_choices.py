"""The set of sentences from novels: it is what it says, the same for a seed, and can be learnt from."""

import random
import tarfile
from pathlib import Path

import pytest

from bertref.data.tasks.swag import choice_part

from . import novel_choices, tiny
from .running import cache  # noqa: F401


def archive(folder: Path, novels: int = 4, count: int = 150) -> Path:
    """Novels of numbered sentences."""
    with tarfile.open(folder / "novels.tar.gz", "w:gz") as tar:
        for n in range(novels):
            path = folder / f"N{n}.txt"
            path.write_text("".join(f"It is number {i} of the book {n}.\n" for i in range(count)))
            tar.add(path, f"novels/N{n}.txt")
    return folder / "novels.tar.gz"


def number(sentence: str) -> tuple[int, int]:
    words = sentence.rstrip(".").split()
    return int(words[-1]), int(words[3])


def test_the_right_choice_is_the_next_sentence(tmp_path: Path) -> None:
    parts = novel_choices.make(archive(tmp_path), tmp_path / "out", train=60, dev=20)
    assert not set(parts["train"]) & set(parts["dev"])
    seen = set()
    for part, count in (("train", 60), ("dev", 20)):
        examples = list(choice_part(part, tmp_path / "out" / f"{part}.csv").read())
        assert len(examples) == count
        for example in examples:
            assert f"novels/{example.group}.txt" in parts[part]
            novel, place = number(example.context)
            choices = [number(choice) for choice in example.choices]
            assert {n for n, _ in choices} == {novel}
            assert example.label is not None
            assert choices.pop(example.label)[1] == place + 1
            assert len({i for _, i in choices}) == 3
            assert all(abs(i - place) > novel_choices.ELSEWHERE for _, i in choices)
            seen.add(example.label)
    assert seen == {0, 1, 2, 3}


def test_a_seed_makes_the_same_files(tmp_path: Path) -> None:
    source = archive(tmp_path)
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        novel_choices.make(source, tmp_path / out, train=30, dev=10, seed=seed)
    files = [(tmp_path / out / "train.csv").read_bytes() for out in "abc"]
    assert files[0] == files[1] != files[2]


def test_too_little_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 novels; at least two are needed"):
        novel_choices.make(archive(tmp_path), tmp_path / "out", novels=1)
    with pytest.raises(ValueError, match="usable places; 9000 examples are asked for"):
        novel_choices.make(archive(tmp_path), tmp_path / "out", train=9000)
    assert novel_choices.examples({"short": ["It is number one of it."] * 500}, 0, random.Random(1)) == []


def test_real_novels_can_be_learnt_from(tmp_path: Path, data_dir: Path) -> None:
    source = data_dir / "data" / "english_novels.tar.gz"
    novel_choices.make(source, tmp_path / "novels", train=12, dev=4, novels=2)
    train, dev = (tmp_path / "novels" / f"{part}.csv" for part in ("train", "dev"))
    result = tiny.run(tmp_path, "swag", train.read_text(), dev=str(dev), batch_size=4)
    assert 0 <= result.metrics["accuracy"] <= 1
