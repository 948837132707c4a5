"""Attention maps: with which weight each token reads each other in a layer.

Attention is not attribution: a weight says how much of a value vector is mixed in, not whether it moved the answer
(Jain and Wallace 2019, "Attention is not Explanation").
"""

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...probes import Probe, Recorder
from ...text.encoding import Truncate, tokens_of
from ..loaded import Loaded, framed, inputs_of, run

CAUTION = "attention is not attribution"
"""Stands wherever a map is shown."""


@dataclass(frozen=True)
class AttentionMap:
    """The weights (S, S) of one head, or their mean over the heads (`head` None): row i adds up to 1 and says what
    tokens[i] reads. Layers and heads are numbered from 0."""

    text: str
    pair: str | None
    layer: int
    head: int | None
    tokens: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


def attention_map(
    loaded: Loaded,
    text: str,
    pair: str | None = None,
    *,
    layer: int = -1,
    head: int | None = None,
    truncate: Truncate | None = None,
) -> AttentionMap:
    """The map of a layer (negative: counted from the last) and head.

    Raises `InputError` for a layer or head that the model lacks, `TextError` for a text that is too long, unless it is
    cut.
    """
    config, xp = loaded.config, loaded.ops.xp
    layer = _number("layer", layer, config.num_hidden_layers)
    head = None if head is None else _number("head", head, config.num_attention_heads)
    (encoding,) = framed(loaded, [text], None if pair is None else [pair], truncate)
    name = f"layer.{layer}.probs"
    recorder, x = Recorder({name}), inputs_of(loaded, [encoding])
    run(loaded, x, Probe(recorder, xp, x.layout))
    probs = np.asarray(recorder.to_numpy(xp)[name][0], np.float64)
    weights = probs.mean(axis=0) if head is None else probs[head]
    tokens = tuple(tokens_of(loaded.tokenizer.vocab, encoding.input_ids))
    return AttentionMap(text, pair, layer, head, tokens, tuple(map(tuple, weights.tolist())))


def _number(name: str, number: int, count: int) -> int:
    """The number from 0. Raises `InputError` where there are not so many."""
    if not -count <= number < count:
        raise InputError(f"{name} {number}: this model has {name}s 0 to {count - 1} (or -1 to {-count}, from the last)")
    return number % count
