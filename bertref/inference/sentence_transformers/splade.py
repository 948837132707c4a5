"""Sparse vectors of texts: a weight for every word piece of the vocabulary, by the masked language model.

    w[v] = max over the tokens t of log(1 + max(0, logits[t, v]))

The tokens are all real ones, [CLS] and [SEP] among them. `sum` takes the sum over them instead of the largest; the
activation `log1p_relu` takes the logarithm twice. The names are those of sentence-transformers' `SpladePooling`.

Source: Formal et al. 2021, "SPLADE" (sum) and "SPLADE v2" (max); Geng et al. 2025 (log1p_relu).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ... import heads, model
from ...arrays import Array
from ...layout import Inputs
from ..loaded import Loaded, require, settings_of

STRATEGIES = ("max", "sum")
ACTIVATIONS = ("relu", "log1p_relu")


@dataclass(frozen=True)
class Splade:
    """How logits become a vector; see the module."""

    strategy: Literal["max", "sum"] = "max"
    activation: Literal["relu", "log1p_relu"] = "relu"


def sparse_vectors(loaded: Loaded, how: Splade, encoded: model.Encoded, x: Inputs) -> Array:
    """The encoder's output -> (B, V); one text's logits are in memory at a time.

    Raises `InputError` for a model without a masked language model.
    """
    require(loaded, "masked_lm")
    xp, layout = loaded.ops.xp, x.layout
    lengths, starts = xp.to_numpy(layout.mask).sum(axis=1), xp.to_numpy(layout.first)
    made = []
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        rows = xp.from_numpy(np.arange(start, start + length, dtype=np.int64))
        logits = heads.masked_lm_logits(loaded.ops, loaded.params, encoded.sequence, rows, settings_of(loaded))
        weights = xp.log1p(loaded.ops.relu.forward(logits)[0])
        if how.activation == "log1p_relu":
            weights = xp.log1p(weights)
        made.append(xp.max(weights, axis=0) if how.strategy == "max" else xp.sum(weights, axis=0))
    return xp.stack(made)
