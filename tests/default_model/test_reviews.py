"""The data of the default model: split by film, and no text of what is judged stays elsewhere."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.default_model.training.reviews import clean, key, split_by_film, write_data
from bertref.errors import InputError

from . import small

FILES = ("fit", "tune", "report", "phrases", "labelled", "taught")


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / f"{name}.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data in which texts come twice: within a part, across parts, labelled and unlabelled, with other punctuation."""
    folder = tmp_path_factory.mktemp("data")
    places = small.write(folder)
    train = places.reviews / "train"
    twice = {"pos": (0, 1, 2), "neg": (3, 30)}
    for label, numbers in twice.items():
        text = f"Twice the {label} film, and twice as long."
        for i in numbers:
            next((train / label).glob(f"{i}_*.txt")).write_text(text)
    for i in range(60):
        labelled = next((train / ("pos" if i % 2 else "neg")).glob(f"{i}_*.txt")).read_text()
        if i % 3 == 0:
            next((train / "unsup").glob(f"{i}_*.txt")).write_text(labelled.upper().replace(".", " ."))
    counts = write_data(places.reviews, places.phrases, folder / "out")
    assert counts["fit"] == len(rows(folder / "out", "fit"))
    assert counts["unlabelled"] < 60
    return folder / "out"


def test_no_film_is_in_two_parts(data: Path) -> None:
    films = {part: {row["film"] for row in rows(data, part)} for part in ("fit", "tune", "report")}
    assert all(films.values())
    assert not films["fit"] & films["tune"]
    assert not films["fit"] & films["report"]
    assert not films["tune"] & films["report"]


def test_no_text_of_what_is_judged_stays_elsewhere(data: Path) -> None:
    keys = {name: [key(row["text"]) for row in rows(data, name)] for name in FILES}
    assert all(len(set(found)) == len(found) for found in keys.values())
    for learnt in ("fit", "labelled", "taught"):
        for judged in ("report", "tune", "phrases"):
            assert not set(keys[learnt]) & set(keys[judged]), (learnt, judged)
    assert not set(keys["report"]) & set(keys["tune"])
    corpus = {key(line) for line in (data / "corpus.txt").read_text(encoding="utf-8").split("\n") if line}
    assert not corpus & {*keys["report"], *keys["tune"]}
    assert set(keys["fit"]) <= corpus


def test_what_is_taught_on_is_what_is_labelled_and_more(data: Path) -> None:
    labelled, taught = rows(data, "labelled"), rows(data, "taught")
    assert taught[: len(labelled)] == labelled
    assert all("label" not in row for row in taught[len(labelled) :])
    assert {row["label"] for row in labelled} == {"neg", "pos"}


def test_line_breaks_in_html_become_spaces(data: Path) -> None:
    assert clean("One.<br /><br />Two\x85 three\n\tfour") == "One. Two three four"
    assert not any("<br" in row["text"] for name in FILES for row in rows(data, name))


@given(st.sets(st.text("abc0123", min_size=1), min_size=3, max_size=80), st.randoms())
def test_films_are_split_the_same_way_in_any_order(films: set[str], rng: object) -> None:
    shuffled = sorted(films)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = split_by_film(shuffled)
    assert parts == split_by_film(sorted(films))
    assert parts.keys() == films
    counts = {part: list(parts.values()).count(part) for part in ("fit", "tune", "report")}
    assert counts["tune"] == counts["report"] == max(1, round(len(films) / 10))


def test_what_lacks_films_or_reviews_is_refused(tmp_path: Path) -> None:
    places = small.write(tmp_path)
    with pytest.raises(InputError, match="2 films can't be split"):
        split_by_film(["a", "b"])
    (places.reviews / "train" / "urls_pos.txt").unlink()
    with pytest.raises(InputError, match=r"urls_pos\.txt and urls_neg\.txt are missing"):
        write_data(places.reviews, places.phrases, tmp_path / "out")
    with pytest.raises(InputError, match="not a folder"):
        write_data(tmp_path / "nowhere", places.phrases, tmp_path / "out")
