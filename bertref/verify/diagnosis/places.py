"""The only places where a tensor is wrong: some tokens, some words of the table."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...data.pretraining.batch import PretrainingBatch
from .beside import Beside

Bools = Any

MOST = 0.75
"""Of the tokens or words, that such places may be. More: that all else is right says little."""
FILLED, NOTABLE = 0.5, 0.1
"""So much of them has to be wrong: half of the tokens, each by a tenth of the error that they have on average. Less:
the error is elsewhere, in a part of these."""


def only_place(seen: Beside) -> tuple[str, Bools] | None:
    """The smallest of the known places outside of which everything is right, in words and as the elements there."""
    return seen.seen_as(_only_place)


def _only_place(seen: Beside) -> tuple[str, Bools] | None:
    found: list[tuple[float, str, Bools]] = []
    for words, place, among in _places(seen):
        there, size = (np.broadcast_to(one, seen.right.shape) & seen.inside for one in (place, among))
        share = float(np.count_nonzero(there)) / max(int(np.count_nonzero(size)), 1)
        small = 0 < share <= (MOST if seen.rows is None else 1)  # a sample has more of the words that occur
        if small and _filled(seen, place) and seen.explained(np.where(there, seen.found, seen.right)):
            found.append((share, words, there))
    if not found:
        return None
    _, words, there = min(found, key=lambda one: one[0])
    same = [other for _, other, place in found if other != words and np.array_equal(place, there)]
    return words + (f" (here the same as {', '.join(same)})" if same else ""), there


def _filled(seen: Beside, place: Bools) -> bool:
    """Whether much of the place is wrong; of each of its tokens, all elements are taken together."""
    thin = tuple(axis for axis, size in enumerate(place.shape) if size == 1)
    counted = np.count_nonzero(seen.inside, axis=thin, keepdims=True)
    squares = np.where(seen.inside, np.square(seen.error), 0.0).sum(axis=thin, keepdims=True) / np.maximum(counted, 1)
    squares = squares[place & (counted > 0)]
    return bool(squares.size) and bool(np.mean(squares >= NOTABLE**2 * squares.mean()) >= FILLED)


def _places(seen: Beside) -> Iterator[tuple[str, Bools, Bools]]:
    """In words, as booleans that broadcast to the tensor, and those among which these are."""
    batch, names = seen.scene.case.batch, seen.axes.names
    if names[:1] == ("word",):
        yield from ((words, seen.cut(place)[:, None], np.True_) for words, place in _words(batch, seen.shape[0]))
    for axis, what in ((1, ""), (2, ""), (3, "keys that are ")):
        if names[:1] == ("row",) and names[axis : axis + 1] in (("position",), ("key",)):
            shape = [1] * len(names)
            shape[0], shape[axis] = batch.input_ids.shape
            for words, tokens, among in _tokens(batch):
                yield what + words, tokens.reshape(shape), among.reshape(shape)


def _tokens(batch: PretrainingBatch) -> Iterator[tuple[str, Bools, Bools]]:
    """Kinds of tokens, and among which, (B, S): real ones among real ones, since padding is right without them."""
    real, place = batch.attention_mask.astype(bool), np.arange(batch.input_ids.shape[1])
    masked = np.zeros(real.shape, bool)
    rows, slots = np.nonzero(batch.masked_lm_weights > 0)
    masked[rows, batch.masked_lm_positions[rows, slots]] = True
    yield "padding", ~real, np.ones(real.shape, bool)
    for words, tokens in {
        "the first token of each text": place == real.argmax(axis=1)[:, None],
        "the last token of each text": place == len(place) - 1 - real[:, ::-1].argmax(axis=1)[:, None],
        "segment A": batch.token_type_ids == 0,
        "segment B": batch.token_type_ids == 1,
        "the masked tokens": masked,
        "tokens whose word occurs more than once": _occurrences(batch)[batch.input_ids] > 1,
    }.items():
        yield words, real & tokens, real


def _words(batch: PretrainingBatch, number: int) -> Iterator[tuple[str, Bools]]:
    """Kinds of words, (V)."""
    times = np.zeros(number, int)
    known = _occurrences(batch)
    times[: len(known)] = known
    padding = np.unique(batch.input_ids[~batch.attention_mask.astype(bool)])
    yield "words that occur more than once", times > 1
    yield "words that occur in the texts", times > 0
    yield "words that don't occur in the texts", times == 0
    yield "the word of padding", np.isin(np.arange(number), padding)


def _occurrences(batch: PretrainingBatch) -> Bools:
    """How often each id occurs, (largest id + 1)."""
    return np.bincount(batch.input_ids[batch.attention_mask.astype(bool)], minlength=int(batch.input_ids.max()) + 1)
