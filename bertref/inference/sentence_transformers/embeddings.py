"""One vector a text: the encoder, a pooling, and what a folder of sentence-transformers puts on top."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import model
from ...arrays import Array
from ...errors import InputError
from ...layout import Inputs
from ...text.encoding import Encoding, check_texts
from ..loaded import Loaded, by_length, encode, framed_and_cut
from .modules import EmbeddingModules, Projection
from .pooling import MODES, check_mode, normalized, pool
from .splade import sparse_vectors

POOLED = "pooled"
"""Beside `pooling.MODES`: the pooler's output, which a model without one does not have."""


def chosen(
    recipe: EmbeddingModules | None, pooling: str | Sequence[str] | None, normalize: bool | None
) -> EmbeddingModules:
    """The folder's recipe with the caller's changes. Another pooling leaves out what the folder puts on top of its own.

    Raises `InputError` for a pooling that does not exist.
    """
    found = recipe or EmbeddingModules()
    if pooling is not None:
        names = (pooling,) if isinstance(pooling, str) else tuple(pooling)
        for name in names:
            check_mode(name, (*MODES, POOLED))
        found = replace(found, poolings=names, projections=(), normalize=False, splade=None)
    return found if normalize is None else replace(found, normalize=normalize)


def prepared(recipe: EmbeddingModules, texts: Sequence[str]) -> list[str]:
    """The texts as the tokenizer is to see them: behind the prompt, lower-cased if the recipe says so."""
    ready = [recipe.prompt + text for text in texts]
    return [text.lower() for text in ready] if recipe.lower_case else ready


def embed(loaded: Loaded, recipe: EmbeddingModules, texts: Sequence[str]) -> npt.NDArray[Any]:
    """(texts, width). Texts of like length share a batch; the result is in the order given."""
    check_texts(texts)
    limit = loaded.config.max_length
    encodings, _ = framed_and_cut(loaded, prepared(recipe, texts), None, min(recipe.max_length or limit, limit))
    if not encodings:
        return np.zeros((0, width(loaded, recipe)), np.float32)
    batches = list(by_length(encodings))
    result = np.concatenate([embed_batch(loaded, recipe, [encodings[i] for i in some]) for some in batches])
    return result[np.argsort(np.concatenate(batches), kind="stable")]


def width(loaded: Loaded, recipe: EmbeddingModules) -> int:
    """How many numbers a text becomes."""
    if recipe.splade:
        return loaded.config.vocab_size
    if recipe.projections:
        return int(recipe.projections[-1].weight.shape[0])
    return loaded.config.hidden_size * len(recipe.poolings)


def embed_batch(loaded: Loaded, recipe: EmbeddingModules, encodings: Sequence[Encoding]) -> npt.NDArray[Any]:
    """One batch, (B, width)."""
    encoded, x = encode(loaded, encodings)
    return np.asarray(loaded.ops.xp.to_numpy(vectors(loaded, recipe, encoded, x)))


def vectors(loaded: Loaded, recipe: EmbeddingModules, encoded: model.Encoded, x: Inputs) -> Array:
    """What the recipe makes of the encoder's output, (B, width) on the device."""
    xp = loaded.ops.xp
    if recipe.splade:
        sparse = sparse_vectors(loaded, recipe.splade, encoded, x)
        return normalized(xp, sparse) if recipe.normalize else sparse
    parts = [one_pooling(loaded, encoded, x, name) for name in recipe.poolings]
    joined = xp.concat(parts, axis=-1) if len(parts) > 1 else parts[0]
    for projection in recipe.projections:
        joined = _projected(loaded, projection, joined)
    return normalized(xp, joined) if recipe.normalize else joined


def one_pooling(loaded: Loaded, encoded: model.Encoded, x: Inputs, name: str) -> Array:
    """One pooling by name, (B, H)."""
    if name != POOLED:
        return pool(loaded.ops.xp, encoded.sequence, x.layout, name)
    if encoded.pooled is None:
        raise InputError(f"this model has no pooler; choose another pooling: {', '.join(MODES)}")
    return encoded.pooled


def _projected(loaded: Loaded, projection: Projection, x: Array) -> Array:
    xp, dtype = loaded.ops.xp, loaded.ops.xp.dtype_name(x.dtype)
    weight = xp.from_numpy(projection.weight.astype(dtype))
    bias = None if projection.bias is None else xp.from_numpy(projection.bias.astype(dtype))
    y, _ = loaded.ops.dense.forward(x, weight, bias)
    return y if projection.activation is None else getattr(loaded.ops, projection.activation).forward(y)[0]
