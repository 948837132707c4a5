"""A share for validation."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.examples import Part, TextExample
from bertref.data.tasks.splits import sampled, split
from bertref.errors import InputError

from .files import read


def part(count: int = 1000, groups: int = 100, *, order: int | None = None) -> Part:
    examples = [
        TextExample(f"a.csv, line {i}", "text", group=f"g{i % groups}" if groups else None) for i in range(count)
    ]
    if order is not None:
        random.Random(order).shuffle(examples)
    return Part("train", (Path("a.csv"),), lambda: iter(examples), {"kind": "classification"})


@given(st.floats(0.05, 0.95), st.integers(0, 99), st.booleans())
def test_every_example_is_on_one_side(share: float, seed: int, by_group: bool) -> None:
    train, dev = split(part(), share, seed=seed, by_group=by_group)
    places = [e.place for side in (train, dev) for e in read(side)]
    assert sorted(places) == sorted(e.place for e in part().read())
    if by_group:
        assert {e.group for e in train.read()}.isdisjoint(e.group for e in dev.read())


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_the_share_is_what_was_asked(count: int, share: float, seed: int) -> None:
    train, dev = split(part(count), share, seed=seed)
    wanted = min(max(round(share * count), 1), count - 1)
    assert (len(read(dev)), len(read(train))) == (wanted, count - wanted)
    groups = {e.group for e in split(part(100, 25), 0.2, seed=seed, by_group=True)[1].read()}
    assert len(groups) == 5


def test_a_copy_is_split_as_the_file_is() -> None:
    copy = Part("train", (Path("b.csv"),), lambda: (replace(e, place="b" + e.place[1:]) for e in part().read()))
    dev = [e.place.split()[-1] for e in split(part(), 0.3)[1].read()]
    assert [e.place.split()[-1] for e in split(copy, 0.3)[1].read()] == dev
    assert [e.place.split()[-1] for e in split(part(), 0.3, seed=1)[1].read()] != dev


def test_a_sample() -> None:
    found = sampled(part(50), 20, seed=3)
    numbers = [int(e.place.split()[-1]) for e in found.read()]
    assert (len(numbers), numbers) == (20, sorted(set(numbers)))
    assert [e.place for e in found.read()] == [e.place for e in sampled(part(50), 20, seed=3).read()]
    assert len(read(sampled(part(5), 20))) == 5
    assert found.settings["sample"] == {"count": 20, "seed": 3}


def test_names_and_settings() -> None:
    train, dev = split(part(), 0.3, seed=7)
    assert (train.name, dev.name, dev.files) == ("train", "dev", (Path("a.csv"),))
    assert dev.settings == {
        "kind": "classification",
        "split": {"share": 0.3, "seed": 7, "by_group": False, "drawn": True},
    }
    assert train.settings != dev.settings


def test_bad_splits() -> None:
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="it has to be between 0 and 1"):
            split(part(), share)
    with pytest.raises(InputError, match=r"a\.csv: 1 group can't be split into two parts"):
        split(part(groups=1), 0.5, by_group=True)
    with pytest.raises(InputError, match=r"a\.csv: 0 examples can't be split"):
        split(part(0), 0.5)
    with pytest.raises(InputError, match=r"a\.csv, line 0: no group"):
        split(part(groups=0), 0.5, by_group=True)
