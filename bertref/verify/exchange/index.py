"""Reading and writing `index.json` and `index.tsv`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from .tensors import IndexEntry, Located, is_shape, is_size

VERSION = 1
JSON, TSV = "index.json", "index.tsv"
CASE, ANSWERS = "bertref-case", "bertref-answers"
_FIELDS = {"name", "kind", "dtype", "shape", "file", "offset", "nbytes"}


@dataclass(frozen=True)
class Index:
    """`fields` are everything beside the tensors: format, version, case, seed, ..."""

    path: Path
    fields: Mapping[str, Any]
    entries: tuple[IndexEntry, ...]


def read(folder: Path) -> Index:
    """The index of a folder, whichever form it has. Raises `InputError` saying what is missing or malformed."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; a folder with {JSON} or {TSV} is expected")
    for name, parse in ((JSON, _parse_json), (TSV, _parse_tsv)):
        path = folder / name
        if path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{path}: can't be read as UTF-8 text ({error})") from None
            index = parse(path, text)
            _check_fields(index)
            return index
    raise InputError(f"{folder}: holds neither {JSON} nor {TSV}; the index says which tensors lie where")


def _check_fields(index: Index) -> None:
    version = index.fields.get("version")
    if version != VERSION or isinstance(version, bool):
        said = "no format version" if version is None else f"format version {version!r}"
        raise InputError(f"{index.path}: it gives {said}; this bertref reads version {VERSION}")
    order = index.fields.get("byte_order", "little")
    if order != "little":
        raise InputError(f"{index.path}: byte_order is {order!r}; write every file in little-endian order")


def _parse_json(path: Path, text: str) -> Index:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is truncated or no JSON ({error})") from None
    if not isinstance(values, dict) or not isinstance(values.get("tensors"), list):
        raise InputError(f'{path}: a JSON object with a list "tensors" is expected')
    entries = tuple(_entry(path, number, item) for number, item in enumerate(values.pop("tensors"), 1))
    return Index(path, values, entries)


def _entry(path: Path, number: int, item: Any) -> IndexEntry:
    start = f"{path}: tensor {number}"
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not item["name"]:
        raise InputError(f'{start}: an object with a "name" is expected, not {json.dumps(item)[:80]}')
    start = f"{path}: {item['name']!r}"
    if unknown := sorted(set(item) - _FIELDS):
        raise InputError(f"{start}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}")
    for key in ("file", "dtype", "kind"):
        if not isinstance(item.get(key, ""), str):
            raise InputError(f"{start}: {key} is {item[key]!r}; a string is expected")
    for key in ("offset", "nbytes"):
        if key in item and not is_size(item[key]):
            raise InputError(f"{start}: {key} is {item[key]!r}; a whole number of bytes, 0 or more, is expected")
    if "shape" in item and not is_shape(item["shape"]):
        raise InputError(f"{start}: shape is {item['shape']!r}; a list of sizes, 0 or more, is expected")
    shape = tuple(item["shape"]) if "shape" in item else None
    return IndexEntry(item["name"], item.get("file", ""), item.get("dtype"), shape, item.get("offset"),
                      item.get("nbytes"), item.get("kind", ""))  # fmt: skip


def _parse_tsv(path: Path, text: str) -> Index:
    fields: dict[str, Any] = {}
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#bertref"):
            fields = {**fields, **_header(path, number, line)}
        elif line.strip() and not line.startswith("#"):
            entries.append(_line(path, number, line.split()))
    return Index(path, fields, tuple(entries))


def _header(path: Path, number: int, line: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in line.split()[1:]:
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"{path}, line {number}: {part!r} is no key=value")
        whole = key in ("version", "seed") and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 30
        found[key] = int(value) if whole else value
    return found


def _line(path: Path, number: int, parts: list[str]) -> IndexEntry:
    start = f"{path}, line {number}"
    try:
        name, dtype, axes = parts[0], parts[1], int(parts[2])
        shape, offset, file = [int(size) for size in parts[3 : 3 + axes]], int(parts[3 + axes]), parts[4 + axes]
        fits = len(parts) == 5 + axes and axes >= 0 and len(shape) == axes
    except (ValueError, IndexError):
        fits = False
    if not fits or not is_shape(shape) or not is_size(offset):
        raise InputError(f"{start}: expected name, dtype, ndim, that many sizes, offset, file; found {' '.join(parts)}")
    return IndexEntry(name, file, dtype, tuple(shape), offset)


def to_json(fields: Mapping[str, Any], tensors: Iterable[tuple[Located, str]]) -> str:
    """The text of `index.json`; with every tensor comes its file below the folder."""
    listed = [
        {"name": t.name, "kind": t.kind, "dtype": t.dtype, "shape": list(t.shape), "file": file, "offset": t.offset,
         "nbytes": t.nbytes} for t, file in tensors
    ]  # fmt: skip
    head = json.dumps({**fields}, indent=1, ensure_ascii=False, allow_nan=False)
    lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=False) for entry in listed)
    return head.removesuffix("\n}") + ',\n "tensors": [\n' + lines + "\n ]\n}\n"


def to_tsv(header: Mapping[str, Any], tensors: Iterable[tuple[Located, str]]) -> str:
    """The text of `index.tsv`; `header` goes into its first line."""
    lines = ["\t".join(["#bertref", *(f"{key}={value}" for key, value in header.items() if value is not None)])]
    for t, file in tensors:
        lines.append("\t".join([t.name, t.dtype, str(len(t.shape)), *map(str, t.shape), str(t.offset), file]))
    return "\n".join(lines) + "\n"
