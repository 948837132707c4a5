"""Which documents of a corpus are whose, where it is prepared in parts.

Documents stay in their order: part i of n has a stretch of them, and the parts end to end are the corpus that one
process would have made. They are dealt by place: the text files, in their order, are laid end to end, and a document
belongs to the part in whose nth of these bytes it begins. Every part knows these bounds without reading what is not its
own; of a file on a bound what comes before is read, but neither split into sentences nor tokenised.

Where exactly a document begins in its file is not kept by all readers, so its place is counted: the start of its file
and the bytes of the documents before it, but not beyond the file's end. The size of a packed file is the one that its
last four bytes tell. Sizes that are a little wrong only make parts uneven.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from .parts import CorpusPart
from .text_files import check_paths, find_files


class Text(Protocol):
    """A document that has not been split yet."""

    @property
    def lines(self) -> object: ...


T = TypeVar("T", bound=Text)


class Dealer:
    """Gives one part of a corpus's documents; ask it for every file of the corpus in turn."""

    def __init__(self, part: CorpusPart, paths: Sequence[str | Path]) -> None:
        self._part, self._start = part, 0
        self._total = sum(map(size_of, find_files(check_paths(paths))))

    def own(self, path: Path, texts: Iterator[T]) -> Iterator[T]:
        """Those of a file's documents that belong to the part. One whose lines are a stream is all of its file."""
        start, size = self._start, size_of(path)
        self._start += size
        if self._number(start + size - 1) < self._part.number:
            return
        before = 0
        for text in texts:
            number = self._number(start + min(before, size - 1))
            if number > self._part.number:
                return
            if isinstance(text.lines, list):
                before += sum(len(line.encode()) + 1 for line in text.lines)
            if number == self._part.number:
                yield text

    def _number(self, place: int) -> int:
        """The part that a place belongs to."""
        return place * self._part.total // self._total + 1


def size_of(path: Path) -> int:
    """Bytes of a file's text, at least 1."""
    size = path.stat().st_size
    if path.suffix.lower() == ".gz" and size >= 4:
        with open(path, "rb") as file:
            file.seek(-4, 2)
            size = int.from_bytes(file.read(4), "little")
    return max(1, size)


def fingerprint(paths: Sequence[str | Path]) -> str:
    """What parts compare to know that they are of one text: a digest of the names and sizes of its files."""
    files = [f"{path.name} {size_of(path)}" for path in find_files(check_paths(paths))]
    return hashlib.sha256("\n".join(files).encode()).hexdigest()
