"""A prepared corpus: memory-mapped tokens, and the offsets of its sentences and documents.

A corpus folder holds

    manifest.json          format version, vocabulary hash, tokenizer options, counts, the shards with their checksums
    vocab.txt              the vocabulary that the token ids belong to; of tokenizers other than BERT's there are
                           tokenizer.json and tokenizer_config.json in place of it
    NNNNN.tokens.bin       the ids of all tokens, end to end: uint16 or, for large vocabularies, uint32
    NNNNN.sentences.bin    int64, sentences + 1: sentence s has tokens [s] up to, not including, [s + 1]
    NNNNN.documents.bin    int64, documents + 1: the same for the sentences of a document

or, where it was prepared in parts (`parts.py`), a manifest that names the shards of theirs, part-I-of-N/NNNNN.

All numbers are little-endian; offsets count from the start of their shard. A document lies in one shard. Checksums are
those of `plumbing.crc32c`; version 0.1.0 wrote none. `shards.py` writes such folders; this file reads one or several of
them as one corpus.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...plumbing.crc32c import file_crc32c
from ...text import LIBRARY, Tokenizer, Vocab, load_vocab
from .parts import NAME, missing, present

FORMAT = "bertref-corpus"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
VOCAB, OPTIONS = "vocab.txt", "tokenizer_config.json"
OFFSET = np.dtype("<i8")
PARTS = ("tokens", "sentences", "documents")
BLOCK = 2**22
"""Numbers of a file that are looked at together when it is opened."""


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The narrowest type that holds every id."""
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")


def save_vocabulary(folder: Path, tokenizer: Tokenizer) -> None:
    """Writes the vocabulary into a corpus; the options of BERT's tokenizer are in the manifest."""
    if tokenizer.vocab.notation.style == "wordpiece":
        tokenizer.vocab.save(folder / VOCAB)
    else:
        tokenizer.save_pretrained(folder)


def vocabulary_files(folder: Path) -> list[Path]:
    """What `save_vocabulary` wrote."""
    return [path for path in (folder / name for name in (VOCAB, LIBRARY, OPTIONS)) if path.is_file()]


def vocab_in(folder: Path) -> Vocab:
    """The vocabulary that lies in a folder of tokens or records."""
    return Tokenizer.from_pretrained(folder).vocab if (folder / LIBRARY).is_file() else load_vocab(folder / VOCAB)


def is_corpus(path: str | Path) -> bool:
    """Whether a path is a folder with a corpus manifest, or with parts that may not all be there yet."""
    return (Path(path) / MANIFEST).is_file() or bool(present(Path(path)))


