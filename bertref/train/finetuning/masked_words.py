"""Masked words beside a task: the batches of a prepared corpus, and which steps they take.

Of every `every` steps one is of masked words; the others are of the task, in the order that they have without it.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from ...data.batch import Batch
from ...data.pretraining.corpus import Corpus, is_corpus
from ...data.pretraining.pipeline import PretrainingData
from ...errors import InputError
from ...heads import DECODER
from ...text import Tokenizer
from .options import FinetuneOptions

PROBABILITY = 0.15
"""Share of the tokens that is predicted."""


@dataclass(frozen=True)
class Turns:
    """Whose turn a step (counted from 0) is: the task's, or once in `every` (2 or more) steps that of masked words. It
    is the middle one of them, so that they never end with it. 0: always the task's."""

    every: int = 0

    @property
    def _place(self) -> int:
        return (self.every - 1) // 2

    def is_words(self, step: int) -> bool:
        return bool(self.every) and step % self.every == self._place

    def words_before(self, step: int) -> int:
        """Steps of masked words before this one."""
        return (step + self.every - 1 - self._place) // self.every if self.every else 0

    def steps(self, task_steps: int) -> int:
        """Steps in all, if so many are the task's."""
        if not self.every:
            return task_steps
        rounds, rest = divmod(task_steps, self.every - 1)
        return rounds * self.every + rest + (rest > self._place)


@dataclass(frozen=True)
class MaskedWords:
    """Batches of a corpus; `digest` is of its content."""

    data: PretrainingData
    batch_size: int
    digest: str

    def batch(self, number: int) -> Batch:
        """Batch number `number`, counted from 0."""
        return self.data.batch(number, self.batch_size)


def turns_of(options: FinetuneOptions) -> Turns:
    return Turns(options.masked_words_every if options.masked_words else 0)


def open_masked_words(options: FinetuneOptions, tokenizer: Tokenizer) -> MaskedWords | None:
    """The corpus of --masked-words, None without one.

    Raises `InputError` for what is no prepared corpus, and for one that was made with another vocabulary or casing than
    the model's.
    """
    if options.masked_words is None:
        return None
    if not is_corpus(options.masked_words):
        raise InputError(f"--masked-words {options.masked_words}: is no corpus made by `bertref prepare`; prepare it")
    corpus = Corpus.open(options.masked_words, tokenizer.vocab)
    if corpus.tokenizer.lower_case != tokenizer.lower_case:
        raise InputError(f"--masked-words {options.masked_words}: has another casing than the model's tokenizer")
    length = cast(int, options.max_length)
    data = PretrainingData(
        corpus, tokenizer.vocab, seq_len=length, max_predictions=round(length * PROBABILITY) + 1,
        masked_lm_prob=PROBABILITY, pairs=False, seed=options.seed,
    )  # fmt: skip
    shards = json.dumps([manifest["shards"] for manifest in corpus.manifests], sort_keys=True)
    return MaskedWords(data, cast(int, options.batch_size), hashlib.sha256(shards.encode()).hexdigest())


def check_tied(names: Collection[str], model: str) -> None:
    """Raises `InputError` for a decoder of its own among the parameters: masked words are learnt with the tied one."""
    if DECODER in names:
        raise InputError(f"{model}: its decoder is not tied to the word embeddings; --masked-words needs a tied one")
