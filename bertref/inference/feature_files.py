"""Features in files: JSON lines as the original writes them, or one .npz for NumPy. Each is there whole or not at all.

    jsonl   {"linex_index": 0, "features": [{"token": "[CLS]", "layers": [{"index": -1, "values": [...]}, ...]}, ...]}
            values are rounded to six digits, as in the original; beside "features" stand the vectors of whole texts
            under their names ("mean": [...]), with all digits. Written as they come.
    npz     layer_-1 (texts, longest, H), 0 at padding; attention_mask and input_ids (texts, longest); the vectors of
            whole texts (texts, width). Ids are held in memory, vectors pass through the disk.

Source: google-research/bert, `extract_features.py`.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import InputError
from ..plumbing.files import PREFIX, replacing
from ..text import Vocab
from ..text.encoding import tokens_of
from .features import CHUNK, Extractor, Floats, TextVectors

Advance = Callable[[int], None]


def write_jsonl(extractor: Extractor, lines: Iterable[str], stream: TextIO, advance: Advance) -> int:
    """Writes one object a line; returns how many."""
    vocab, count = extractor.loaded.tokenizer.vocab, 0
    for found in extractor.stream(lines):
        stream.write(json.dumps(_object(count, found, vocab), ensure_ascii=False) + "\n")
        count += 1
        advance(1)
    return count


def save_jsonl(extractor: Extractor, lines: Iterable[str], path: Path, advance: Advance) -> int:
    """`write_jsonl` into a file. Raises `InputError` if the disk refuses."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        return write_jsonl(extractor, lines, stream, advance)


def _object(number: int, found: TextVectors, vocab: Vocab) -> dict[str, Any]:
    values: dict[str, Any] = {"linex_index": number}
    if found.layers:
        rounded = {layer: [[round(v, 6) for v in row] for row in rows.tolist()] for layer, rows in found.layers.items()}
        values["features"] = [
            {"token": token, "layers": [{"index": layer, "values": rows[i]} for layer, rows in rounded.items()]}
            for i, token in enumerate(tokens_of(vocab, found.input_ids))
        ]
    return values | {name: _digits(vector) for name, vector in found.whole.items()}


def _digits(vector: Floats) -> list[float]:
    """Numbers with as many digits as their type holds, not those of the float64 that Python makes of it."""
    digits = 17 if vector.dtype == np.float64 else 9
    return [float(f"{value:.{digits}g}") for value in vector.tolist()]


def save_npz(extractor: Extractor, lines: Iterable[str], path: Path, advance: Advance) -> int:
    """Writes all arrays into one file; returns the number of texts. Raises `InputError` if the disk refuses."""
    encodings = extractor.encodings(list(lines))
    if not encodings:
        raise InputError("no texts: there is nothing to write")
    N, longest = len(encodings), max(len(e.input_ids) for e in encodings)
    with replacing(path) as temporary:
        parts = Path(tempfile.mkdtemp(prefix=PREFIX, dir=path.parent))
        try:
            arrays = _Arrays(parts, N)
            arrays.plain("attention_mask", np.array([_row([1] * len(e.input_ids), longest) for e in encodings]))
            arrays.plain("input_ids", np.array([_row(e.input_ids, longest) for e in encodings]))
            for i in range(0, N, CHUNK):
                for n, found in enumerate(extractor.features(encodings[i : i + CHUNK]), i):
                    for layer, rows in found.layers.items():
                        arrays.put(f"layer_{layer}", n, rows, (longest, rows.shape[1]))
                    for name, vector in found.whole.items():
                        arrays.put(name, n, vector, vector.shape)
                    advance(1)
            arrays.close()
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                for file in arrays.files:
                    archive.write(file, file.name)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
    return N


def _row(values: list[int], longest: int) -> list[int]:
    return values + [0] * (longest - len(values))


class _Arrays:
    """Arrays of N rows each as .npy files in a folder, filled row by row without holding them in memory."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._rows = folder, rows
        self._open: dict[str, np.memmap[Any, Any]] = {}
        self.files: list[Path] = []

    def plain(self, name: str, values: np.ndarray) -> None:
        """An array that is there already."""
        self.files.append(self._folder / f"{name}.npy")
        np.save(self.files[-1], values)

    def put(self, name: str, row: int, values: Floats, shape: tuple[int, ...]) -> None:
        """Row `row` of an array of `shape` rows; what the values don't fill is 0."""
        if name not in self._open:
            self.files.append(self._folder / f"{name}.npy")
            self._open[name] = np.lib.format.open_memmap(
                self.files[-1], mode="w+", dtype=values.dtype, shape=(self._rows, *shape)
            )
        self._open[name][row, : len(values)] = values

    def close(self) -> None:
        for array in self._open.values():
            array.flush()
        self._open.clear()
