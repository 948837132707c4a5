"""What a teacher says of every unit: its logits, worked out batch by batch in a file that outlives the process.

    rows (units, K), or of every token end to end (tokens, K), in float64; K = 2 for spans; NaN: not asked yet

A run that is killed finds there what was done, and asks only the rest: a teacher reads for a long time.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from ... import model
from ...arrays import Array
from ...checkpoint import SavedModel
from ...errors import InputError
from ...heads import HEADS
from ...layers import Settings
from ...layout import Inputs, inputs
from ...opset import OpSet
from ...plumbing.files import write_file
from ...tasks.store import FeatureStore
from .kinds import Kind

Logits = npt.NDArray[np.float64]

TOKENS = 8192
"""Tokens of a batch that the teacher reads, those of all threads together."""
THREADS = 4
"""Batches at once, where the backend's threads take one each. More: they end more evenly, and products are smaller."""
EVERY = 60.0
"""Seconds between two words on how far it is."""


@dataclass(frozen=True)
class LoadedTeacher:
    """A teacher on the device; `order` are the numbers of its labels in the order of the student's."""

    saved: SavedModel
    params: dict[str, Array]
    ops: OpSet
    order: tuple[int, ...]
    same_tokenizer: bool
    packed: bool

    @property
    def settings(self) -> Settings:
        return Settings(self.saved.config, self.saved.numerics)


def is_by_token(kind: Kind) -> bool:
    """Whether a row is of a token, and not of a unit."""
    return not HEADS[kind.head].pooler


def ask(
    teacher: LoadedTeacher, kind: Kind, store: FeatureStore, place: Path, say: Callable[[str], None]
) -> Logits:
    """All rows. `place` is the file that outlives the process, of this teacher's answers to these units alone; whoever
    has kept them removes it. `say` hears how far it is.

    Raises `InputError` if a logit is not finite.
    """
    by_token, share = is_by_token(kind), teacher.ops.share if teacher.packed else None
    order = np.argsort(store.lengths(np.arange(len(store))), kind="stable")
    todo = list(_batches(store, order, TOKENS // THREADS if share else TOKENS))
    rows = int(store.bounds[-1]) if by_token else len(store)
    if not place.exists():
        width = _answers(teacher, kind, store, todo[0])[0].shape[-1]
        write_file(place, np.full((rows, width), np.nan, "<f8").tobytes())
    found = cast(Logits, np.memmap(place, "<f8", "r+").reshape(rows, -1))
    last = store.bounds[1:] - 1 if by_token else np.arange(rows)  # a unit's last row

    def answer(units: npt.NDArray[np.int64]) -> None:
        logits, mask = _answers(teacher, kind, store, units)
        if not np.isfinite(logits[mask] if by_token else logits).all():
            raise InputError("the teacher's logits are not finite; choose another teacher")
        if not by_token:
            found[units] = logits
            return
        for unit, own, real in zip(units, logits, mask, strict=True):
            found[store.bounds[unit] : store.bounds[unit + 1]] = own[real]

    todo = [units for units in todo if np.isnan(found[last[units]]).any()]
    said, tokens = time.monotonic(), int(store.bounds[-1])
    read = tokens - sum(int(store.lengths(units).sum()) for units in todo)
    for start in range(0, len(todo), THREADS):
        some = todo[start : start + THREADS]
        if share:
            share(lambda number, some=some: answer(some[number]), len(some))
        else:
            for units in some:
                answer(units)
        read += sum(int(store.lengths(units).sum()) for units in some)
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            say(f"The teacher has read {read:,} of {tokens:,} tokens.")
    return found


def _batches(store: FeatureStore, order: npt.NDArray[np.int64], tokens: int) -> Iterator[npt.NDArray[np.int64]]:
    """Units of like length, as many as have so many tokens with their padding."""
    lengths = store.lengths(order)
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * store.width * lengths[end] <= tokens:
            end += 1
        yield order[start:end]
        start = end


def _answers(
    teacher: LoadedTeacher, kind: Kind, store: FeatureStore, units: npt.NDArray[np.int64]
) -> tuple[Logits, npt.NDArray[np.bool_]]:
    """Logits (B, K), choices (B, C), or of tokens (B, S, K); and which are tokens (B, S)."""
    arrays, head, xp = store.arrays(units), HEADS[kind.head], teacher.ops.xp
    ids, mask, types = (arrays[n].reshape(-1, arrays[n].shape[-1]) for n in
                        ("input_ids", "attention_mask", "token_type_ids"))  # fmt: skip
    x = inputs(xp, ids, mask, types, packed=teacher.packed, config=teacher.saved.config)
    encode = model.pooled if head.pooler else _sequence
    read = encode(teacher.ops, teacher.params, x, teacher.settings)
    answers = head.answer(teacher.ops, teacher.params, read, teacher.settings, x.layout, None)
    columns = [np.asarray(xp.to_numpy(a), np.float64) for a in answers.values()]
    logits = columns[0] if len(columns) == 1 else np.stack(columns, axis=-1)
    if store.width > 1:
        logits = logits.reshape(-1, store.width)
    elif teacher.order:
        logits = logits[..., list(teacher.order)]
    return logits, mask != 0


def _sequence(ops: OpSet, params: dict[str, Array], x: Inputs, settings: Settings) -> Array:
    """The vectors of all tokens."""
    return model.forward(ops, params, x, settings)[0].sequence
