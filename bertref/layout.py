"""How the tokens of a batch lie in memory: padded to a rectangle, or packed without padding.

Everything but attention works on rows of tokens, (T, H), and does not care which sequence a row belongs to:

    padded   T = B*S, row b*S + s is position s of sequence b, padding included: the same shapes in every step
    packed   T = the number of real tokens, in the same order: no work on padding

Only attention, the pooler and the prediction positions know where sequences start; they ask the `Layout`.

Ops look rows up without looking at the ids, so ids are checked here, on the host, or before (`data.batch.validate`).
"""

from dataclasses import dataclass

import numpy as np

from .arrays import Array, Namespace
from .config import BertConfig
from .errors import InputError


@dataclass(frozen=True)
class Layout:
    """Where the rows stand. `slots`, `valid` (B*S) and `places` (T) are those of `ops.packing`; None when padded."""

    batch: int
    length: int
    mask: Array  # (B, S) boolean: a token, not padding
    first: Array  # (B) row of each sequence's first token
    slots: Array | None = None
    valid: Array | None = None
    places: Array | None = None

    @property
    def packed(self) -> bool:
        return self.places is not None


@dataclass(frozen=True)
class Inputs:
    """What the encoder reads: three ids for every row, and the layout. `counted_ids` are those from which positions are
    counted, where `input_ids` are rows of another table than the model's."""

    layout: Layout
    input_ids: Array  # (T)
    position_ids: Array  # (T), columns
    token_type_ids: Array  # (T)
    counted_ids: Array | None = None


def inputs(
    xp: Namespace,
    input_ids: np.ndarray,
    attention_mask: np.ndarray | None = None,
    token_type_ids: np.ndarray | None = None,
    *,
    packed: bool = False,
    config: BertConfig | None = None,
) -> Inputs:
    """Host arrays (B, S) -> `Inputs` on the device of xp. No mask means all tokens, no types means all in segment A.

    With a `config` the ids are checked; without one the caller has done so (`check_ids`).

    A position is a token's column in the rectangle, in both layouts. The packed layout needs every sequence to start
    with a token (the pooler reads it): a sequence that does not raises `InputError`.
    """
    B, S = input_ids.shape
    mask = np.ones((B, S), bool) if attention_mask is None else np.asarray(attention_mask) != 0
    types = np.zeros((B, S), np.int64) if token_type_ids is None else np.asarray(token_type_ids)
    if config is not None:
        check_ids(config, input_ids, types)
    columns = np.broadcast_to(np.arange(S), (B, S))
    places = np.arange(B * S)
    first = np.arange(B) * S
    packing: dict[str, Array] = {}
    if packed:
        headless = np.flatnonzero(~mask[:, 0]) if S else np.arange(B)
        if headless.size:
            raise InputError(
                f"sequence {headless[0]} of the batch does not start with a token, so it has no place in the packed "
                "layout; use the padded layout"
            )
        valid = mask.reshape(-1)
        places = np.flatnonzero(valid)
        slots = np.where(valid, np.cumsum(valid) - 1, 0)
        first = slots[first]
        packing = {
            "slots": xp.from_numpy(slots.astype(np.int64)),
            "valid": xp.from_numpy(valid),
            "places": xp.from_numpy(places.astype(np.int64)),
        }
    layout = Layout(B, S, xp.from_numpy(mask), xp.from_numpy(first.astype(np.int64)), **packing)

    def rows(a: np.ndarray) -> Array:
        return xp.from_numpy(np.ascontiguousarray(a.reshape(-1)[places].astype(np.int64)))

    return Inputs(layout, rows(input_ids), rows(columns), rows(types))


def check_ids(config: BertConfig, input_ids: np.ndarray, token_type_ids: np.ndarray) -> None:
    """Raises `InputError` for ids (B, S) of which a model's tables have no row, and for more columns than positions."""
    S, limit = input_ids.shape[1], config.max_length
    if limit < S:
        raise InputError(f"sequences of {S} tokens; the model reads at most {limit} (max_position_embeddings)")
    _check("input_ids", input_ids, config.vocab_size, "vocab_size", "the vocabulary is another model's")
    single = "the model reads single texts, no pairs and no questions"
    hint = single if config.type_vocab_size == 1 else "they are numbered from 0"
    if not config.type_vocab_size:  # they are not looked at
        return
    _check("token_type_ids", token_type_ids, config.type_vocab_size, "type_vocab_size", hint)


def _check(name: str, ids: np.ndarray, rows: int, size: str, hint: str) -> None:
    if ids.size and not 0 <= ids.min() <= ids.max() < rows:
        row, column = np.argwhere((ids < 0) | (ids >= rows))[0]
        raise InputError(
            f"{name}, row {row}, column {column}: the model's table has no row {ids[row, column]}, as its {size} is "
            f"{rows}; {hint}"
        )