@dataclass(frozen=True, eq=False)
class Corpus:
    """D documents of S sentences of T tokens, numbered through all shards.

    document_offsets  (D + 1,) int64: document d has sentences [d] up to [d + 1]
    sentence_offsets  (S + 1,) int64: sentence s has tokens [s] up to [s + 1]

    No document and no sentence is empty. `manifests` are those of the folders, in order. Only the offsets may
    take memory; tokens stay on the disk until they are read.
    """

    document_offsets: npt.NDArray[np.int64]
    sentence_offsets: npt.NDArray[np.int64]
    vocab: Vocab
    manifests: tuple[dict[str, Any], ...]
    _shards: tuple[npt.NDArray[np.integer[Any]], ...]
    _shard_starts: npt.NDArray[np.int64]
    _folder: Path = Path()

    @classmethod
    def open(cls, folders: str | Path | Sequence[str | Path], vocab: Vocab | None = None) -> "Corpus":
        """Opens one prepared folder, or several as one corpus.

        Every file is read once. Raises `InputError` if a manifest is missing, damaged, of another format version, if a
        file does not have the size or the checksum that the manifest says, offsets don't rise or an id is no token's,
        or if the tokens were made with another vocabulary than `vocab` (or, with several folders, than each other's).
        """
        paths = [Path(folders)] if isinstance(folders, str | Path) else [Path(folder) for folder in folders]
        if not paths:
            raise InputError("no corpus folder given")
        manifests = [read_manifest(path) for path in paths]
        own = vocab or vocab_in(paths[0])
        for path, manifest in zip(paths, manifests, strict=True):
            if manifest["vocabulary"]["sha256"] != own.sha256:
                raise InputError(
                    f"{path}: was prepared with another vocabulary ({manifest['vocabulary']['size']} tokens) "
                    f"than {own.source} ({own.size} tokens); prepare it again, or give its own vocabulary"
                )
        shards = [
            _map_shard(path, shard, np.dtype(manifest["token_dtype"]), own.size)
            for path, manifest in zip(paths, manifests, strict=True)
            for shard in manifest["shards"]
        ]
        if not shards:
            raise InputError(f"{paths[0]}: an empty part of a corpus; give the folder that it lies in")
        tokens, sentences, documents = zip(*shards, strict=True)
        starts = np.cumsum([0, *(len(part) for part in tokens)])
        return cls(_chain(documents), _chain(sentences), own, tuple(manifests), tokens, starts, paths[0])

    @property
    def tokenizer(self) -> Tokenizer:
        """The one that made the tokens. Raises `InputError` if folders had different ones, or one says none."""
        first, *others = [manifest.get("tokenizer", {}) for manifest in self.manifests]
        other = next((options for options in others if options != first), first)
        if other != first:
            raise InputError(f"the corpora were prepared with different tokenizers: {first} and {other}")
        if self.vocab.notation.style != "wordpiece":
            return Tokenizer.from_pretrained(self._folder)
        try:
            return Tokenizer(self.vocab, **first)
        except TypeError:
            raise InputError(f"the corpus's {MANIFEST} names no tokenizer that is known ({first})") from None

    @property
    def documents(self) -> int:
        """D."""
        return len(self.document_offsets) - 1

    @property
    def sentences(self) -> int:
        """S."""
        return len(self.sentence_offsets) - 1

    def __len__(self) -> int:
        """T, the number of tokens."""
        return int(self._shard_starts[-1])

    def tokens(self, start: int, end: int) -> npt.NDArray[np.integer[Any]]:
        """Ids of the tokens start up to, not including, end; all of them in one document."""
        shard = 0 if len(self._shards) == 1 else int(self._shard_starts.searchsorted(start, "right")) - 1
        before = int(self._shard_starts[shard])
        return self._shards[shard][start - before : end - before]

    def sentences_of(self, document: int) -> list[npt.NDArray[np.integer[Any]]]:
        """The ids of each sentence of a document. Raises `InputError` for a number that no document has."""
        if not 0 <= document < self.documents:
            raise InputError(f"document {document}: the corpus has documents 0 to {self.documents - 1}")
        first, last = self.document_offsets[document : document + 2]
        bounds = self.sentence_offsets[first : last + 1].tolist()
        return [self.tokens(start, end) for start, end in itertools.pairwise(bounds)]

    def document_lengths(self) -> npt.NDArray[np.int64]:
        """(D,) the number of tokens of each document."""
        return np.diff(self.sentence_offsets[self.document_offsets])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a corpus folder; `InputError` if it is missing, damaged, or of another version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(_not_a_corpus(folder)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read as JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: is not the manifest of a prepared corpus")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {manifest.get('format_version')}; this bertref reads version "
            f"{FORMAT_VERSION}. Prepare the corpus again"
        )
    if not _is_complete(manifest):
        raise InputError(
            f"{path}: damaged: an entry is missing or of the wrong kind; prepare the corpus again"
        )
    return manifest


