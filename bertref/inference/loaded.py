"""What every task needs of a model: which heads it has, and texts through its encoder in batches."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .. import model
from ..arrays import Array
from ..checkpoint.text_windows import TextWindows
from ..config import BertConfig, Numerics
from ..errors import InputError, TextError
from ..heads import HEADS, tasks
from ..layers import Settings
from ..layout import Inputs, inputs
from ..opset import OpSet
from ..probes import Probe
from ..text import Tokenizer
from ..text.encoding import Encoding, Truncate

BATCH = 32
TOKENS = 4096
PART = 2048
LEAST = 512
"""Tokens of a part that a thread takes, and as few as they may be where the machine has more cores than parts. With
fewer the interpreter's share of the work is larger (measured, 4 layers of width 256 on one thread: parts of 1024 tokens
take 1.05 times as long, of 512 tokens 1.25), with more the threads end less evenly, and take more memory."""

T = TypeVar("T")


class Loaded(Protocol):
    """A model in memory, as `bertref.api.Model` is one; the parameters are arrays of the backend."""

    @property
    def config(self) -> BertConfig: ...
    @property
    def numerics(self) -> Numerics: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def params(self) -> dict[str, Array]: ...
    @property
    def ops(self) -> OpSet: ...
    @property
    def packed(self) -> bool: ...
    @property
    def heads(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def problem_type(self) -> str | None: ...
    @property
    def activation(self) -> str | None: ...
    @property
    def windows(self) -> TextWindows | None: ...


def require(loaded: Loaded, head: str) -> None:
    """Raises `InputError` unless the model has the head, saying what it can do instead."""
    if head not in loaded.heads:
        raise InputError(no_head(HEADS[head].task, loaded.heads))


def no_head(task: str, heads: tuple[str, ...]) -> str:
    """What to say when a model with these heads is asked for a task that it has none for."""
    able = [task for name, task in tasks().items() if name in heads]
    instead = f"it does {', '.join(able)}" if able else "it is an encoder alone: see bertref features"
    return f"this model has no head for {task}; {instead}"


def framed(
    loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None = None, truncate: Truncate | None = None
) -> list[Encoding]:
    """`measured`, but raises `TextError` for texts that are too long."""
    encodings, reasons = measured(loaded, texts, pairs, truncate)
    if reasons:
        raise TextError(reasons)
    return encodings


def measured(
    loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None, truncate: Truncate | None
) -> tuple[list[Encoding], dict[int, str]]:
    """Texts, or pairs of them, with [CLS] and [SEP], cut to what the model reads as `truncate` says.

    None: not cut, and the numbers of those that are too long with what is to be said of them.
    """
    limit = loaded.config.max_length
    if truncate is not None:
        return loaded.tokenizer.encode_batch(texts, pairs, limit, truncate=truncate), {}
    encodings = loaded.tokenizer.encode_batch(texts, pairs)
    advice = f"this model reads at most {limit}. Shorten it, or cut it: truncate (--truncate head)"
    lengths = {i: len(encoding.input_ids) for i, encoding in enumerate(encodings)}
    return encodings, {i: f"has {length} tokens; {advice}" for i, length in lengths.items() if length > limit}


def framed_and_cut(
    loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None, limit: int
) -> tuple[list[Encoding], int]:
    """As `framed`, but what is longer than `limit` is cut (see `text.encoding.frame`); and how many were."""
    encodings = loaded.tokenizer.encode_batch(texts, pairs)
    long = [i for i, encoding in enumerate(encodings) if len(encoding.input_ids) > limit]
    second = None if pairs is None else [pairs[i] for i in long]
    for i, shorter in zip(long, loaded.tokenizer.encode_batch([texts[i] for i in long], second, limit), strict=True):
        encodings[i] = shorter
    return encodings, len(long)


def batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """The items in their order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def by_length(encodings: Sequence[Encoding]) -> Iterator[list[int]]:
    """The numbers of the encodings, the longest first, in batches of `BATCH` or, where they are short, as many as have
    `TOKENS` tokens together: texts of like length share a batch."""
    order = sorted(range(len(encodings)), key=lambda i: -len(encodings[i].input_ids))
    some: list[int] = []
    tokens = 0
    for i in order:
        length = len(encodings[i].input_ids)
        if len(some) >= BATCH and tokens + length > TOKENS:
            yield some
            some, tokens = [], 0
        some.append(i)
        tokens += length
    if some:
        yield some


