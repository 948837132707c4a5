"""bertref on text: the bulk tokenizer and `prepare`, and the same by the readable tokenizer, a text at a time."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import __version__
from ...data.pretraining.corpus import token_dtype
from ...data.pretraining.documents import read_documents
from ...data.pretraining.python_topics import python_topics
from ...data.pretraining.shards import prepare
from ...text import Tokenizer, load_vocab
from ...text.full import FullTokenizer
from ..job import Job
from . import STEP

Arrays = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]


def documents(job: Job) -> Any:
    """The documents of the job's corpus, or those that are on every machine."""
    return read_documents(job.corpus) if job.corpus else python_topics()


class Tokenizing:
    """Every sentence of the corpus to ids. The tokenizer is new each time: it has not seen the words before."""

    units = (STEP,)
    kind = "bulk"

    def __init__(self, job: Job) -> None:
        self.vocab = load_vocab(Path(job.folder) / "vocab.txt")
        self.texts = [sentence for document in documents(job) for sentence in document.sentences]
        self.about: dict[str, Any] = {"name": "bertref", "version": __version__, "tokenizer": self.kind}
        self.about["tokens"] = len(self.ids()[0])

    def tokenizer(self) -> Any:
        return Tokenizer(self.vocab)

    def ids(self) -> Arrays:
        return self.tokenizer().ids_arrays(self.texts)  # type: ignore[no-any-return]

    def figures(self) -> dict[str, Any]:
        """How many tokens, and two sums that change if any token does."""
        ids, bounds = self.ids()
        return checksums(ids, bounds)

    def run(self, unit: str) -> None:
        self.ids()


def checksums(ids: npt.NDArray[Any], bounds: npt.NDArray[Any]) -> dict[str, Any]:
    """What two tokenizers that agree have in common. The second sum sees the order."""
    wide = ids.astype(np.int64)
    places = np.arange(len(wide)) % 9973 + 1
    return {
        "texts": len(bounds) - 1, "tokens": len(wide), "sum of the ids": int(wide.sum()),
        "weighted sum of the ids": int((wide * places).sum()), "sum of the bounds": int(bounds.sum()),
    }  # fmt: skip


class ReadableTokenizer(Tokenizer):
    """A `Tokenizer` whose bulk call asks the readable one for every text: the definition, and the pace to beat."""

    def ids_arrays(self, texts: Iterable[str | bytes]) -> Arrays:
        full = FullTokenizer(self.vocab, self.lower_case)
        found = [full.convert_tokens_to_ids(full.tokenize(text)) for text in texts]
        bounds = np.cumsum([0, *map(len, found)])
        return np.array([i for ids in found for i in ids], np.int32), bounds


class ReadableTokenizing(Tokenizing):
    """The same by `FullTokenizer`, on one core."""

    kind = "readable"

    def tokenizer(self) -> Any:
        return ReadableTokenizer(self.vocab)


class Preparing:
    """`bertref prepare`: reading, splitting into sentences, tokenising, writing the corpus folder."""

    units = (STEP,)
    kind = "bulk"

    def __init__(self, job: Job) -> None:
        self.job = job
        self.vocab = load_vocab(Path(job.folder) / "vocab.txt")
        self.out = Path(job.folder) / f"prepared-{job.side}"
        self.processes = job.threads if self.kind == "bulk" else 1
        self.about: dict[str, Any] = {"name": "bertref", "version": __version__, "tokenizer": self.kind}

    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.vocab)

    def prepare(self) -> dict[str, int]:
        shutil.rmtree(self.out, ignore_errors=True)
        return prepare(documents(self.job), self.tokenizer(), self.out, processes=self.processes)

    def figures(self) -> dict[str, Any]:
        """What was counted, and what was written."""
        counts = self.prepare()
        self.about["tokens"] = counts["tokens"]
        dtype = token_dtype(len(self.vocab))
        written = [np.fromfile(path, dtype) for path in sorted(self.out.glob("*.tokens.bin"))]
        tokens = np.concatenate(written) if written else np.zeros(0, dtype)
        return {**counts, **checksums(tokens, np.array([0, len(tokens)]))}

    def run(self, unit: str) -> None:
        self.prepare()


class ReadablePreparing(Preparing):
    """The same with the readable tokenizer, on one core."""

    kind = "readable"

    def tokenizer(self) -> Tokenizer:
        return ReadableTokenizer(self.vocab)
