"""Writing a prepared corpus: text is tokenised once, streaming, into the folder that `corpus.py` describes.

Documents are tokenised some thousand sentences at a time and written at once; neither tokens nor offsets pile up in
memory. The folder appears under its name when it is complete.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import __version__
from ...errors import InputError
from ...plumbing.crc32c import file_crc32c
from ...plumbing.files import write_folder
from ...text import Tokenizer
from .corpus import FORMAT, FORMAT_VERSION, MANIFEST, OFFSET, PARTS, save_vocabulary, token_dtype
from .documents import Document
from .tokenising import tokenised

BLOCK = 4096
"""Sentences tokenised at once, or those of one document if it has more."""
SHARD_TOKENS = 2**28
"""A new shard is begun once one has this many tokens: half a gigabyte or one."""

Counts = dict[str, int]
Progress = Callable[[Counts], None]


def prepare(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    out: str | Path,
    *,
    progress: Progress = lambda counts: None,
    shard_tokens: int = SHARD_TOKENS,
    processes: int = 1,
    part: Mapping[str, Any] | None = None,
) -> Counts:
    """Writes the corpus folder `out`; returns its counts: documents, sentences, tokens, and dropped documents.

    With several `processes` a large corpus is tokenised in them, see `tokenising`; the files are the same.
    `part` is what the manifest says of a part of a larger corpus (`joining.py`), which alone may be empty.
    A document is dropped, a sentence left out, if it has no tokens. `progress` is told the counts after every block.
    Raises `InputError` if `out` exists, if no token is left, or if the disk refuses; `out` then does not exist.
    """
    path = Path(out)
    if path.exists():
        raise InputError(f"{path}: exists; choose another folder for the prepared corpus, or remove it")

    counts = {**dict.fromkeys(("documents", "sentences", "tokens"), 0), "dropped": 0}

    def report(block: "_TextBlock") -> None:
        for name, number in block.counts().items():
            counts[name] += number
        progress(dict(counts))

    def fill(folder: Path) -> None:
        shards = _write_shards(
            folder, _tokenised(documents, tokenizer, processes), tokenizer.vocab.size, shard_tokens, report
        )
        if not shards and part is None:
            raise InputError("the corpus is empty: no document gave a token")
        save_vocabulary(folder, tokenizer)
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "bertref": __version__,
            "token_dtype": token_dtype(tokenizer.vocab.size).str,
            "vocabulary": {"sha256": tokenizer.vocab.sha256, "size": tokenizer.vocab.size},
            "tokenizer": tokenizer.options,
            "counts": counts,
            **({} if part is None else {"part": part}),
            "shards": [{**shard, "checksums": _checksums(folder, shard["name"])} for shard in shards],
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent}: can't be made ({error.strerror}); choose another place") from None
    write_folder(path, fill)
    return counts


def _checksums(folder: Path, shard: str) -> dict[str, int]:
    return {part: file_crc32c(folder / f"{shard}.{part}.bin") for part in PARTS}


class _TextBlock:
    """Tokenised documents: the ids end to end, the lengths of the sentences (tokens) and documents (sentences)."""

    def __init__(
        self,
        ids: npt.NDArray[np.int32],
        sentence_lengths: npt.NDArray[np.int64],
        in_document: npt.NDArray[np.int64],
    ) -> None:
        """`in_document`: how many of the sentences each document has. What is empty is left out."""
        filled = sentence_lengths > 0
        owner = np.repeat(np.arange(len(in_document)), in_document)
        document_lengths = np.bincount(owner[filled], minlength=len(in_document))
        self.dropped = int((document_lengths == 0).sum())
        self.tokens = ids
        self.sentences = sentence_lengths[filled]
        self.documents = document_lengths[document_lengths > 0]

    def counts(self) -> Counts:
        return {**{part: len(getattr(self, part)) for part in PARTS}, "dropped": self.dropped}


def _tokenised(documents: Iterable[Document], tokenizer: Tokenizer, processes: int) -> Iterator[_TextBlock]:
    in_documents: deque[npt.NDArray[np.int64]] = deque()

    def texts() -> Iterator[list[str]]:
        for block in _blocks(documents):
            in_documents.append(np.array([len(document.sentences) for document in block], np.int64))
            yield [sentence for document in block for sentence in document.sentences]

    for ids, bounds in tokenised(texts(), tokenizer, processes):
        yield _TextBlock(ids, np.diff(bounds), in_documents.popleft())


def _blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """The documents in groups of at least BLOCK sentences, except the last."""
    block: list[Document] = []
    sentences = 0
    for document in documents:
        block.append(document)
        sentences += len(document.sentences)
        if sentences >= BLOCK:
            yield block
            block, sentences = [], 0
    if block:
        yield block


def _write_shards(
    folder: Path, blocks: Iterable[_TextBlock], vocab_size: int, shard_tokens: int, report: Callable[[_TextBlock], None]
) -> list[dict[str, Any]]:
    """Writes shard after shard; returns the manifest's entry of each."""
    entries: list[dict[str, Any]] = []
    with ExitStack() as stack:
        for block in blocks:
            report(block)
            if not len(block.tokens):
                continue
            if not entries or entries[-1]["tokens"] >= shard_tokens:
                stack.close()  # the files of the shard before
                entries.append({"name": f"{len(entries):05}", **dict.fromkeys(PARTS, 0)})
                name = entries[-1]["name"]
                files = {part: stack.enter_context(open(folder / f"{name}.{part}.bin", "wb")) for part in PARTS}
                for part in ("sentences", "documents"):
                    files[part].write(np.zeros(1, OFFSET).tobytes())
            entry = entries[-1]
            ends = {
                "tokens": block.tokens.astype(token_dtype(vocab_size)),
                "sentences": (entry["tokens"] + np.cumsum(block.sentences)).astype(OFFSET),
                "documents": (entry["sentences"] + np.cumsum(block.documents)).astype(OFFSET),
            }
            for part, numbers in ends.items():
                files[part].write(numbers.tobytes())
                entry[part] += len(numbers)
    return entries
