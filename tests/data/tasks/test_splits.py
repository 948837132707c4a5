"""A share for validation."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.examples import Part, TextExample
from bertref.data.tasks.splits import split
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


def test_the_share_is_about_what_was_asked() -> None:
    """Five standard deviations of a binomial with 10,000 draws are 150."""
    assert abs(len(read(split(part(10_000), 0.1)[1])) - 1000) < 150
    groups = {e.group for e in split(part(10_000, 2500), 0.2, by_group=True)[1].read()}
    assert abs(len(groups) - 500) < 100


def test_neither_order_nor_company_matters() -> None:
    dev = {e.place for e in split(part(), 0.3)[1].read()}
    assert {e.place for e in split(part(order=1), 0.3)[1].read()} == dev
    assert {e.place for e in split(part(500), 0.3)[1].read()} == {p for p in dev if int(p.split()[-1]) < 500}
    assert {e.place for e in split(part(), 0.3, seed=1)[1].read()} != dev


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
    with pytest.raises(InputError, match=r"a\.csv: a share of 0\.5 leaves no groups for '(train|dev)'"):
        split(part(groups=1), 0.5, by_group=True)
    with pytest.raises(InputError, match=r"a share of 1e-09 leaves no examples for 'dev'"):
        split(part(), 1e-9)
    with pytest.raises(InputError, match=r"a\.csv, line 0: it has no group"):
        split(part(groups=0), 0.5, by_group=True)