def _not_a_corpus(folder: Path) -> str:
    """Why a folder without a manifest can't be opened."""
    if not present(folder):
        return f"{folder}: not a prepared corpus (no {MANIFEST}); make one with `bertref prepare`"
    lacking = missing(folder)
    if not lacking:
        return f"{folder}: its parts are all there but not joined; run `bertref prepare` for any one of them again"
    numbers = ", ".join(str(part.number) for part in lacking)
    return (
        f"{folder}: of {lacking[0].total} parts {numbers} {'is' if len(lacking) == 1 else 'are'} missing; make "
        f"{'it' if len(lacking) == 1 else 'them'} with `bertref prepare --part {lacking[0].number}/{lacking[0].total}`"
    )


def _is_complete(manifest: dict[str, Any]) -> bool:
    try:
        shards = manifest["shards"]
        numbers = [shard[part] for shard in shards for part in PARTS]
        names = [shard["name"] for shard in shards]
        plain = all(isinstance(name, str) and _is_plain(name) for name in names)
        return (
            (bool(shards) or "part" in manifest)
            and plain
            and all(isinstance(number, int) and number > 0 for number in numbers)
            and manifest["token_dtype"] in ("<u2", "<u4")
            and isinstance(manifest["vocabulary"]["sha256"], str)
            and isinstance(manifest["vocabulary"]["size"], int)
            and all(shard.get("checksums", {}).keys() <= set(PARTS) for shard in shards)
        )
    except (KeyError, TypeError, AttributeError):
        return False


def _is_plain(name: str) -> bool:
    """Whether a shard lies in the corpus's folder, or in that of a part in it."""
    folder, inside, own = name.rpartition("/")
    return Path(own).name == own and (not inside or NAME.fullmatch(folder) is not None)


def _map_shard(
    folder: Path, shard: dict[str, Any], dtype: np.dtype[Any], vocab_size: int
) -> list[npt.NDArray[Any]]:
    """Its tokens, sentence offsets and document offsets, on the disk, once they have been looked at."""
    lengths = {
        "tokens": shard["tokens"],
        "sentences": shard["sentences"] + 1,
        "documents": shard["documents"] + 1,
    }
    ends = {"sentences": shard["tokens"], "documents": shard["sentences"]}
    arrays = []
    for part, length in lengths.items():
        path = folder / f"{shard['name']}.{part}.bin"
        kind = dtype if part == "tokens" else OFFSET
        try:
            size = path.stat().st_size
            if size != length * kind.itemsize:
                raise InputError(
                    f"{path}: {size} bytes, not {length * kind.itemsize} as its manifest says; prepare it again"
                )
            # a plain array over the map: a memmap object would be made for every slice
            array = np.asarray(np.memmap(path, kind, "r"))
            wrong = _damage(array, vocab_size if part == "tokens" else None, ends.get(part))
            stated = shard.get("checksums", {}).get(part)
            if not wrong and stated is not None and file_crc32c(path) != stated:
                wrong = "its checksum is not the one in its manifest"
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror or error}") from None
        if wrong:
            raise InputError(f"{path}: damaged: {wrong}; prepare the corpus again")
        arrays.append(array)
    return arrays


def _damage(array: npt.NDArray[Any], vocab_size: int | None, end: int | None) -> str | None:
    """What is wrong with the ids of a vocabulary, or with offsets up to `end`; None if nothing is."""
    if vocab_size is not None:
        largest = max(int(array[at : at + BLOCK].max()) for at in range(0, len(array), BLOCK))
        return f"token {largest} is none of the vocabulary's {vocab_size}" if largest >= vocab_size else None
    if array[0] != 0 or array[-1] != end:
        return f"offsets run from {array[0]} to {array[-1]}, not 0 to {end}"
    for at in range(0, len(array) - 1, BLOCK):
        block = array[at : at + BLOCK + 1]
        falls = np.flatnonzero(block[1:] <= block[:-1])
        if len(falls):
            return f"offset {at + int(falls[0]) + 1} is not above the one before it"
    return None


def _chain(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Offsets that each start at 0 -> offsets of the whole."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(part[-1] for part in parts)])
    return np.concatenate([parts[0][:1], *(part[1:] + end for part, end in zip(parts, ends, strict=False))])
