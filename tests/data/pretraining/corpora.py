"""Small corpora for the tests of this room."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bertref.data.pretraining.corpus import Corpus
from bertref.data.pretraining.documents import Document
from bertref.data.pretraining.shards import prepare
from bertref.text import SPECIAL_TOKENS, Tokenizer, Vocab

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = Vocab((*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS)))


def offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def random_documents(seed: int, documents: int = 7, sentences: int = 12, words: int = 9) -> list[Document]:
    """Documents of random words of one to three letters; every word is as many tokens as it has letters."""
    rng = np.random.default_rng(seed)

    def word() -> str:
        return "".join(rng.choice(list(LETTERS), rng.integers(1, 4)))

    return [
        Document(
            f"document {number}",
            [
                " ".join(word() for _ in range(rng.integers(1, words + 1)))
                for _ in range(rng.integers(1, sentences + 1))
            ],
        )
        for number in range(documents)
    ]


def make(folder: Path, documents: Sequence[Document], *, shard_tokens: int = 2**28) -> Corpus:
    prepare(documents, Tokenizer(VOCAB), folder, shard_tokens=shard_tokens)
    return Corpus.open(folder)
