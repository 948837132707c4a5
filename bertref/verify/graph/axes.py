"""What the axes of an answer are, and which of its elements count.

Nothing is asked of padding: an implementation may compute garbage there, or nothing at all. What is known exactly is
asked: the probability that a real token gives to a padded one is 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...heads import parameter_shapes
from ..records import Case

WIDTHS = {"ffn_pre": "I", "ffn_act": "I"}
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


def parameter_axes(name: str, ndim: int) -> tuple[str, ...]:
    """What the axes of a parameter are called."""
    if ndim == 1:
        return ("channel",)
    table = name.rsplit(".", 2)[-2].removesuffix("_embeddings")
    return (table.removeprefix("token_"), "channel") if name.endswith("_embeddings.weight") else ("out", "in")


class AxesOf:
    """The axes of every answer of a case."""

    def __init__(self, case: Case) -> None:
        self._known: dict[str, Axes] = {}
        self._parameters = parameter_shapes(case.config)
        tokens: Bools = case.batch.attention_mask.astype(bool)
        B, S = tokens.shape
        P = case.batch.masked_lm_positions.shape[1]
        c = case.config
        self._sizes = {"H": c.hidden_size, "I": c.intermediate_size, "V": c.vocab_size}
        queries = np.asarray(tokens[:, None, :, None])
        pairs = np.asarray(queries & tokens[:, None, None, :])
        square = (B, c.num_attention_heads, S, S)
        self._square = square
        self._tokens, self._rows, self._rectangle = tokens, np.asarray(tokens.any(axis=1)), (B, S, P)
        self._queries, self._pairs = np.broadcast_to(queries, square), np.broadcast_to(pairs, square)
        self._predictions: Bools = np.asarray(case.batch.masked_lm_weights > 0)

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
        B, S, P = self._rectangle
        last = rest.rsplit(".", 1)[-1]
        if last in ("scores", "probs") and rest.startswith("layer."):
            # forward, a padded key has a probability, 0; its score and both gradients are not judged
            counts = self._queries if (prefix, last) == ("", "probs") else self._pairs
            return Axes(self._square, ("row", "head", "position", "key"), counts)
        if rest.startswith("loss."):
            return Axes((), ())
        if rest.startswith("mlm."):
            width = self._sizes["V" if last == "logits" else "H"]
            shape = (B, P, width)
            return Axes(shape, ("row", "prediction", "channel"), np.broadcast_to(self._predictions[..., None], shape))
        if rest in ("pooled_pre", "pooled", "nsp.logits"):
            shape = (B, 2 if rest == "nsp.logits" else self._sizes["H"])
            return Axes(shape, ("row", "channel"), np.broadcast_to(self._rows[:, None], shape))
        if rest.startswith(("layer.", "embeddings.")):
            shape = (B, S, self._sizes[WIDTHS.get(last, "H")])
            return Axes(shape, ("row", "position", "channel"), np.broadcast_to(self._tokens[..., None], shape))
        raise KeyError(name)
