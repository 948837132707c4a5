"""A folder for each label."""

import tarfile
from collections import Counter
from pathlib import Path

import pytest

from bertref.data.tasks.examples import TextExample
from bertref.data.tasks.splits import split
from bertref.data.tasks.text_folders import folder_part, folder_parts
from bertref.errors import InputError

from .files import read, write

URL = "http://www.imdb.com/title/tt{}/usercomments\n"


def reviews(folder: Path) -> Path:
    for name, text in {"neg/1_1.txt": "bad\x85 film", "neg/0_3.txt": "\ufeffno\r\nfilm", "pos/0_9.txt": "good",
                       "unsup/0_0.txt": "unrated", "pos/.hidden": "x"}.items():  # fmt: skip
        write(folder / name, text)
    write(folder / "urls_neg.txt", URL.format("01") + URL.format("02"))
    write(folder / "urls_pos.txt", URL.format("02"))
    write(folder / "urls_unsup.txt", URL.format("03"))
    return folder


def test_reviews(tmp_path: Path) -> None:
    reviews(tmp_path / "aclImdb" / "train")
    reviews(tmp_path / "aclImdb" / "test")
    parts = folder_parts(tmp_path)
    assert list(parts) == ["train", "test"]
    assert read(parts["train"]) == [
        TextExample("train/neg/0_3.txt", "no\nfilm", label="neg", group="tt01"),
        TextExample("train/neg/1_1.txt", "bad\x85 film", label="neg", group="tt02"),
        TextExample("train/pos/0_9.txt", "good", label="pos", group="tt02"),
    ]
    assert len(parts["train"].files) == 5
    assert read(folder_parts(tmp_path / "aclImdb")["test"])[0].place == "test/neg/0_3.txt"


def test_any_labels(tmp_path: Path) -> None:
    write(tmp_path / "sport" / "a.txt.gz", "a match")
    write(tmp_path / "art" / "b", "a picture")
    assert read(folder_parts(tmp_path)["train"]) == [
        TextExample(f"{tmp_path.name}/art/b", "a picture", label="art"),
        TextExample(f"{tmp_path.name}/sport/a.txt.gz", "a match", label="sport"),
    ]


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: not a folder"):
        folder_part("train", tmp_path / "none")
    write(tmp_path / "one" / "a.txt", "a")
    write(tmp_path / "unsup" / "a.txt", "a")
    with pytest.raises(InputError, match="at least two labels is needed; found: one"):
        folder_part("train", tmp_path)
    (tmp_path / "two").mkdir()
    with pytest.raises(InputError, match="two: no texts in it"):
        folder_part("train", tmp_path)
    empty = write(tmp_path / "two" / "b.txt", " \n")
    with pytest.raises(InputError) as caught:
        read(folder_part("train", tmp_path))
    assert str(caught.value).startswith(f"{empty}: the text is empty")


@pytest.mark.parametrize("name", ["2_1.txt", "film.txt"])
def test_a_text_without_its_film(tmp_path: Path, name: str) -> None:
    wrong = write(reviews(tmp_path) / "neg" / name, "a film")
    with pytest.raises(InputError) as caught:
        read(folder_part("train", tmp_path))
    assert str(caught.value).startswith(f"{wrong}: urls_neg.txt has no line for it")


@pytest.mark.slow
def test_the_published_reviews(data_dir: Path, tmp_path: Path) -> None:
    with tarfile.open(data_dir / "data" / "aclImdb_train_unsup.tar.gz") as archive:
        wanted = [member for member in archive if "unsup" not in member.name]
        archive.extractall(tmp_path, wanted, filter="data")
    part = folder_parts(tmp_path)["train"]
    examples = list(part.read())
    assert Counter(e.label for e in examples) == {"neg": 12500, "pos": 12500}
    assert len({e.group for e in examples}) == 3456
    train, dev = split(part, 0.2, by_group=True)
    films = [{e.group for e in side.read()} for side in (train, dev)]
    assert films[0].isdisjoint(films[1])
    assert abs(len(films[1]) / 3456 - 0.2) < 0.03
