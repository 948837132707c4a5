"""Cases, right answers, and dumps as another program would write them: by hand, without bertref's writer."""

import functools
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bertref.verify.cases.case import generate
from bertref.verify.exchange import settings_digest
from bertref.verify.records import Arrays, Case
from bertref.verify.subjects.backend import BackendSubject


@functools.cache
def case() -> Case:
    """A small case; nobody may change its arrays."""
    return generate(7)


@functools.cache
def right() -> Arrays:
    """Its answers in float64, by canonical name."""
    return BackendSubject("numpy", dtype="float64", kernels=False).answer(case()).values


def some(*names: str) -> Arrays:
    """A few of the right answers."""
    return {name: right()[name] for name in names}


def bfloat16(array: Any) -> bytes:
    """Little-endian bfloat16, cut off."""
    return b"".join(struct.pack("<f", float(x))[2:] for x in np.ravel(array))


def listed(arrays: Mapping[str, Any], folder: Path, *, file: str = "out.bin", order: str = "<") -> list[dict[str, Any]]:
    """Writes the data, and returns what index.json says of it."""
    entries, data = [], b""
    for name, array in arrays.items():
        array = np.asarray(array)
        entries.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape), "file": file,
                        "offset": len(data)})  # fmt: skip
        data += array.astype(array.dtype.newbyteorder(order)).tobytes()
    (folder / file).write_bytes(data)
    return entries


def dump(folder: Path, arrays: Mapping[str, Any], *, order: str = "<", **fields: Any) -> Path:
    """An answers folder with an index.json; `fields` replace what it says, None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = listed(arrays, folder, order=order)
    values = {"format": "bertref-answers", "version": 1, "case": settings_digest(case()), "tensors": tensors, **fields}
    text = json.dumps({key: value for key, value in values.items() if value is not None})
    (folder / "index.json").write_text(text, encoding="utf-8")
    return folder


def dump_tsv(folder: Path, arrays: Mapping[str, Any], first: str | None = None) -> Path:
    """The same with an index.tsv; `first` is its first line."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"#bertref\tversion=1\tcase={settings_digest(case())}" if first is None else first]
    for t in listed(arrays, folder):
        lines.append("\t".join(map(str, [t["name"], t["dtype"], len(t["shape"]), *t["shape"], t["offset"], t["file"]])))
    (folder / "index.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def packed(array: Any) -> Any:
    """The rows of the real tokens of (B, S, ...), example after example."""
    return np.stack([array[b, s] for b, s in np.argwhere(case().batch.attention_mask == 1)])
