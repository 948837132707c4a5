"""Labelled words as sequences: each word in pieces, its label on the first of them.

    words    Ada    Lovelace            sang
    pieces   ada    love   ##lace       sang
    labels   B-PER  I-PER  -100         O        -100 is ignored, as at [CLS], [SEP] and padding

A word is tokenised by itself, and one that has no pieces (of control characters alone) is [UNK]: so each word has
exactly one prediction, that of its first piece. A sentence that is longer than a sequence is seen through windows. A
word counts in the one that shows most of its surroundings (`best_window`), in training as in prediction: it is trained
once, however many windows show it, and a window in which no word counts is not made at all.

Source: Devlin et al. 2019, section 5.3; transformers, `run_ner.py`, `tokenize_and_align_labels`, which cuts instead.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.batch import IGNORED_LABEL, Batch
from ..data.tasks.batches import TokenBatch
from ..data.tasks.examples import TokenExample
from ..errors import InputError
from ..text import Tokenizer
from ..text.encoding import Encoding, frame
from .labels import number_of, numbers_of
from .store import Column, FeatureStore, Unit
from .windows import best_window, windows

BLOCK = 512
"""Sentences that are tokenised at once."""


@dataclass(frozen=True)
class TokenSettings:
    """How sentences become sequences.

    max_length  tokens of a sequence with [CLS] and [SEP]
    stride      pieces between the beginnings of the windows over a longer sentence; None: half of what they show
    """

    max_length: int = 128
    stride: int | None = None


class WordSequence(NamedTuple):
    """A sentence, or a window over it: what the model reads, and which words are judged here, by their numbers in the
    sentence and the columns of their first pieces."""

    encoding: Encoding
    words: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]


def word_sequences(
    tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], settings: TokenSettings
) -> list[list[WordSequence]]:
    """The sequences of each sentence; each word is judged in exactly one of them. Without words there are none.

    Raises `InputError` if `max_length` leaves no room for a piece.
    """
    unknown = [tokenizer.vocab.unk]
    found = tokenizer.word_ids(sentences)
    return [_sequences(tokenizer, [pieces or unknown for pieces in words], settings) for words in found]


def _sequences(tokenizer: Tokenizer, pieces: Sequence[list[int]], settings: TokenSettings) -> list[WordSequence]:
    ids = list(itertools.chain.from_iterable(pieces))
    firsts = np.cumsum([0, *map(len, pieces)])[:-1]
    room = settings.max_length - tokenizer.vocab.notation.frame_tokens(pair=False)
    found = windows(len(ids), room, settings.stride or max(room // 2, 1))
    chosen = best_window(len(ids), found)[firsts]
    sequences = []
    for number, (start, end) in enumerate(found):
        words = np.flatnonzero(chosen == number)
        if words.size:
            encoding = frame(tokenizer.vocab, ids[start:end], None, None)
            sequences.append(WordSequence(encoding, words, 1 + firsts[words] - start))
    return sequences


def sentences_of(examples: Iterable[TokenExample]) -> Iterator[list[TokenExample]]:
    """The examples, `BLOCK` at a time."""
    stream = iter(examples)
    while some := list(itertools.islice(stream, BLOCK)):
        yield some


def label_numbers(example: TokenExample, table: dict[str, int]) -> npt.NDArray[np.int64] | None:
    """The numbers of the words' labels, (words,), None where they are not known. Raises `InputError` naming the place
    of a label that the table lacks, and for another number of labels than of words."""
    if example.labels is None:
        return None
    if len(example.labels) != len(example.words):
        raise InputError(f"{example.place}: there are {len(example.words)} words and {len(example.labels)} labels")
    places = (f"{example.place}, word {i}" for i in itertools.count(1))
    return np.array([number_of(table, label, place) for label, place in zip(example.labels, places, strict=False)],
                    np.int64)  # fmt: skip


@dataclass(frozen=True)
class TokenFeatures:
    """Features of labelled words. A window is a unit of its own."""

    labels: tuple[str, ...]
    settings: TokenSettings

    width = 1

    @property
    def columns(self) -> Mapping[str, Column]:
        return {"labels": Column("token", "<i4")}

    def units(self, examples: Iterable[TokenExample], tokenizer: Tokenizer, counted: dict[str, int]) -> Iterator[Unit]:
        """The units of the examples. Raises `InputError` naming the place of an example whose labels are missing or
        unknown."""
        table = numbers_of(self.labels)
        told = "were longer than a sequence and are seen through windows"
        counted.update({"examples": 0, told: 0})
        for some in sentences_of(examples):
            sequences = word_sequences(tokenizer, [example.words for example in some], self.settings)
            for example, each in zip(some, sequences, strict=True):
                numbers = label_numbers(example, table)
                if numbers is None:
                    raise InputError(f"{example.place}: has no labels")
                counted["examples"] += 1
                counted[told] += len(each) > 1
                for encoding, words, columns in each:
                    row = np.full(len(encoding.input_ids), IGNORED_LABEL, np.int32)
                    row[columns] = numbers[words]
                    yield Unit((encoding,), {"labels": row})

    def batch(self, store: FeatureStore, units: np.ndarray) -> Batch:
        """The units as a batch."""
        labels = store.column("labels", units, fill=IGNORED_LABEL)
        return TokenBatch(**store.arrays(units), labels=labels)
