"""Files of JSON lines, an object a line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ...plumbing.files import write_chunks


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects, one after the other."""
    with open(path, encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replaces the file."""
    write_chunks(path, ((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows))
