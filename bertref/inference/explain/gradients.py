"""The target and its gradient with respect to the word vectors, exactly, by the hand-written backward.

The encoder looks word vectors up in a table, and its backward gives that table's gradient. Here the table holds the
vectors of the call itself, a row for every token of every sequence, and the ids number its rows: so any vectors go
through the model as it is, and the table's gradient is that of the vectors.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ... import heads, model
from ...text.encoding import Encoding
from ..loaded import Loaded, inputs_of, settings_of
from .targets import Target

Vectors = npt.NDArray[np.float64]

CACHE_BYTES = 2**28
"""About what forward may keep for backward at once; a single sequence is never divided."""


def word_vectors(loaded: Loaded, ids: list[int]) -> Vectors:
    """The word embeddings of S ids (S, H), on the host: what `embeddings.word` shows of them."""
    xp = loaded.ops.xp
    rows = xp.take(loaded.params[heads.WORD_EMBEDDINGS], xp.from_numpy(np.array(ids, np.int64)), axis=0)
    return np.asarray(xp.to_numpy(rows), np.float64)


def values_and_gradients(
    loaded: Loaded, target: Target, encoding: Encoding, vectors: Vectors
) -> tuple[npt.NDArray[np.float64], Vectors]:
    """N sets of word vectors (N, S, H) for one sequence -> the target's values (N), its gradients (N, S, H).

    Positions and token types are the sequence's. All are computed as one batch, in the dtype of the model's weights.
    """
    N, S, H = vectors.shape
    ops = loaded.ops.for_backward()
    xp, weights = ops.xp, loaded.params[heads.WORD_EMBEDDINGS]
    table = xp.astype(xp.from_numpy(np.ascontiguousarray(vectors.reshape(N * S, H))), weights.dtype)
    own = inputs_of(loaded, [encoding] * N)
    x = replace(own, input_ids=xp.from_numpy(np.arange(N * S)), counted_ids=own.input_ids)
    encoded, cache = model.forward(ops, loaded.params | {heads.WORD_EMBEDDINGS: table}, x, settings_of(loaded))
    found = target.answer(loaded, ops, encoded, x)
    grads = model.backward(ops, found.d_sequence, found.d_pooled, cache)[heads.WORD_EMBEDDINGS]
    return found.values, np.asarray(xp.to_numpy(grads), np.float64).reshape(N, S, H)


def sequences_at_once(loaded: Loaded, length: int) -> int:
    """How many sequences of that length are computed together: what they keep for backward takes `CACHE_BYTES`."""
    config = loaded.config
    # a layer keeps about 12 arrays (T, H), 3 (T, I) and 3 (B, A, S, S)
    row = 12 * config.hidden_size + 3 * config.intermediate_size + 3 * config.num_attention_heads * length
    size = int(loaded.ops.xp.to_numpy(loaded.params[heads.WORD_EMBEDDINGS][:1, :]).itemsize)
    return max(1, CACHE_BYTES // (config.num_hidden_layers * length * row * size))
