"""Rows of tables in every form, the odd things that such files hold, and files that are refused."""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.tables import TableFormat, TableRow, read_rows
from bertref.errors import InputError

from .files import write

ROWS = [TableRow(2, {"text": "a", "label": "x"}), TableRow(3, {"text": "b", "label": "y"})]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\na,x\nb,y\n"),
        ("a.csv", '"text","label"\r\n"a",x\r\nb,y'),
        ("a.tsv", "text\tlabel\na\tx\nb\ty\n"),
        ("a.tsv.gz", "\ufefftext\tlabel\r\na\tx\r\nb\ty\r\n"),
        ("A.CSV", "\ufefftext, label\na,x\nb,y\n\n"),
        ("a.jsonl", '\n{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'),
    ],
)
def test_forms(tmp_path: Path, name: str, content: str) -> None:
    assert list(read_rows(write(tmp_path / name, content))) == ROWS


def test_a_row_of_empty_values_is_no_blank_line(tmp_path: Path) -> None:
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        path = write(tmp_path / name, f"text{delimiter}label\n\n{delimiter}\n \n")
        assert list(read_rows(path)) == [TableRow(3, {"text": "", "label": ""})]


def test_formats_that_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.data", '\'a;"x"\nb;y\n')
    assert [row.values for row in read_rows(path, TableFormat(";", header=False))] == [
        {"1": "'a", "2": "x"},
        {"1": "b", "2": "y"},
    ]
    form = TableFormat(";", quoting=False, header=False, names=("text", "label"))
    assert [row.values["label"] for row in read_rows(path, form)] == ['"x"', "y"]


def test_a_quote_in_a_tsv_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"a" said\tx\n"b\ty\n')
    assert [row.values["text"] for row in read_rows(path)] == ['"a" said', '"b']


def test_lines_end_at_line_feeds_only_and_rows_are_told_by_the_line_where_they_begin(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\n"a\nb\x85c",x\n\n" ""d"" ",y\n')
    assert list(read_rows(path)) == [
        TableRow(2, {"text": "a\nb\x85c", "label": "x"}),
        TableRow(5, {"text": ' "d" ', "label": "y"}),
    ]


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")),
                         min_size=2, max_size=2), min_size=1))  # fmt: skip
def test_whatever_csv_writes_is_read(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "a.csv"), out.getvalue())
        assert [list(row.values.values()) for row in read_rows(path)] == rows


def test_a_text_of_ten_megabytes(tmp_path: Path) -> None:
    text = "word " * (2 << 20)
    for name, content in (
        ("a.csv", f"text,label\n{text},x\n"),
        ("a.tsv", f"text\tlabel\n{text}\tx\n"),
        ("a.jsonl", json.dumps({"text": text, "label": "x"})),
    ):
        (row,) = read_rows(write(tmp_path / name, content))
        assert row.values == {"text": text, "label": "x"}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,label\n" + f'"{"word " * 200}",x\n' * 60_000)
    code = (
        "import resource, sys, pathlib; from bertref.data.tasks.tables import read_rows\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); n = sum(1 for _ in read_rows(pathlib.Path(sys.argv[1]))); print(n, peak() - before)"
    )
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": root})  # fmt: skip
    count, kibibytes = map(int, done.stdout.split())
    assert count == 60_000
    assert kibibytes < 10_000, "the file has 60 MB"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text\tlabel\na\tx\n", "line 1: one column was found between commas, but the line has tabs"),
        ("a.csv", "text;label\na;x\n", "has semicolons; give --delimiter ';', or"),
        ("a.tsv", "text,label\na,x\n", "line 1: one column was found between tabs, but the line has commas"),
        ("a.csv", 'text,label\na,x\n"b,y\nc,z\n', "line 3: broken quoting: a quote that opens in the row beginning"),
        ("a.csv", 'text,label\n"a" b,x\n', "line 2: broken quoting: in the row beginning here something follows"),
        ("a.csv", 'text,label\na,x\n"b,y\n"c",z\n', "line 3: broken quoting"),
        ("a.csv", "text,label\na\rb,x\n", "line 2: a line ends at a carriage return alone (\\r), as in old files "),
        ("a.csv", "text,label\ra,x\rb,y\r", "line 1: a line ends at a carriage return alone (\\r)"),
        ("a.tsv", "text\tlabel\ra\tx\rb\ty\r", "line 1: a line ends at a carriage return alone (\\r)"),
        ("a.csv", "text,label\na,x\ntext, label\n", "line 3: the header comes again; remove the line"),
        ("a.tsv", "text\tlabel\na\tx\ntext\tlabel\nb\ty\n", "line 3: the header comes again; remove the line"),
        ("a.csv", "text,label\na,x\nb\n", "line 3: the number of columns is 1, not 2 ('text', 'label')"),
        ("a.tsv", "text\tlabel\na\tx\ty\n", "line 2: the number of columns is 3, not 2"),
        ("a.csv", "text,text\na,x\n", "line 1: two columns are called 'text'"),
        ("a.csv", "", "no rows in it"),
        ("a.csv", "text,label\n", "no rows in it"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', "line 2: not JSON"),
        ("a.jsonl", '["a"]\n', "line 1: a JSON object is expected"),
        ("a.dat", "text,label\n", "not a table by its ending"),
        ("a.xlsx", "text,label\n", "such files are not read; save the table as CSV (.csv "),
        ("a.csv", b"text,label\n\xff,x\n", "not UTF-8: byte 0xff at offset 11"),
        ("a.csv.gz", "", "no rows"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        list(read_rows(path))
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)


def test_a_text_that_is_called_as_its_only_column_is_no_header(tmp_path: Path) -> None:
    assert [row.values["text"] for row in read_rows(write(tmp_path / "a.tsv", "text\na\ntext\n"))] == ["a", "text"]


def test_a_carriage_return_in_a_text_stays(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path / "a.tsv", "text\tlabel\na\rb\tx\n"))
    assert [row.values["text"] for row in rows] == ["a\rb"]


@pytest.mark.parametrize("delimiter", ["", ";;", "\\n", "\n", "\r", '"', "tab"])
def test_what_separates_no_columns(delimiter: str) -> None:
    with pytest.raises(InputError, match=r"the delimiter is .*; one character is needed, such as ';', or"):
        TableFormat(delimiter)


def test_a_tab_may_be_spelled(tmp_path: Path) -> None:
    path = write(tmp_path / "a.data", "text\tlabel\na\tx\nb\ty\n")
    assert list(read_rows(path, TableFormat("\\t"))) == ROWS


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: No such file"):
        list(read_rows(tmp_path / "a.csv"))


def test_the_delimiter_is_checked_without_a_header_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="but the line has tabs"):
        list(read_rows(write(tmp_path / "a.csv", "a\tx\n"), TableFormat(header=False)))


def test_broken_rows_are_told_to_who_asks(tmp_path: Path) -> None:
    broken: list[int] = []
    rows = list(read_rows(write(tmp_path / "a.tsv", "a\tb\n1\t2\n3\n4\t5\n"), on_broken=broken.append))
    assert [row.line for row in rows] == [2, 4]
    assert broken == [3]
