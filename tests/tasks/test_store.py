"""Features on the disk: what is read is what was made, in any batch; a part is made once; damage is found."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.tasks.store import Column, FeatureStore, Unit, digest_of, open_or_make, read
from bertref.text.encoding import Encoding

COLUMNS = {"labels": Column("unit", "<i4"), "numbers": Column("unit", "<f8", 2), "marks": Column("token", "<i4")}


def sequence(first: int, second: int) -> Encoding:
    return Encoding(list(range(1, first + second + 1)), [0] * first + [1] * second)


def made(folder: Path, lengths: list[tuple[int, int]], width: int = 1, **more: Any) -> FeatureStore:
    def units() -> Iterator[Unit]:
        for number, rows in enumerate(lengths[i : i + width] for i in range(0, len(lengths), width)):
            encodings = [sequence(*row) for row in rows]
            marks = [i for e in encodings for i in e.input_ids]
            yield Unit(encodings, {"labels": number, "numbers": [number, -number], "marks": marks})

    return open_or_make(folder / "features", units(), COLUMNS, width, {"examples": len(lengths)}, padding=9, **more)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=1, max_size=8),
    picked=st.lists(st.integers(0, 7), min_size=1, max_size=6),
)
def test_a_batch_holds_its_sequences(tmp_path_factory: pytest.TempPathFactory, lengths: list[tuple[int, int]],
                                     picked: list[int]) -> None:  # fmt: skip
    store = made(tmp_path_factory.mktemp("store"), lengths)
    units = np.array([p % len(lengths) for p in picked])
    arrays = store.arrays(units)
    for row, unit in enumerate(units):
        first, second = lengths[unit]
        n = first + second
        assert arrays["input_ids"][row].tolist() == [*range(1, n + 1), *[9] * (arrays["input_ids"].shape[1] - n)]
        assert arrays["attention_mask"][row].sum() == n
        assert arrays["token_type_ids"][row].tolist()[:n] == [0] * first + [1] * second
        assert not arrays["token_type_ids"][row][n:].any()
        assert store.column("marks", units, -100)[row].tolist()[n:] == [-100] * (arrays["input_ids"].shape[1] - n)
    assert arrays["example"].tolist() == units.tolist()
    assert store.column("labels", units).tolist() == units.tolist()
    assert store.column("numbers", units).tolist() == [[u, -u] for u in units]
    assert store.lengths(units).tolist() == [sum(lengths[u]) for u in units]


def test_several_sequences_a_unit(tmp_path: Path) -> None:
    store = made(tmp_path, [(2, 1), (3, 3), (1, 0), (4, 4)], width=2)
    assert len(store) == 2
    arrays = store.arrays(np.array([1, 0]))
    assert arrays["input_ids"].shape == (2, 2, 8)
    assert arrays["example"].tolist() == [[2, 3], [0, 1]]
    assert arrays["input_ids"][0, 0].tolist() == [1, *[9] * 7]
    assert arrays["attention_mask"].sum(axis=2).tolist() == [[1, 8], [3, 6]]


def test_it_is_made_once_and_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    made(tmp_path, [(2, 1)])

    def failing() -> Iterator[Unit]:
        yield Unit([sequence(2, 1)], {"labels": 0, "numbers": [0, 0], "marks": [1, 2, 3]})
        raise InputError("line 2: is wrong")

    open_or_make(tmp_path / "features", failing(), COLUMNS, 1, {}, padding=0)  # it is there
    with pytest.raises(InputError, match="line 2: is wrong"):
        open_or_make(tmp_path / "others", failing(), COLUMNS, 1, {}, padding=0)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


@pytest.mark.parametrize("name", ["ids.bin", "bounds.bin", "labels.bin", "numbers.bin", "marks.bin", "features.json"])
@pytest.mark.parametrize("left", [None, 0, 0.5], ids=["gone", "empty", "cut"])
def test_what_is_damaged_is_made_again_and_said(tmp_path: Path, name: str, left: float | None) -> None:
    lengths = [(2, 1), (3, 0)]
    made(tmp_path, lengths)
    folder = tmp_path / "features"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if left is None:
        (folder / name).unlink()
    else:
        half = int(left * len(before[name])) // 4 * 4
        (folder / name).write_bytes(before[name][:half])
    with pytest.raises(InputError, match="the cached features are damaged"):
        read(folder, 9)
    notes: list[str] = []
    made(tmp_path, lengths, note=notes.append)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (note,) = notes
    assert note.startswith(f"{folder}: the cached features are damaged (")
    assert note.endswith("); they are made again.")
    made(tmp_path, lengths, note=notes.append)
    assert len(notes) == 1


def test_a_digest_is_of_content_and_settings(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("text")
    b.write_text("text")
    assert digest_of([a], "s", 1) == digest_of([b], "s", 1)
    b.write_text("texts")
    assert len({digest_of([a], "s", 1), digest_of([b], "s", 1), digest_of([a], "s", 2), digest_of([a, a], "s", 1)}) == 4
