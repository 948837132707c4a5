"""Questions on contexts as sequences: windows over the context, and the columns where the answer begins and ends.

    [CLS] question [SEP] window of the context [SEP]        token types 0 ... 0 1 ... 1

`stride` is the original's `doc_stride`, how far apart windows begin; transformers' argument of that name is how many
tokens two windows share. Training takes the first answer, as the original does. Its pieces are all that share a
character with it, so one that begins inside a piece takes that piece; pieces know their places in the text, so the
original's `_improve_answer_span`, which searches for a better match among words that were split at white space, has
nothing to do. A window that does not hold the whole answer has both positions at [CLS], column 0.

Source: Devlin et al. 2019, sections 4.2 and 4.3; google-research/bert, `run_squad.py`, `convert_examples_to_features`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.batch import Batch
from ..data.tasks.batches import SpanBatch
from ..data.tasks.examples import SpanExample
from ..errors import InputError
from ..text import Tokenizer, Vocab
from ..text.encoding import Encoding, frame
from .store import Column, FeatureStore, Unit
from .windows import Window, windows

REMEMBERED = 64
"""Contexts whose pieces are kept: the questions on one follow each other."""
UNUSABLE = "without a usable answer"
UNSEEN = "with an answer that no window holds"

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SpanSettings:
    """How questions become windows, and logits answers; the defaults are the original's.

    max_length         tokens of a window with its question
    stride             how far apart windows begin
    max_query_length   pieces of the question that are kept
    max_answer_length  pieces of an answer
    null_threshold     a question has no answer if [CLS] scores higher than the best span by more than this; None: every
                       question has one (SQuAD 1.1)
    """

    max_length: int = 384
    stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    null_threshold: float | None = None


class Passage(NamedTuple):
    """A context and its n pieces: ids, and places; `text[starts[i]:ends[i]]` is what piece i stands for."""

    text: str
    ids: list[int]
    starts: Integers
    ends: Integers

    def pieces_of(self, start: int, end: int) -> tuple[int, int] | None:
        """The first and the last piece that share a character with text[start:end]; None if none does."""
        found = np.flatnonzero((self.starts < end) & (self.ends > start))
        return (int(found[0]), int(found[-1])) if len(found) else None

    def characters_of(self, first: int, last: int) -> tuple[int, int]:
        """Where the text of the pieces `first` to `last` begins, and where it ends."""
        return int(self.starts[first]), int(self.ends[first : last + 1].max())


class Framed(NamedTuple):
    """A question on a passage: the question's ids, the windows over the passage's pieces, and the column of a window's
    first piece."""

    question: list[int]
    passage: Passage
    windows: list[Window]
    offset: int

    def encoding(self, vocab: Vocab, window: Window) -> Encoding:
        """A window as the model reads it."""
        return frame(vocab, self.question, self.passage.ids[window.start : window.end], None)

    def columns(self, window: Window, first: int, last: int) -> tuple[int, int]:
        """The columns of the pieces `first` and `last` in a window that holds both, else (0, 0)."""
        if window.start <= first and last < window.end:
            return self.offset + first - window.start, self.offset + last - window.start
        return 0, 0


class Framing:
    """Makes `Framed` of questions and contexts. The last contexts' pieces are remembered: locating them is slow."""

    def __init__(self, tokenizer: Tokenizer, settings: SpanSettings) -> None:
        self.settings = settings
        self._tokenizer = tokenizer
        self._passage = lru_cache(maxsize=REMEMBERED)(self._located)

    def _located(self, text: str) -> Passage:
        pieces = self._tokenizer.locate(text)
        places = np.array([(p.start, p.end) for p in pieces], np.int64).reshape(-1, 2)
        return Passage(text, [p.id for p in pieces], places[:, 0], places[:, 1])

    def framed(self, question: str, context: str) -> Framed | str:
        """The question on its context, or what is to be said of one that has no words.

        Raises `InputError` if the question leaves no room for the context.
        """
        settings = self.settings
        asked = self._tokenizer.ids_batch([question], specials=True)[0][: settings.max_query_length]
        passage = self._passage(context)
        if not asked or not passage.ids:
            name, text = ("context", context) if asked else ("question", question)
            return f"can't be answered: the {name} {text!r} has no words"
        framing = self._tokenizer.vocab.notation.frame_tokens(pair=True)
        found = windows(len(passage.ids), settings.max_length - len(asked) - framing, settings.stride)
        return Framed(asked, passage, found, len(asked) + framing - 1)


@dataclass(frozen=True)
class SpanFeatures:
    """Features of questions: a unit is a window, with the columns of the answer in it."""

    settings: SpanSettings

    width: ClassVar[int] = 1
    columns: ClassVar[Mapping[str, Column]] = {
        "start_positions": Column("unit", "<i4"), "end_positions": Column("unit", "<i4"),
    }  # fmt: skip

    def units(self, examples: Iterable[SpanExample], tokenizer: Tokenizer, counted: dict[str, int]) -> Iterator[Unit]:
        """The windows of the examples. Questions of which nothing can be learned are counted and left out: an answer
        without words.

        Raises `InputError` naming the place of an example without words, whose answer is not known, or which has none
        where all must have one.
        """
        framing = Framing(tokenizer, self.settings)
        counted.update({"examples": 0, UNUSABLE: 0, UNSEEN: 0})
        for example in examples:
            counted["examples"] += 1
            framed = framing.framed(example.question, example.context)
            if isinstance(framed, str):
                raise InputError(f"{example.place}: {framed}")
            pieces = self._answer(example, framed.passage)
            if pieces is None and example.answerable:
                counted[UNUSABLE] += 1
                continue
            targets = [(0, 0) if pieces is None else framed.columns(window, *pieces) for window in framed.windows]
            counted[UNSEEN] += pieces is not None and not any(end for _, end in targets)
            for window, (start, end) in zip(framed.windows, targets, strict=True):
                yield Unit(
                    (framed.encoding(tokenizer.vocab, window),), {"start_positions": start, "end_positions": end}
                )

    def _answer(self, example: SpanExample, passage: Passage) -> tuple[int, int] | None:
        """The first and the last piece of the answer; None where there is none."""
        if example.answerable is None:
            raise InputError(f"{example.place}: has no answer to learn from")
        if not example.answerable:
            if self.settings.null_threshold is None:
                raise InputError(f"{example.place}: has no answer; the task for such questions is squad2")
            return None
        text, start = example.answers[0]
        return passage.pieces_of(start, start + len(text)) if start >= 0 else None

    def batch(self, store: FeatureStore, units: np.ndarray) -> Batch:
        """The windows as a batch."""
        targets = {name: store.column(name, units) for name in self.columns}
        return SpanBatch(**store.arrays(units), **targets)
