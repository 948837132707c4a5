"""Texts and pairs of texts as sequences: cut to a length, or seen through windows whose scores are pooled.

Source: google-research/bert, `run_classifier.py`, `convert_single_example`; for the ways of cutting see
`text.encoding`.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.batch import IGNORED_LABEL, Batch
from ..data.tasks.batches import ClassificationBatch, MultiLabelBatch, RegressionBatch
from ..data.tasks.examples import TextExample
from ..errors import InputError
from ..text import Tokenizer, Vocab
from ..text.encoding import Encoding, Truncate, frame
from .labels import number_of, numbers_of
from .store import Column, FeatureStore, Unit
from .windows import windows

BLOCK = 512
"""Examples that are tokenised at once."""
UNLABELLED = "have no label and are learnt from by the teacher's answers alone"


@dataclass(frozen=True)
class TextSettings:
    """How texts become sequences.

    max_length  tokens of a sequence with [CLS] and [SEP]; longer ones are cut
    truncate    which part is kept
    windows     instead of cutting: overlapping windows over the text, of a pair over the second one; `stride` says how
                far apart they begin, None: half of what they show
    """

    max_length: int = 128
    truncate: Truncate = "head"
    windows: bool = False
    stride: int | None = None


def sequences_of(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None, settings: TextSettings
) -> list[list[Encoding]]:
    """The sequences of each text or pair: one, or with `windows` one a window."""
    if not settings.windows:
        encodings = tokenizer.encode_batch(texts, pairs, settings.max_length, truncate=settings.truncate)
        return [[encoding] for encoding in encodings]
    first = tokenizer.ids_batch(texts, specials=True)
    second = [None] * len(first) if pairs is None else tokenizer.ids_batch(pairs, specials=True)
    return [_windowed(tokenizer.vocab, *segments, settings) for segments in zip(first, second, strict=True)]


def _windowed(vocab: Vocab, first: list[int], second: list[int] | None, settings: TextSettings) -> list[Encoding]:
    """One sequence if it is short enough, else windows over the last segment. The first segment of a pair is cut to
    half of the room."""
    whole = frame(vocab, first, second, None)
    if len(whole.input_ids) <= settings.max_length:
        return [whole]
    room = settings.max_length - vocab.notation.frame_tokens(pair=second is not None)
    if second is None:
        found = windows(len(first), room, settings.stride or max(room // 2, 1))
        return [frame(vocab, first[a:b], None, None) for a, b in found]
    fixed = first[: room // 2]
    room -= len(fixed)
    found = windows(len(second), room, settings.stride or max(room // 2, 1))
    return [frame(vocab, fixed, second[a:b], None) for a, b in found]


def pooled_by_text(
    logits: npt.NDArray[np.float64], sequences: Sequence[Sequence[Any]]
) -> npt.NDArray[np.float64]:
    """Logits of all sequences (M, K) -> their means over each text's (N, K)."""
    counts = np.array([len(each) for each in sequences], np.int64)
    starts = np.cumsum(counts) - counts
    found: npt.NDArray[np.float64] = np.add.reduceat(logits, starts, axis=0) / counts[:, None]
    return found


def blocks_of(examples: Iterable[TextExample], size: int = BLOCK) -> Iterator[list[TextExample]]:
    """The examples, some at a time. Raises `InputError` where some have a second text and others have not."""
    stream = iter(examples)
    paired: bool | None = None
    while some := list(itertools.islice(stream, size)):
        for example in some:
            if paired is None:
                paired = example.pair is not None
            if paired != (example.pair is not None):
                raise InputError(f"{example.place}: {'lacks the' if paired else 'has a'} second text, unlike the first")
        yield some


def encoded(
    tokenizer: Tokenizer, some: Sequence[TextExample], settings: TextSettings
) -> list[list[Encoding]]:
    """The sequences of each example of a block."""
    pairs = None if some[0].pair is None else [example.pair or "" for example in some]
    return sequences_of(tokenizer, [example.text for example in some], pairs, settings)


@dataclass(frozen=True)
class TextFeatures:
    """Features of `kind` "classification", "regression" or "multi-label". A window is a unit of its own, with the label
    of its text. A class may be missing where `unlabelled` says so: the label is then `IGNORED_LABEL`."""

    kind: str
    labels: tuple[str, ...]
    settings: TextSettings
    unlabelled: bool = False

    width = 1

    @property
    def columns(self) -> Mapping[str, Column]:
        if self.kind == "classification":
            return {"labels": Column("unit", "<i4")}
        return {"labels": Column("unit", "<f8", len(self.labels))}

    def units(self, examples: Iterable[TextExample], tokenizer: Tokenizer, counted: dict[str, int]) -> Iterator[Unit]:
        """The units of the examples. Raises `InputError` naming the place of an example without a label that fits."""
        table = numbers_of(self.labels)
        counted.update(examples=0, cut=0)
        for some in blocks_of(examples):
            for example, sequences in zip(some, encoded(tokenizer, some, self.settings), strict=True):
                target = self._target(example, table)
                counted["examples"] += 1
                if example.label is None:
                    counted[UNLABELLED] = counted.get(UNLABELLED, 0) + 1
                counted["cut"] += len(sequences) > 1 or len(sequences[0].input_ids) == self.settings.max_length
                for sequence in sequences:
                    yield Unit((sequence,), {"labels": target})

    def _target(self, example: TextExample, table: dict[str, int]) -> Any:
        label = example.label
        if label is None and self.unlabelled:
            return IGNORED_LABEL
        if label is None:
            raise InputError(f"{example.place}: has no label")
        if self.kind == "classification":
            return number_of(table, str(label), example.place)
        if self.kind == "regression":
            return number(label, example.place)
        return indicators(label, table, example.place)

    def batch(self, store: FeatureStore, units: np.ndarray) -> Batch:
        """The units as a batch."""
        targets = store.column("labels", units)
        kinds: dict[str, Any] = {
            "classification": ClassificationBatch, "regression": RegressionBatch, "multi-label": MultiLabelBatch,
        }  # fmt: skip
        made: Batch = kinds[self.kind](**store.arrays(units), labels=targets)
        return made


def number(label: Any, place: str) -> float:
    """A regression's target. Raises `InputError` for what is no finite number."""
    try:
        value = float(label)
        if isinstance(label, str) and "_" in label:  # 1_000, which is Python's alone
            raise ValueError(label)
    except (TypeError, ValueError):
        raise InputError(f"{place}: {label!r} is not a number") from None
    if not np.isfinite(value):
        raise InputError(f"{place}: the target is {value}; it must be a finite number")
    return value


def indicators(labels: Any, table: dict[str, int], place: str) -> list[float]:
    """1 for each label that holds, in the order of their numbers."""
    row = [0.0] * len(table)
    for label in (labels,) if isinstance(labels, str) else labels:
        row[number_of(table, label, place)] = 1.0
    return row
