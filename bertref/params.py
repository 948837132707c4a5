"""Parameters as a flat dict, name -> array, and which of them the encoder has.

Names, shapes and orientation are those of Hugging Face's `BertForPreTraining`: a dense weight is (out, in). What a
whole model's dict must hold, heads included, says `heads.parameter_shapes`, in the letters used here; E is the width of
the embeddings, H unless they are factorised.

Other variants of the network have the same names, where files call them otherwise (`checkpoint.naming`), and one more:
the projection of factorised embeddings. Layers that share parameters use those of the first of them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Shape = tuple[int, ...]

EMBEDDINGS: dict[str, tuple[str, ...]] = {
    "bert.embeddings.word_embeddings.weight": ("V", "E"),
    "bert.embeddings.position_embeddings.weight": ("N", "E"),
    "bert.embeddings.token_type_embeddings.weight": ("K", "E"),
    "bert.embeddings.LayerNorm.weight": ("E",),
    "bert.embeddings.LayerNorm.bias": ("E",),
}
PROJECTION: dict[str, tuple[str, ...]] = {
    "bert.embeddings.projection.weight": ("H", "E"),
    "bert.embeddings.projection.bias": ("H",),
}
LAYER: dict[str, tuple[str, ...]] = {
    "attention.self.query.weight": ("H", "H"),
    "attention.self.query.bias": ("H",),
    "attention.self.key.weight": ("H", "H"),
    "attention.self.key.bias": ("H",),
    "attention.self.value.weight": ("H", "H"),
    "attention.self.value.bias": ("H",),
    "attention.output.dense.weight": ("H", "H"),
    "attention.output.dense.bias": ("H",),
    "attention.output.LayerNorm.weight": ("H",),
    "attention.output.LayerNorm.bias": ("H",),
    "intermediate.dense.weight": ("I", "H"),
    "intermediate.dense.bias": ("I",),
    "output.dense.weight": ("H", "I"),
    "output.dense.bias": ("H",),
    "output.LayerNorm.weight": ("H",),
    "output.LayerNorm.bias": ("H",),
}
PROJECTIONS = ("query", "key", "value")
"""A layer's attention has a weight and a bias of each."""
POOLER: dict[str, tuple[str, ...]] = {
    "bert.pooler.dense.weight": ("H", "H"),
    "bert.pooler.dense.bias": ("H",),
}

_LAYER_NAME = re.compile(r"bert\.encoder\.layer\.(0|[1-9][0-9]*)\.(.+)")


def encoder_letters(layers: int, *, segments: bool = True, projected: bool = False) -> dict[str, tuple[str, ...]]:
    """Name -> shape of the embeddings' and the layers' parameters, in canonical order. Unless there are `segments`,
    there is no table of token types; `projected`: the embeddings are factorised."""
    letters = {name: shape for name, shape in EMBEDDINGS.items() if segments or "K" not in shape}
    letters |= PROJECTION if projected else {}
    for layer in range(layers):
        letters.update({f"bert.encoder.layer.{layer}.{name}": shape for name, shape in LAYER.items()})
    return letters


def in_layer(name: str) -> tuple[int, str] | None:
    """ "bert.encoder.layer.3.output.dense.bias" -> (3, "output.dense.bias"); None for a name outside the layers."""
    match = _LAYER_NAME.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def joined(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """For every weight or bias of a query among the names, what it is called together with those of key and value, one
    below the other, which a layer takes instead where it is given that; and the three names."""
    first = f".{PROJECTIONS[0]}."
    for name in names:
        if first in name:
            together = [name.replace(first, f".{projection}.") for projection in PROJECTIONS]
            yield name.replace(first, f".{'_'.join(PROJECTIONS)}."), together


def scope(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The parameters under `prefix`, by local names: scope(p, "bert.pooler") -> {"dense.weight": ..., ...}.

    Raises `KeyError` if there is none, so that a misspelt prefix doesn't pass for an empty module.
    """
    start = prefix + "."
    local = {name[len(start) :]: value for name, value in params.items() if name.startswith(start)}
    if not local:
        raise KeyError(f"no parameter under {prefix!r}")
    return local


def prefixed(prefix: str, grads: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `scope`: local names back to full ones."""
    return {f"{prefix}.{name}": value for name, value in grads.items()}


def count(params: Mapping[str, Any]) -> int:
    """How many numbers the parameters hold together; takes arrays or shapes."""
    total = 0
    for value in params.values():
        size = 1
        for length in getattr(value, "shape", value):
            size *= int(length)
        total += size
    return total