def each_part(
    loaded: Loaded, encodings: Sequence[Encoding], work: Callable[[list[int]], None], *, rank: int = 0, size: int = 1
) -> None:
    """Calls `work` with the numbers of encodings that are to be a batch, until all were; texts of like length share it.
    Of `size` processes each does every so many-th batch, from `rank` on.

    Where the backend has threads, each takes parts of its own through `work`, several at once and in any order: none
    waits for another between two ops, and all are busy until the texts end. How they are cut depends on their lengths.
    """
    share = loaded.ops.share if loaded.packed else None
    batches = list(by_length(encodings))
    order = [i for some in batches for i in some]
    parts = [] if share is None else parts_of([len(encodings[i].input_ids) for i in order])
    if share is None or len(parts) < 2:
        for some in batches[rank::size]:
            work(some)
        return
    own = parts[rank::size]
    share(lambda number: work(order[own[number]]), len(own))


def settings_of(loaded: Loaded) -> Settings:
    return Settings(loaded.config, loaded.numerics)


def inputs_of(loaded: Loaded, encodings: Sequence[Encoding]) -> Inputs:
    """One batch on the device, padded to its longest sequence or packed, as the backend likes it.

    Raises `InputError` for ids of which the model has no row: a second text where it has one token type.
    """
    B, S = len(encodings), max((len(e.input_ids) for e in encodings), default=0)
    ids = np.full((B, S), loaded.config.pad_token_id, np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for b, encoding in enumerate(encodings):
        length = len(encoding.input_ids)
        ids[b, :length], mask[b, :length], types[b, :length] = encoding.input_ids, 1, encoding.token_type_ids
    return inputs(loaded.ops.xp, ids, mask, types, packed=loaded.packed, config=loaded.config)


def run(loaded: Loaded, x: Inputs, probe: Probe | None = None) -> model.Encoded:
    """One batch through the encoder, nothing dropped."""
    return model.forward(loaded.ops, loaded.params, x, settings_of(loaded), probe=probe)[0]


def encode(loaded: Loaded, encodings: Sequence[Encoding]) -> tuple[model.Encoded, Inputs]:
    """One batch of encodings through the encoder, the backend's threads sharing it as in `each_part`."""
    x = inputs_of(loaded, encodings)
    parts = parts_of([len(encoding.input_ids) for encoding in encodings]) if loaded.packed else []
    if loaded.ops.share is None or len(parts) < 2:
        return run(loaded, x), x
    found: list[Any] = [None] * len(parts)

    def part(number: int) -> None:
        found[number] = run(loaded, inputs_of(loaded, encodings[parts[number]]))

    loaded.ops.share(part, len(parts))
    columns = zip(*found, strict=True)
    return model.Encoded(*(None if rows[0] is None else loaded.ops.xp.concat(rows) for rows in columns)), x


def parts_of(lengths: Sequence[int]) -> list[slice]:
    """Sequences of these many tokens, cut in their order into an even number of parts of about `PART` tokens or more
    (of `LEAST`, where that makes parts for more cores), if there are enough for two."""
    ends = np.cumsum(lengths)
    tokens = int(ends[-1]) if len(ends) else 0
    number = max(tokens // PART, min(tokens // LEAST, os.cpu_count() or 1)) // 2 * 2
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, number) / number) + 1 if number else []
    bounds = [0, *cuts, len(ends)]
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(bounds) if a < b]


def pooled(loaded: Loaded, encodings: Sequence[Encoding]) -> Array:
    """One batch's pooled output (B, H), for heads whose loading made sure of a pooler. The last layer is computed as
    far as that reads it (`model.pooled`)."""
    if f"{model.POOLER}.dense.weight" not in loaded.params:
        raise InputError("this model has no pooler, which the head reads; load it from a folder that holds one")
    return model.pooled(loaded.ops, loaded.params, inputs_of(loaded, encodings), settings_of(loaded))


def probabilities(loaded: Loaded, logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Logits (N, K) -> their softmax (N, K), both on the host."""
    xp = loaded.ops.xp
    found: npt.NDArray[Any] = xp.to_numpy(loaded.ops.softmax.forward(xp.from_numpy(logits))[0])
    return found
