"""Small files for the readers' tests, and what they give."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertref.data.tasks.examples import Part


def write(path: Path, text: str | bytes) -> Path:
    data = text.encode() if isinstance(text, str) else text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def lines(*rows: Sequence[Any]) -> str:
    """Rows of values, separated by tabs."""
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def read(part: Part) -> list[Any]:
    """The examples of a part, which are the same when it is read again."""
    found = list(part.read())
    assert list(part.read()) == found
    return found
