"""Documents and their sentences, from the forms in which text lies about.

    blank-line   text files in the original's format: a blank line between documents
    file         each text file is one document (novels, reviews)
    wiki         WikiExtractor's output: `<doc ... title="...">`, a paragraph a line, `</doc>`
    jsonl        one JSON object a line, with the text under the key "text"

With "auto" a file is "jsonl" by its ending (.jsonl, .ndjson), "wiki" if its first line begins with `<doc `,
"blank-line" if its lines are sentences, and otherwise "file". Whether lines are sentences is the caller's word
("line": they are; "split": they aren't) or the test of `sentences.line_style`. Any file may be packed with
gzip.

The paper took "only the text passages" of Wikipedia (section 3.1): of extracts, a document's title, its
headings and its list items are left out, as far as they can be told from paragraphs: by having at most
HEADING_WORDS words.

Reading streams: one document is in memory at a time.
"""

import html
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args

from ...errors import InputError
from .sentences import SAMPLE, LineStyle, line_style, line_width, paragraphs, running_style, split_sentences
from .text_files import JSONL, OnBytes, check_paths, ending, find_files, read_lines

Layout = Literal["auto", "blank-line", "file", "wiki", "jsonl"]
Sentences = Literal["auto", "line", "split"]
OnFile = Callable[[Path, str, LineStyle], None]
"""Told of each file: its layout, and what its lines were taken for."""

T = TypeVar("T")

WIKI_START = re.compile(r"<doc\b.*?(?:\btitle=\"(?P<title>.*)\")?\s*>\s*$")
HEADING_WORDS, HEADING_CHARACTERS = 6, 60


class Document(NamedTuple):
    """Where it comes from, and its sentences, none of them blank."""

    name: str
    sentences: list[str]


class _Text(NamedTuple):
    """A document whose lines are not yet sentences; `headings`: some of them are headings, to be left out."""

    name: str
    lines: Iterable[str]
    headings: bool = False


def read_documents(
    paths: Sequence[str | Path],
    *,
    layout: Layout = "auto",
    sentences: Sentences = "auto",
    on_bytes: OnBytes | None = None,
    on_file: OnFile | None = None,
) -> Iterator[Document]:
    """The documents of files and folders, in a stated order (`text_files.find_files`), those without text left out.

    Raises `InputError` at once for a missing or unsupported path or a wrong option; while reading, for a file
    that is binary, not UTF-8 or not in its layout (with the place); and at the end if there was no document.
    """
    for name, value, allowed in (("layout", layout, Layout), ("sentences", sentences, Sentences)):
        if value not in get_args(allowed):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(allowed))}")
    return _read(check_paths(paths), layout, sentences, on_bytes, on_file)


def _read(
    paths: Sequence[Path],
    layout: Layout,
    sentences: Sentences,
    on_bytes: OnBytes | None,
    on_file: OnFile | None,
) -> Iterator[Document]:
    empty = True
    for path in find_files(paths):
        for document in _read_file(path, layout, sentences, on_bytes, on_file):
            empty = False
            yield document
    if empty:
        raise InputError(f"{', '.join(map(str, paths))}: no text found; a corpus needs at least one document")


def _read_file(
    path: Path, layout: Layout, sentences: Sentences, on_bytes: OnBytes | None, on_file: OnFile | None
) -> Iterator[Document]:
    sample, lines = _peek(read_lines(path, on_bytes), lambda line: [line])
    if layout == "auto":
        layout = _recognised(path, sample)
    texts: Iterator[_Text] = iter(())
    if layout == "wiki":
        sample, texts = _peek(_wiki(path, lines), lambda text: text.lines)
    elif layout == "jsonl":
        sample, texts = _peek(_jsonl(path, lines), lambda text: text.lines)
    style = _style(layout, sentences, sample)
    if layout == "auto":
        layout = "blank-line" if style == "sentences" else "file"
    if layout == "blank-line":
        texts = _blocks(path, lines)
    elif layout == "file":
        texts = iter([_Text(str(path), lines)])
    if on_file:
        on_file(path, layout, style)
    width = line_width(sample)
    for text in texts:
        found = list(_sentences(text, style, width))
        if found:
            yield Document(text.name, found)


def _peek(items: Iterator[T], lines_of: Callable[[T], Iterable[str]]) -> tuple[list[str], Iterator[T]]:
    """The first SAMPLE non-blank lines of a stream, and the stream with nothing taken from it."""
    taken: list[T] = []
    sample: list[str] = []
    for item in items:
        taken.append(item)
        sample += (line for line in lines_of(item) if line.strip())
        if len(sample) >= SAMPLE:
            break
    return sample[:SAMPLE], itertools.chain(taken, items)


def _recognised(path: Path, sample: Sequence[str]) -> Layout:
    if ending(path) in JSONL:
        return "jsonl"
    return "wiki" if sample and sample[0].lstrip().startswith("<doc ") else "auto"


def _style(layout: Layout, sentences: Sentences, sample: Sequence[str]) -> LineStyle:
    if sentences == "line":
        return "sentences"
    style = running_style(sample) if sentences == "split" else line_style(sample)
    return "paragraphs" if layout == "wiki" and style == "wrapped" else style


def _sentences(text: _Text, style: LineStyle, width: int) -> Iterator[str]:
    if style == "sentences":
        yield from filter(None, (line.strip() for line in text.lines))
        return
    for paragraph in paragraphs(text.lines, style, width):
        if not (text.headings and _is_heading(paragraph)):
            yield from split_sentences(paragraph)


def _is_heading(paragraph: str) -> bool:
    """Few words; and few characters, because some languages put no spaces between words."""
    return len(paragraph) <= HEADING_CHARACTERS and len(paragraph.split()) <= HEADING_WORDS


def _blocks(path: Path, lines: Iterable[str]) -> Iterator[_Text]:
    """What stands between blank lines."""
    number = 0
    for blank, block in itertools.groupby(lines, lambda line: not line.strip()):
        if not blank:
            number += 1
            yield _Text(f"{path}#{number}", list(block))


def _wiki(path: Path, lines: Iterable[str]) -> Iterator[_Text]:
    title: str | None = None  # None: between two documents
    content: list[str] = []
    for number, line in enumerate(lines, start=1):
        start = WIKI_START.match(line)
        if start:
            if title is not None:
                raise InputError(f"{path}, line {number}: <doc> before the </doc> of the document above it")
            title, content = html.unescape(start["title"] or f"{path}, line {number}"), []
        elif line.strip() == "</doc>":
            if title is None:
                raise InputError(f"{path}, line {number}: </doc> without a <doc>")
            yield _Text(title, content, headings=True)
            title = None
        elif line.strip():
            if title is None:
                raise InputError(f"{path}, line {number}: text outside of <doc> ... </doc>")
            line = html.unescape(line)  # WikiExtractor writes & < > as entities
            if content or line.strip() != title:
                content.append(line)
    if title is not None:
        raise InputError(f"{path}: ends inside a <doc>; the file is cut off")


def _jsonl(path: Path, lines: Iterable[str]) -> Iterator[_Text]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise InputError(f'{where}: an object with a string "text" is expected')
        yield _Text(where, record["text"].replace("\r\n", "\n").split("\n"))
