"""Column files of labelled words: a word a line, its label in the last column, a blank line after each sentence.

    EU      B-ORG          columns are separated by tabs, or else by spaces: the file's first line of words shows it
    rejects O

(Tjong Kim Sang and De Meulder 2003, arXiv:cs/0306050, and most sets of entities since.) `-DOCSTART-` lines begin a
document, which is the group of its sentences. In a file of tabs, a line "# ..." without one is a comment; between
spaces a comment could not be told from words. Labels stay as the file spells them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..pretraining.text_files import JSONL, ending, read_lines
from .examples import Part, TokenExample

DOCUMENT = "-DOCSTART-"
COMMENT = "# "
SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class WordColumns:
    """The columns of the words and of the labels, from 1; `label` None: the last, if there is more than one."""

    word: int = 1
    label: int | None = None


@dataclass(frozen=True)
class _Layout:
    """What the first line of words shows of a file: its separator, the number of columns, where the label is."""

    tabs: bool
    count: int
    word: int
    label: int | None

    def columns(self, line: str) -> list[str]:
        return line.split("\t") if self.tabs else SPACES.split(line.strip(" \t"))


def token_part(name: str, path: Path, columns: WordColumns | None = None, *, labelled: bool = True) -> Part:
    """A part of sentences; without `labelled`, a file may have words only.

    Raises `InputError`, when it is read, for a line with another number of columns than the first, a word or label that
    is empty, or labels that are needed and not there: with the line.
    """
    chosen = columns or WordColumns()
    return Part(
        name, (path,), lambda: _sentences(path, chosen, labelled), {"columns": vars(chosen), "labelled": labelled}
    )


def _sentences(path: Path, columns: WordColumns, labelled: bool) -> Iterator[TokenExample]:
    layout = _layout(path, columns, labelled)
    documents = start = 0
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(_with_end(read_lines(path)), start=1):
        if not line.strip() or line.startswith(DOCUMENT):
            if rows:
                yield _sentence(path, start, rows, layout, documents)
                rows = []
            documents += line.startswith(DOCUMENT)
        elif not (layout.tabs and line.startswith(COMMENT) and "\t" not in line):
            start = start if rows else number
            rows.append(_word_and_label(line, layout, f"{path}, line {number}"))


def _with_end(lines: Iterator[str]) -> Iterator[str]:
    """The lines, and a blank one that ends the last sentence."""
    yield from lines
    yield ""


def _layout(path: Path, columns: WordColumns, labelled: bool) -> _Layout:
    """As the file's first line shows it that has words for certain."""
    if ending(path) in (".json", *JSONL):
        raise InputError(f"{path}: JSON is not read; words stand in columns, a word a line with its label behind it")
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip() and not line.startswith((DOCUMENT, COMMENT)):
            return _layout_of(line, columns, f"{path}, line {number}", labelled)
    raise InputError(f"{path}: no sentences in it")


def _layout_of(line: str, columns: WordColumns, where: str, labelled: bool) -> _Layout:
    tabs = "\t" in line.strip()
    count = len(line.split("\t")) if tabs else len(SPACES.split(line.strip(" \t")))
    label = columns.label or (count if count > 1 else None)
    if label is None and labelled:
        raise InputError(f"{where}: there is one column, the words; labels are needed, separated by a tab or a space")
    for wanted in (columns.word, label):
        if wanted is not None and not 1 <= wanted <= count:
            raise InputError(f"{where}: no column {wanted}; there are {count}, counted from 1")
    return _Layout(tabs, count, columns.word - 1, None if label is None else label - 1)


def _word_and_label(line: str, layout: _Layout, where: str) -> tuple[str, str]:
    values = layout.columns(line)
    if len(values) != layout.count:
        raise InputError(
            f"{where}: the number of columns between {'tabs' if layout.tabs else 'spaces'} is {len(values)}, "
            f"but {layout.count} above it; a blank line ends a sentence"
        )
    word = values[layout.word]
    label = "" if layout.label is None else values[layout.label].strip()
    if not word.strip() or (layout.label is not None and not label):
        raise InputError(f"{where}: the {'label' if word.strip() else 'word'} is empty")
    return word, label


def _sentence(path: Path, start: int, rows: Sequence[tuple[str, str]], layout: _Layout, document: int) -> TokenExample:
    words, labels = zip(*rows, strict=True)
    group = f"{path.name}, document {document}" if document else None
    return TokenExample(f"{path.name}, line {start}", words, None if layout.label is None else labels, group)
