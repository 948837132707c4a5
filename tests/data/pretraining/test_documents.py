"""Documents from every layout, the odd things that files hold, and files that are refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bertref.data.pretraining.documents import Document, read_documents
from bertref.data.pretraining.text_files import total_bytes
from bertref.errors import InputError

LINES = "The first sentence.\nThe second one.\n\nAnother document.\n"
PROSE = """A Title

It was late. The rain had stopped, and nobody was in the
street but a dog. It looked at him. He looked
back.

Then it went away. Mr. Hill did not see it go, for he was
asleep.
"""
PROSE_SENTENCES = [
    "A Title",
    "It was late.",
    "The rain had stopped, and nobody was in the street but a dog.",
    "It looked at him.",
    "He looked back.",
    "Then it went away.",
    "Mr. Hill did not see it go, for he was asleep.",
]
WIKI = """<doc id="12" url="?curid=12" title="AT&amp;T">
AT&amp;T

AT&amp;T is a company. It was founded by Bell in the year 1885 in New York.
History.
Bell invented the telephone, if one asks his lawyers. Others had tried before.
Key people.

</doc>
<doc id="13" url="?curid=13" title="Redirect">
Redirect
</doc>
<doc id="14" url="?curid=14" title="The "B" side">
The "B" side

The back of a record was called its B side. It was often the better one.
</doc>
"""


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(*paths: Path, **options: Any) -> list[list[str]]:
    return [document.sentences for document in read_documents(paths, **options)]


def test_the_original_s_format(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", LINES)
    assert list(read_documents([path])) == [
        Document(f"{path}#1", ["The first sentence.", "The second one."]),
        Document(f"{path}#2", ["Another document."]),
    ]


def test_running_text_is_one_document_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", PROSE)
    assert list(read_documents([path])) == [Document(str(path), PROSE_SENTENCES)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"layout": "file"}, [PROSE_SENTENCES]),
        ({"layout": "blank-line"}, [PROSE_SENTENCES[:1], PROSE_SENTENCES[1:5], PROSE_SENTENCES[5:]]),
        ({"sentences": "split"}, [PROSE_SENTENCES]),
        (
            {"sentences": "line"},
            [[line.strip() for line in block.split("\n") if line] for block in PROSE.split("\n\n")],
        ),
        ({"layout": "file", "sentences": "line"}, [[line for line in PROSE.split("\n") if line]]),
    ],
)
def test_what_the_caller_says_holds(tmp_path: Path, options: dict[str, str], expected: list[list[str]]) -> None:
    assert read(write(tmp_path / "a.txt", PROSE), **options) == expected


def test_lines_of_sentences_may_be_split_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", LINES)
    assert read(path, sentences="split") == [["The first sentence.", "The second one.", "Another document."]]


def test_wikipedia_extracts(tmp_path: Path) -> None:
    path = write(tmp_path / "wiki_00", WIKI)
    assert list(read_documents([path])) == [
        Document(
            "AT&T",
            [
                "AT&T is a company.",
                "It was founded by Bell in the year 1885 in New York.",
                "Bell invented the telephone, if one asks his lawyers.",
                "Others had tried before.",
            ],
        ),
        Document(
            'The "B" side',
            ["The back of a record was called its B side.", "It was often the better one."],
        ),
    ]
    by_line = read(path, sentences="line")
    assert by_line[0][1] == "History."  # lines that are sentences have no headings among them
    assert len(by_line) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<doc title="a">\nb\n', "ends inside a <doc>; the file is cut off"),
        ('<doc title="a">\nb\n<doc title="c">\n', "line 3: <doc> before the </doc>"),
        ('<doc title="a">\nb\n</doc>\n</doc>\n', "line 4: </doc> without a <doc>"),
        ('<doc title="a">\nb\n</doc>\nc\n', "line 4: text outside of <doc>"),
    ],
)
def test_extracts_that_are_not_well_formed_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "wiki", text))


def test_json_lines(tmp_path: Path) -> None:
    records = [{"text": PROSE.replace("\n", "\r\n"), "id": 1}, {"text": ""}, {"text": "One line. Two sentences."}]
    path = write(tmp_path / "a.jsonl", "\n".join(json.dumps(record) for record in records) + "\n\n")
    assert list(read_documents([path])) == [
        Document(f"{path}, line 1", PROSE_SENTENCES),
        Document(f"{path}, line 3", ["One line.", "Two sentences."]),
    ]
    assert read(write(tmp_path / "b.txt", path.read_bytes()), layout="jsonl")[0] == PROSE_SENTENCES


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[]", 'line 2: an object with a string "text" is expected'),
        ('{"txt": "a"}', 'line 2: an object with a string "text"'),
        ('{"text": 3}', 'line 2: an object with a string "text"'),
    ],
)
def test_lines_that_are_not_such_json_are_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "a.jsonl", '{"text": "Good."}\n' + line))


def test_one_review_a_file(tmp_path: Path) -> None:
    """As in the IMDB data: one line, tags for line breaks."""
    write(tmp_path / "pos" / "0_9.txt", "A fine film.<br /><br />I saw it twice. My aunt\x85 did not.")
    write(tmp_path / "pos" / "1_7.txt", "Short.")
    write(tmp_path / "neg" / "2_1.txt", "Terrible! I left. Do not go.")
    assert read(tmp_path) == [
        ["Terrible!", "I left.", "Do not go."],
        ["A fine film.", "I saw it twice.", "My aunt did not."],
        ["Short."],
    ]


def test_folders_are_read_in_order_and_other_files_passed_over(tmp_path: Path) -> None:
    for name in ("q/1", "n/1", "o/1", "b.txt", "a/z.txt", "a/b.text", "c", "A.txt", "d.jsonl", "m/1", "p/1"):
        write(tmp_path / name, '{"text": "One."}' if name == "d.jsonl" else f"{name} is here.")
    for name in (".hidden", ".git/config", "readme.md", "picture.png"):
        write(tmp_path / name, b"\0")
    write(tmp_path / "e.txt.gz", gzip.compress(b"e is here.", mtime=0))
    found = " ".join(sentence.removesuffix(" is here.") for document in read(tmp_path) for sentence in document)
    assert found == "A.txt b.txt c One. e a/b.text a/z.txt m/1 n/1 o/1 p/1 q/1"


def test_a_file_named_on_purpose_is_read_whatever_its_ending(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.md", LINES)) == read(write(tmp_path / "a.txt", LINES))


@pytest.mark.parametrize("packed", [False, True])
def test_byte_order_marks_and_line_ends(tmp_path: Path, packed: bool) -> None:
    """CRLF is a line end; U+0085, U+000B, U+001C, U+2028 and a lone CR are not."""
    text = "\ufeffOne\x85 still\x0b one\x1c and\u2028 on\r on.\r\nTwo.\r\n\r\nThree.".encode()
    path = write(tmp_path / ("a.txt.gz" if packed else "a.txt"), gzip.compress(text, mtime=0) if packed else text)
    assert read(path, sentences="line") == [["One\x85 still\x0b one\x1c and\u2028 on\r on.", "Two."], ["Three."]]


# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "no text found"),
        ("blank.txt", b"\n \r\n\n", "no text found"),
        ("binary.txt", b"abc\ndef\0g\n", r"binary\.txt: a binary file \(zero byte at offset 7\)"),
        ("late.txt", b"a.\n" * 4000 + b"\0", r"a binary file \(zero byte at offset 12000\)"),
        ("latin.txt", b"Good.\nCaf\xe9 noir.\n", r"latin\.txt: not UTF-8: byte 0xe9 at offset 9"),
        ("utf16.txt", "Text".encode("utf-16"), "UTF-16; text has to be UTF-8"),
        ("bad.txt.gz", b"not gzip", "can't be unpacked"),
        ("cut.txt.gz", gzip.compress(b"A sentence. " * 100, mtime=0)[:-12], "can't be unpacked"),
        ("late.txt.gz", gzip.compress(b"Good.\n\xff", mtime=0), "byte 0xff at offset 6"),
    ],
)
def test_files_that_hold_no_text_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / name, content))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tgz", "a.pdf", "a.json", "a.HTML", "a.parquet"])
def test_other_kinds_of_file_are_refused_by_their_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"unpack it first|convert it to text"):
        read(write(tmp_path / name, "text"))


def test_paths_and_options_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", LINES)
    with pytest.raises(InputError, match="gone: no such file or folder"):
        read_documents([path, tmp_path / "gone"])
    with pytest.raises(InputError, match="no corpus given"):
        read_documents([])
    with pytest.raises(InputError, match="layout is 'other'; it must be one of auto, blank-line"):
        read_documents([path], layout="other")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="sentences is 'no'"):
        read_documents([path], sentences="no")  # type: ignore[arg-type]
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="no files of text in this folder"):
        read(tmp_path / "folder")


def test_files_are_reported(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.txt", LINES * 40_000)
    prose = write(tmp_path / "b.txt.gz", gzip.compress(PROSE.encode()))
    files: list[tuple[str, str, str]] = []
    counts: list[int] = []
    for _ in read_documents(
        [lines, prose], on_bytes=counts.append, on_file=lambda path, *rest: files.append((path.name, *rest))
    ):
        pass
    assert files == [("a.txt", "blank-line", "sentences"), ("b.txt.gz", "file", "wrapped")]
    assert sum(counts) == total_bytes([lines, prose]) == lines.stat().st_size + prose.stat().st_size
    assert len(counts) > 2


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """3.4 MB of small documents, read in less than 1 MB."""
    import tracemalloc

    path = write(tmp_path / "a.txt", "A sentence of some length, to fill a line of the file.\n\n" * 60_000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_documents([path]))
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
    assert count == 60_000
