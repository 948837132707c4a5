"""The one number that is explained: a difference of two logits, or a logit where an answer stands alone.

    one label of several     logit(label) - logit(runner-up): its sign is the decision, and of two labels it is the
                             log-odds, log p(label)/p(other)
    labels that each hold    logit(label), the log-odds of a label by itself
      or not; numbers
    a masked word            logit(best guess) - logit(second)

A target is a linear function c of the head's logits, so its gradient enters the head's backward as c.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ... import heads
from ...arrays import Array
from ...errors import InputError, TextError
from ...layout import Inputs
from ...model import Encoded
from ...opset import OpSet
from ...text.encoding import Encoding
from ..loaded import Loaded, encode, require, settings_of
from ..sequence_classification import logits_of, problem_of


class TargetValues(NamedTuple):
    """The target's values (N,) for N sequences, and its gradients for what the head read: `sequence` (T, H) or `pooled`
    (N, H)."""

    values: npt.NDArray[np.float64]
    d_sequence: Array | None
    d_pooled: Array | None


class Target(Protocol):
    """What is explained."""

    @property
    def label(self) -> str: ...
    @property
    def other(self) -> str | None: ...
    @property
    def position(self) -> int | None: ...
    def answer(self, loaded: Loaded, ops: OpSet, encoded: Encoded, x: Inputs) -> TargetValues: ...


def named(target: Target) -> str:
    """The target as users see it."""
    second = "" if target.other is None else f" - logit({target.other})"
    return f"logit({target.label}){second}"


@dataclass(frozen=True)
class LabelTarget:
    """A text's label; `weights` (K) are the c of the module's page."""

    label: str
    other: str | None
    weights: npt.NDArray[np.float64]
    position: int | None = None

    def answer(self, loaded: Loaded, ops: OpSet, encoded: Encoded, x: Inputs) -> TargetValues:
        """N sequences' pooled output -> `TargetValues`."""
        assert encoded.pooled is not None  # of a model with this head
        logits, cache = heads.sequence_classification_forward(ops, loaded.params, encoded.pooled)
        values = _host(ops, logits) @ self.weights
        d_logits = _rows(ops, self.weights, len(values), logits.dtype)
        d_pooled, _ = heads.sequence_classification_backward(ops, d_logits, cache)
        return TargetValues(values, None, d_pooled)


@dataclass(frozen=True)
class WordTarget:
    """A guess for the [MASK] at `position`.

    logit(best) - logit(second) = transform · weights + bias, where `weights` (H) are the difference of the two rows
    with which the decoder compares the transformed vector.
    """

    label: str
    other: str
    position: int
    weights: npt.NDArray[np.float64]
    bias: float

    def answer(self, loaded: Loaded, ops: OpSet, encoded: Encoded, x: Inputs) -> TargetValues:
        """N sequences' tokens -> `TargetValues`."""
        rows = x.layout.first + self.position
        transformed, cache = heads.transform_forward(
            ops, loaded.params, encoded.sequence, rows, settings_of(loaded)
        )
        values = _host(ops, transformed) @ self.weights + self.bias
        d_transformed = _rows(ops, self.weights, len(values), transformed.dtype)
        d_sequence, _ = heads.transform_backward(ops, d_transformed, cache)
        return TargetValues(values, d_sequence, None)


def label_target(loaded: Loaded, encoding: Encoding, label: str | None) -> LabelTarget:
    """The text's best label, or the one that is named, against the best of the others.

    Raises `InputError` for an unknown label, and where several numbers are the answer and none is named.
    """
    require(loaded, "sequence_classification")
    labels, problem = loaded.labels, problem_of(loaded)
    if label is not None and label not in labels:
        raise InputError(f"this model has no label {label!r}; it has {', '.join(labels)}")
    if label is None and problem == "regression" and len(labels) > 1:
        raise InputError(f"this model gives {len(labels)} numbers; name one of {', '.join(labels)}: label (--label)")
    logits = logits_of(loaded, [encoding])[0]
    order = [int(i) for i in np.argsort(-logits, kind="stable")]
    number = order[0] if label is None else labels.index(label)
    weights = np.zeros(len(labels))
    weights[number] = 1
    if len(labels) == 1 or problem != "single_label_classification":
        return LabelTarget(labels[number], None, weights)
    other = next(i for i in order if i != number)
    weights[other] = -1
    return LabelTarget(labels[number], labels[other], weights)


def word_target(loaded: Loaded, encoding: Encoding, mask: int) -> WordTarget:
    """The best guess for the text's [MASK] of that number, from 0, against the second.

    Raises `TextError` without a mask, `InputError` for a number that no mask has.
    """
    require(loaded, "masked_lm")
    vocab, ops, params = loaded.tokenizer.vocab, loaded.ops, loaded.params
    places = [i for i, token in enumerate(encoding.input_ids) if token == vocab.mask]
    if not places:
        name = vocab.notation.mask
        raise TextError({0: f"can't be explained: no {name} in it; put {name} where a word is to be guessed"})
    if not 0 <= mask < len(places):
        raise InputError(f"mask is {mask}; the text has {len(places)}, numbered from 0")
    encoded, _ = encode(loaded, [encoding])
    rows = ops.xp.from_numpy(np.array([places[mask]], np.int64))
    logits = _host(ops, heads.masked_lm_logits(ops, params, encoded.sequence, rows, settings_of(loaded)))[0]
    best, second = (int(i) for i in np.argsort(-logits[: len(vocab)], kind="stable")[:2])
    pair = ops.xp.from_numpy(np.array([best, second], np.int64))
    decoder, bias = (
        _host(ops, ops.xp.take(params[name], pair, axis=0)) for name in (heads.decoder_name(params), heads.DECODER_BIAS)
    )
    return WordTarget(
        vocab.readable(best), vocab.readable(second), places[mask], decoder[0] - decoder[1], float(bias[0] - bias[1])
    )


def _host(ops: OpSet, array: Array) -> npt.NDArray[np.float64]:
    return np.asarray(ops.xp.to_numpy(array), np.float64)


def _rows(ops: OpSet, weights: npt.NDArray[np.float64], count: int, dtype: Any) -> Array:
    """The weights once for each sequence, on the device."""
    return ops.xp.astype(ops.xp.from_numpy(np.tile(weights, (count, 1))), dtype)
