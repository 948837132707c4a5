"""Documents and their sentences, from the forms in which text lies about.

    blank-line   text files in the original's format: a blank line between documents
    file         each text file is one document (novels, reviews)
    wiki         WikiExtractor's output: `<doc ... title="...">`, a paragraph a line, `</doc>`
    jsonl        one JSON object a line, with the text under the key "text"

With "auto" a file is "jsonl" by its ending (.jsonl, .ndjson), "wiki" if its first line begins with `<doc `,
"blank-line" if its lines are sentences, and otherwise "file". Whether lines are sentences is the caller's word
("line": they are; "split": they aren't) or seen by `recognition.py`, which asks back where it can't be. Any file may be
packed with gzip.

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
from typing import NamedTuple, TypeVar, get_args

from ...errors import InputError
from .dealing import Dealer
from .parts import CorpusPart
from .recognition import Reading, Sentences, TextLayout, recognise
from .sentences import SAMPLE, LineStyle, paragraphs, split_sentences
from .text_files import JSONL, OnBytes, check_paths, ending, find_files, read_lines

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
    layout: TextLayout = "auto",
    sentences: Sentences = "auto",
    on_bytes: OnBytes | None = None,
    on_file: OnFile | None = None,
    part: CorpusPart | None = None,
) -> Iterator[Document]:
    """The documents of files and folders, in a stated order (`text_files.find_files`), those without text left out.

    Raises `InputError` at once for a missing or unsupported path or a wrong option; while reading, for a file
    that is binary, not UTF-8 or not in its layout (with the place), or whose layout or sentences can't be seen;
    and at the end if there was no document. With `part` those of a part of the corpus, which may be none.
    """
    for name, value, allowed in (("layout", layout, TextLayout), ("sentences", sentences, Sentences)):
        if value not in get_args(allowed):
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(allowed))}")
    checked = check_paths(paths)
    dealer = None if part is None else Dealer(part, checked)
    return _read(checked, layout, sentences, on_bytes, on_file, dealer)


def _read(
    paths: Sequence[Path],
    layout: TextLayout,
    sentences: Sentences,
    on_bytes: OnBytes | None,
    on_file: OnFile | None,
    dealer: Dealer | None,
) -> Iterator[Document]:
    empty = dealer is None
    before: Reading | None = None
    for path in find_files(paths):
        reading, texts = _open(path, layout, sentences, on_bytes, before)
        if reading.layout in ("blank-line", "file"):
            before = reading
        if on_file:
            on_file(path, reading.layout, reading.style)
        for text in dealer.own(path, texts) if dealer else texts:
            found = list(_sentences(text, reading))
            if found:
                empty = False
                yield Document(text.name, found)
    if empty:
        raise InputError(f"{', '.join(map(str, paths))}: no text found; a corpus needs at least one document")


def _open(
    path: Path, layout: TextLayout, sentences: Sentences, on_bytes: OnBytes | None, before: Reading | None
) -> tuple[Reading, Iterator[_Text]]:
    """How a file is read, and its documents; `before` is how the text file before it was read."""
    sample, lines = _peek(read_lines(path, on_bytes), lambda line: [line])
    if layout == "auto":
        layout = _recognised(path, sample)
    if layout == "wiki":
        sample, texts = _peek(_wiki(path, lines), lambda text: [*text.lines, ""])
    elif layout == "jsonl":
        sample, texts = _peek(_jsonl(path, lines), lambda text: [*text.lines, ""])
    reading = recognise(path, sample, layout, sentences, before)
    if reading.layout == "blank-line":
        texts = _blocks(path, lines)
    elif reading.layout == "file":
        texts = iter([_Text(str(path), lines)])
    return reading, texts


def _peek(items: Iterator[T], lines_of: Callable[[T], Iterable[str]]) -> tuple[list[str], Iterator[T]]:
    """The lines of a stream up to the SAMPLE-th that isn't blank, and the stream with nothing taken from it.

    The lines are stripped, and several blank ones are one, of which none is at the beginning or the end.
    """
    taken: list[T] = []
    sample = [""]
    full = 0
    for item in items:
        taken.append(item)
        for line in map(str.strip, lines_of(item)):
            if full < SAMPLE and (line or sample[-1]):
                sample.append(line)
                full += bool(line)
        if full >= SAMPLE:
            break
    return sample[1:] if sample[-1] else sample[1:-1], itertools.chain(taken, items)


def _recognised(path: Path, sample: Sequence[str]) -> TextLayout:
    if ending(path) in JSONL:
        return "jsonl"
    return "wiki" if sample and sample[0].startswith("<doc ") else "auto"


def _sentences(text: _Text, reading: Reading) -> Iterator[str]:
    if reading.style == "sentences":
        yield from filter(None, (line.strip() for line in text.lines))
        return
    for paragraph in paragraphs(text.lines, reading.style, reading.width, one_case=reading.one_case):
        if not (text.headings and _is_heading(paragraph)):
            yield from split_sentences(paragraph, one_case=reading.one_case)


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
