"""Writing a prepared corpus: text is tokenised once, streaming, into the folder that `corpus.py` describes.

Sentences are tokenised a few thousand at a time and written at once; only offsets, two numbers a sentence at most, stay in memory, and
those only of the shard in hand. The folder appears under its name when it is complete.
"""

import itertools
import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from .. import __version__
from ..errors import InputError
from ..files import write_folder
from ..text import Tokenizer
from .corpus import FORMAT, FORMAT_VERSION, MANIFEST, OFFSET, token_dtype
from .documents import Document

BLOCK = 4096
"""Sentences tokenised at once."""
SHARD_TOKENS = 2**28
"""A new shard is begun once one has this many tokens: half a gigabyte or one."""

Progress = Callable[[dict[str, int]], None]


def prepare(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    out: str | Path,
    *,
    progress: Progress = lambda counts: None,
    shard_tokens: int = SHARD_TOKENS,
) -> dict[str, int]:
    """Writes the corpus folder `out` and returns its counts: documents, sentences, tokens, dropped (empty) documents.

    `progress` is told the counts after every block. Raises `InputError` if `out` exists, if nothing is left after
    tokenising, or if the disk refuses.
    """
    path = Path(out)
    if path.exists():
        raise InputError(f"{path}: exists; choose another --out")
    counts = {"documents": 0, "sentences": 0, "tokens": 0, "dropped": 0}

    def fill(folder: Path) -> None:
        shards = list(_write_shards(documents, tokenizer, folder, counts, progress, shard_tokens))
        if not shards:
            raise InputError("the corpus is empty: no document gave a token")
        tokenizer.vocab.save(folder / "vocab.txt")
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "bertref": __version__,
            "token_dtype": token_dtype(len(tokenizer.vocab)).str,
            "vocabulary": {"sha256": tokenizer.vocab.sha256, "size": len(tokenizer.vocab)},
            "tokenizer": tokenizer.options,
            "counts": counts,
            "shards": shards,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    path.parent.mkdir(parents=True, exist_ok=True)
    write_folder(path, fill)
    return counts


def _write_shards(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    folder: Path,
    counts: dict[str, int],
    progress: Progress,
    shard_tokens: int,
) -> Iterator[dict[str, Any]]:
    """Writes shard after shard and yields the manifest's entry of each."""
    blocks = _tokenised(documents, tokenizer)
    for number in itertools.count():
        shard = _write_shard(f"{number:05}", blocks, tokenizer, folder, counts, progress, shard_tokens)
        if not shard["tokens"]:
            return
        yield shard


def _write_shard(
    name: str,
    sentences: Iterator[tuple[bool, np.ndarray]],
    tokenizer: Tokenizer,
    folder: Path,
    counts: dict[str, int],
    progress: Progress,
    shard_tokens: int,
) -> dict[str, Any]:
    dtype = token_dtype(len(tokenizer.vocab))
    ends = {"sentences": array("q", [0]), "documents": array("q", [0])}
    tokens = 0
    with open(folder / f"{name}.tokens.bin", "wb") as stream:
        for is_last, ids in sentences:
            tokens += _write(stream, ids.astype(dtype))
            if len(ids):
                ends["sentences"].append(tokens)
                counts["sentences"] += 1
                counts["tokens"] += len(ids)
            if not is_last:
                continue
            if len(ends["sentences"]) - 1 > ends["documents"][-1]:
                ends["documents"].append(len(ends["sentences"]) - 1)
                counts["documents"] += 1
            else:
                counts["dropped"] += 1
            progress(counts)
            if tokens >= shard_tokens:
                break
    if not tokens:
        (folder / f"{name}.tokens.bin").unlink()
        return {"name": name, "tokens": 0}
    for part, offsets in ends.items():
        np.frombuffer(offsets, np.int64).astype(OFFSET).tofile(folder / f"{name}.{part}.bin")
    return {"name": name, "tokens": tokens, **{part: len(offsets) - 1 for part, offsets in ends.items()}}


def _write(stream: IO[bytes], ids: np.ndarray) -> int:
    stream.write(ids.tobytes())
    return len(ids)


def _tokenised(documents: Iterable[Document], tokenizer: Tokenizer) -> Iterator[tuple[bool, np.ndarray]]:
    """(whether it is the last of its document, ids) of every sentence."""
    sentences = (
        (i == len(document.sentences) - 1, sentence)
        for document in documents
        for i, sentence in enumerate(document.sentences)
    )
    while block := list(itertools.islice(sentences, BLOCK)):
        ids, bounds = tokenizer.ids_arrays([sentence for _, sentence in block])
        for (is_last, _), start, end in zip(block, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            yield is_last, ids[start:end]
