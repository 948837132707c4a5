"""Words with labels in columns, and the schemes of the labels."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.conll import WordColumns, token_part
from bertref.data.tasks.entity_schemes import entity_scheme, to_iob2
from bertref.data.tasks.examples import TokenExample
from bertref.errors import InputError

from .files import read, write

REUTERS = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

# NN B-NP O


-DOCSTART- -X- O O

Peter NNP I-NP I-PER
"""


def test_the_shared_tasks_file(tmp_path: Path) -> None:
    path = write(tmp_path / "eng.train", REUTERS.replace("\n", "\r\n"))
    assert read(token_part("train", path)) == [
        TokenExample("eng.train, line 3", ("EU", "rejects"), ("B-ORG", "O"), "eng.train, document 1"),
        TokenExample("eng.train, line 6", ("#",), ("O",), "eng.train, document 1"),
        TokenExample("eng.train, line 11", ("Peter",), ("I-PER",), "eng.train, document 2"),
    ]
    chunks = read(token_part("train", path, WordColumns(label=3)))
    assert [e.labels for e in chunks] == [("B-NP", "B-VP"), ("B-NP",), ("I-NP",)]


def test_tabs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "# id 1\nNew York\tB-LOC\n# \tO\n\t\n# a comment\nU\x85S\tB-LOC")
    assert read(token_part("train", path)) == [
        TokenExample("a.conll, line 2", ("New York", "# "), ("B-LOC", "O")),
        TokenExample("a.conll, line 6", ("U\x85S",), ("B-LOC",)),
    ]
    path = write(tmp_path / "b.tsv", "B-LOC\tYork\t_\n")
    assert read(token_part("train", path, WordColumns(word=2, label=1)))[0].words == ("York",)


def test_spaces(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "# O\nYork   B-LOC \n")
    assert read(token_part("train", path))[0] == TokenExample("a.txt, line 1", ("#", "York"), ("O", "B-LOC"))


def test_words_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "New\nYork\n\nis\n")
    assert [(e.words, e.labels) for e in read(token_part("test", path, labelled=False))] == [
        (("New", "York"), None),
        (("is",), None),
    ]
    with pytest.raises(InputError, match="line 1: there is one column, the words; labels are needed"):
        read(token_part("train", path))


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("a\tO\nb\tX\tO\n", None, "line 2: the number of columns between tabs is 3, but 2 above it"),
        ("a O\n\nb\n", None, "line 3: the number of columns between spaces is 1, but 2 above it"),
        ("a\tO\n \tO\n", None, "line 2: the word is empty"),
        ("a\tO\nb\t\n", None, "line 2: the label is empty"),
        ("a\tO\n", WordColumns(label=3), "line 1: no column 3; there are 2, counted from 1"),
        ("a\tO\n", WordColumns(word=0), "line 1: no column 0"),
        ("\n\n", None, "no sentences in it"),
        (b"a\tO\n\xff\tO\n", None, "not UTF-8: byte 0xff at offset 4"),
    ],
)
def test_bad_files(tmp_path: Path, content: str | bytes, columns: WordColumns | None, message: str) -> None:
    path = write(tmp_path / "a.conll", content)
    with pytest.raises(InputError) as caught:
        read(token_part("train", path, columns))
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)


def test_json_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"words": ["a", "b"]}\n')
    with pytest.raises(InputError, match=r"a\.json: JSON is not read; words stand in columns"):
        read(token_part("train", path))


def test_the_published_files(data_dir: Path) -> None:
    for name, sentences, words in (("train", 3394, 62730), ("dev", 1009, 15733)):
        found = list(token_part(name, data_dir / "data" / "wnut17" / f"{name}.conll").read())
        assert (len(found), sum(len(e.words) for e in found)) == (sentences, words)
        assert entity_scheme(e.labels for e in found) == "IOB2"
        assert len({label for e in found for label in e.labels}) == 13


WRITTEN = {
    "IOB1": "I-P O I-P B-P O I-L I-L O",
    "IOB2": "B-P O B-P B-P O B-L I-L O",
    "BIOES": "S-P O S-P S-P O B-L E-L O",
    "BILOU": "U-P O U-P U-P O B-L L-L O",
}


@pytest.mark.parametrize("scheme", WRITTEN)
def test_schemes(scheme: str) -> None:
    labels = WRITTEN[scheme].split()
    assert entity_scheme([labels]) == scheme.replace("BILOU", "BIOES")
    assert to_iob2(labels) == tuple(WRITTEN["IOB2"].split())


@given(st.lists(st.tuples(st.sampled_from(["", "P", "L-1"]), st.integers(1, 3)), max_size=8))
def test_every_scheme_says_the_same(entities: list[tuple[str, int]]) -> None:
    written: dict[str, list[str]] = {scheme: [] for scheme in WRITTEN}
    before = ""
    for name, length in entities:
        if not name:
            for labels in written.values():
                labels += ["O"] * length
        else:
            inside = [f"I-{name}"] * (length - 1)
            written["IOB1"] += [f"{'B' if before == name else 'I'}-{name}", *inside]
            written["IOB2"] += [f"B-{name}", *inside]
            for scheme, single, end in (("BIOES", "S", "E"), ("BILOU", "U", "L")):
                last = [f"{end}-{name}"]
                written[scheme] += [f"B-{name}", *inside[1:], *last] if length > 1 else [f"{single}-{name}"]
        before = name
    assert {to_iob2(labels) for labels in written.values()} == {tuple(written["IOB2"])}
    assert entity_scheme([written["IOB2"]]) == "IOB2"


def test_an_entity_begins_after_an_end() -> None:
    assert to_iob2("B-P E-P I-P S-P I-P".split()) == ("B-P", "I-P", "B-P", "B-P", "B-P")


def test_what_is_no_scheme() -> None:
    assert entity_scheme([["NN", "VB"]]) is None
    assert entity_scheme([["B-P", "O", "I-P"]]) is None
    assert entity_scheme([["O"], []]) == "IOB2"
    with pytest.raises(InputError, match="'NN' is neither O nor one of B- I-"):
        to_iob2(["O", "NN"])
