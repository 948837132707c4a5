"""Documents and their sentences, from the forms in which text lies about.

    blank-line   text files in the original's format: a blank line between documents
    file         each text file is one document (novels, reviews)
    wiki         WikiExtractor's output: `<doc ... title="...">`, a paragraph a line, `</doc>`
    jsonl        one JSON object a line, with the text under the key "text"

With "auto" a file is "jsonl" by its ending (.jsonl, .ndjson), "wiki" if its first line begins with `<doc `, "blank-line" if its lines are
sentences, and otherwise "file". Whether lines are sentences is the caller's word ("line": they are; "split": they
aren't) or the test of `sentences.line_style`. All of them may be packed with gzip.

Reading streams: one document is in memory at a time.
"""

import html
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ..errors import InputError
from .files import JSONL, OnBytes, check_paths, ending, find_files, read_lines
from .sentences import SAMPLE, LineStyle, line_style, line_width, paragraphs, split_sentences

Layout = Literal["auto", "blank-line", "file", "wiki", "jsonl"]
Sentences = Literal["auto", "line", "split"]
OnFile = Callable[[Path, str, LineStyle], None]
"""Told of each file: its layout, and what its lines were taken for."""

WIKI_START = re.compile(r"<doc\b.*?(?:\btitle=\"(?P<title>.*)\")?\s*>\s*$")
HEADING_WORDS, HEADING_CHARACTERS = 6, 60


class Document(NamedTuple):
    """Where it comes from, and its sentences, none of them blank."""

    name: str
    sentences: list[str]


class _Text(NamedTuple):
    """A document before its lines are made sentences. `prose`: the lines may be headings, which are then left out."""

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
    """The documents of files and folders, in a stated order (`files.find_files`); documents without text are left out.

    Raises `InputError` at once for a missing or unsupported path or a wrong option; while reading, for a file that is
    binary, not UTF-8 or not in its layout (with the place), and at the end if there was no document.
    """
    for name, value, allowed in (("layout", layout, Layout), ("sentences", sentences, Sentences)):
        if value not in get_args(allowed):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(allowed))}")
    return _read(check_paths(paths), layout, sentences, on_bytes, on_file)


def _read(
    paths: Sequence[Path], layout: Layout, sentences: Sentences, on_bytes: OnBytes | None, on_file: OnFile | None
) -> Iterator[Document]:
    empty = True
    for path in find_files(paths):
        for document in _read_file(path, layout, sentences, on_bytes, on_file):
            empty = False
            yield document
    if empty:
        raise InputError(f"{', '.join(map(str, paths))}: no text in it; a corpus needs at least one document")


def _read_file(
    path: Path, layout: Layout, sentences: Sentences, on_bytes: OnBytes | None, on_file: OnFile | None
) -> Iterator[Document]:
    sample, lines = _sample(read_lines(path, on_bytes), lambda line: 1)
    if layout == "auto":
        layout = _recognise(path, sample)
    if layout in ("wiki", "jsonl"):
        texts = _wiki(path, lines) if layout == "wiki" else _jsonl(path, lines)
        some, texts = _sample(texts, lambda text: len(list(text.lines)))
        sample = [line for text in some for line in _content(text)]
    style = _style(sentences, sample)
    if layout == "auto":
        layout = "blank-line" if style == "sentences" else "file"
    if layout == "file":
        texts = iter([_Text(str(path), lines)])
    elif layout == "blank-line":
        texts = _blocks(path, lines)
    if on_file:
        on_file(path, layout, style)
    width = line_width(sample)
    for text in texts:
        found = _sentences(text, style, width)
        if found:
            yield Document(text.name, found)
