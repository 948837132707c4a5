"""Contexts and their choices as sequences: [CLS] context [SEP] choice [SEP], one for each of C choices.

Source: Devlin et al. 2019, section 4.4; transformers, `run_swag.py`. For the ways of cutting see `text.encoding`.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.batch import Batch
from ..data.tasks.batches import ChoiceBatch
from ..data.tasks.examples import ChoiceExample
from ..errors import InputError
from ..text import Tokenizer
from ..text.encoding import Encoding, Truncate
from .store import Column, FeatureStore, Unit

BLOCK = 128
"""Examples that are tokenised at once."""


@dataclass(frozen=True)
class ChoiceSettings:
    """How a context with a choice becomes a sequence.

    max_length  tokens of a sequence with [CLS] and both [SEP]; longer ones are cut
    truncate    which part is kept
    """

    max_length: int = 128
    truncate: Truncate = "head"


def choices_of(examples: Iterable[ChoiceExample], count: int | None = None) -> Iterator[list[ChoiceExample]]:
    """The examples, `BLOCK` at a time. Raises `InputError` naming the place of one that has not `count` choices; None:
    as many as the first."""
    stream = iter(examples)
    while some := list(itertools.islice(stream, BLOCK)):
        for example in some:
            count = len(example.choices) if count is None else count
            if len(example.choices) != count:
                raise InputError(
                    f"{example.place}: the number of choices is {len(example.choices)}; it must be {count}"
                )
        yield some


def encoded(tokenizer: Tokenizer, some: Sequence[ChoiceExample], settings: ChoiceSettings) -> list[list[Encoding]]:
    """The sequences of each example, one for a choice."""
    contexts = [example.context for example in some for _ in example.choices]
    choices = [choice for example in some for choice in example.choices]
    rows = iter(tokenizer.encode_batch(contexts, choices, settings.max_length, truncate=settings.truncate))
    return [list(itertools.islice(rows, len(example.choices))) for example in some]


@dataclass(frozen=True)
class ChoiceFeatures:
    """Features of examples of `width` choices."""

    width: int
    settings: ChoiceSettings

    @property
    def columns(self) -> Mapping[str, Column]:
        return {"labels": Column("unit", "<i4")}

    def units(self, examples: Iterable[ChoiceExample], tokenizer: Tokenizer, counted: dict[str, int]) -> Iterator[Unit]:
        """A unit for each example. Raises `InputError` naming the place of one without a label or with another number
        of choices."""
        counted.update(examples=0, cut=0)
        for some in choices_of(examples, self.width):
            for example, sequences in zip(some, encoded(tokenizer, some, self.settings), strict=True):
                if example.label is None:
                    raise InputError(f"{example.place}: has no label")
                counted["examples"] += 1
                counted["cut"] += any(len(each.input_ids) == self.settings.max_length for each in sequences)
                yield Unit(sequences, {"labels": example.label})

    def batch(self, store: FeatureStore, units: np.ndarray) -> Batch:
        """The units as a batch."""
        return ChoiceBatch(**store.arrays(units), labels=store.column("labels", units))
