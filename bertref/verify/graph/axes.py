"""What the axes of an answer are, and which of its elements count.

Nothing is asked of padding: an implementation may compute garbage there, or nothing at all. What is known exactly is
asked: the probability that a real token gives to a padded one is 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...row import TensorRow
from ...topology import POOLINGS, SENTENCE_DENSE, rows
from ..records import Case

Bools = npt.NDArray[Any]


@dataclass(frozen=True)
class Axes:
    """Shape, the axes' names, and the elements that count (`counts` None: all of them)."""

    shape: tuple[int, ...]
    names: tuple[str, ...]
    counts: Bools | None = None

    def clean(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The values with 0 wherever nothing is asked, so that garbage can't spread from there."""
        return values if self.counts is None else np.where(self.counts, values, 0)


def rows_of(case: Case) -> tuple[TensorRow, ...]:
    """The table of the case's network."""
    return rows(case.config, case.heads, case.objective, tied=case.tied, embedding=case.embedding)


def split(name: str) -> tuple[str, str]:
    """ "grad:layer.3.probs" -> ("grad", "layer.3.probs"); a forward probe has the prefix ""."""
    prefix, colon, rest = name.partition(":")
    return (prefix, rest) if colon and prefix in ("grad", "update") else ("", name)


def kind(name: str) -> str:
    """The name without the layer's number: tensors of one kind are made by the same op from similar inputs."""
    for start in ("layer.", "encoder.layer."):
        before, found, after = name.partition(start)
        if found and after.split(".", 1)[0].isdigit():
            return f"{before}{start}N.{after.split('.', 1)[1]}"
    return name


def masked_rows(case: Case) -> Bools:
    """(B) rows that are all padding."""
    return np.asarray(~case.batch.attention_mask.astype(bool).any(axis=1), np.bool_)


def named_axes(letters: str) -> tuple[str, ...]:
    """What the axes of a tensor are called, by their letters in the network's table."""
    names = {"B": "row", "S": "position", "A": "head", "P": "prediction", "C": "choice"}
    found = [names.get(letter, "channel") for letter in letters.split()]
    return tuple("key" if name in found[:i] else name for i, name in enumerate(found))


def parameter_axes(name: str, ndim: int) -> tuple[str, ...]:
    """What the axes of a parameter are called."""
    if ndim == 1:
        return ("channel",)
    table = name.rsplit(".", 2)[-2].removesuffix("_embeddings")
    return (table.removeprefix("token_"), "channel") if name.endswith("_embeddings.weight") else ("out", "in")


class AxesOf:
    """The axes of every answer of a case. `tokens` (B, S) are the positions that count, if not the real ones; with
    `slots`, all slots of predictions do, used or not."""

    def __init__(self, case: Case, tokens: Bools | None = None, *, slots: bool = False) -> None:
        self._known: dict[str, Axes] = {}
        self._parameters = case.shapes
        self._rows = {row.name: row for row in rows_of(case)}
        tokens = case.batch.attention_mask.astype(bool) if tokens is None else tokens
        B, S = tokens.shape
        c = case.config
        self._sizes = {
            "B": B, "S": S, "P": case.batch.masked_lm_positions.shape[1], "A": c.num_attention_heads,
            "H": c.hidden_size, "E": c.embedding_size or c.hidden_size,
            "I": c.intermediate_size, "V": c.vocab_size, "2": 2, "labels": case.num_labels,
            "J": c.hidden_size * sum(step in POOLINGS for step in case.embedding),
        }  # fmt: skip
        self._sizes |= {
            name.removesuffix(".weight"): len(array)
            for name, array in case.targets.items() if name.startswith(SENTENCE_DENSE)
        }  # fmt: skip
        self._choices = case.choices
        queries = np.asarray(tokens[:, None, :, None])
        self._counts: dict[str, Bools] = {
            "tokens": tokens[..., None],
            "rows": np.asarray(tokens.any(axis=1))[:, None],
            "predictions": np.asarray((case.batch.masked_lm_weights > 0) | slots)[..., None],
            "queries": queries,
            "pairs": np.asarray(queries & tokens[:, None, None, :]),
        }

    def __call__(self, name: str) -> Axes:
        """Raises `KeyError` for a name that the case does not have."""
        if name not in self._known:
            self._known[name] = self._of(name)
        return self._known[name]

    def _of(self, name: str) -> Axes:
        prefix, rest = split(name)
        if rest in self._parameters and prefix:
            shape = self._parameters[rest]
            return Axes(shape, parameter_axes(rest, len(shape)))
        row = self._rows[rest]
        if row.axes == "B C":
            shape = (self._sizes["B"] // self._choices, self._choices)
            return Axes(shape, named_axes(row.axes), self._counts["rows"].reshape(shape))
        shape = tuple(self._sizes[letter] for letter in row.axes.split())
        # forward, a padded key has a probability, 0; its score and both gradients are nobody's business
        counts = "pairs" if row.counts == "queries" and prefix else row.counts
        return Axes(shape, named_axes(row.axes), np.broadcast_to(self._counts[counts], shape) if counts else None)
