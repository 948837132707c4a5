"""What parameters a model with given heads has: names, shapes, order, and each one's own number.

The order is that of the `state_dict()` of Hugging Face's classes: embeddings, layers from first to last, pooler, heads.
The shapes use the legend of `ops.op` (V vocabulary, H hidden size, I intermediate size) with N positions
(`max_position_embeddings`), K token types and E, the width of the embeddings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..config import BertConfig
from ..errors import InputError
from ..params import EMBEDDINGS, LAYER, POOLER, PROJECTION, Shape, encoder_letters, in_layer
from .masked_lm import DECODER, DECODER_BIAS
from .registry import HEADS, expanded, with_pooler

_FIRST_LAYER_NUMBER = 100
_IN_LAYER = tuple(LAYER)


def parameter_shapes(
    config: BertConfig, heads: Sequence[str] = ("pretraining",), *, num_labels: int = 2, tied: bool = True
) -> dict[str, Shape]:
    """Name -> shape of every parameter of the encoder and the given heads, in canonical order.

    `heads` holds names of `HEADS` and `COMBINATIONS`; none of them means the bare encoder, `("pooler",)` Hugging Face's
    `BertModel`. `num_labels` is the width of the sequence and token classifiers (1 for regression). Unless `tied`, the
    masked language model has a decoder of its own, last of all. Raises `InputError` for an unknown head and for two
    heads that want the same name with different shapes.
    """
    if num_labels < 1:
        raise InputError(f"parameters: num_labels is {num_labels}; a classifier needs at least one label")
    sizes = {"1": 1, "2": 2, "labels": num_labels, "V": config.vocab_size, "H": config.hidden_size,
             "I": config.intermediate_size, "N": config.max_position_embeddings,
             "K": config.type_vocab_size, "E": config.embedding_size or config.hidden_size}  # fmt: skip
    letters = encoder_letters(
        config.stored_layers, segments=config.type_vocab_size > 0, projected=config.embedding_size is not None
    )
    letters |= _head_letters(heads)
    if not tied and DECODER_BIAS in letters:
        letters[DECODER] = ("V", "E")
    return {name: tuple(sizes[letter] for letter in shape) for name, shape in letters.items()}


def _head_letters(heads: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The pooler, if the heads need it, and their own parameters."""
    wanted: dict[str, tuple[str, ...]] = {}
    for head in expanded(heads):
        for name, shape in head.parameters.items():
            if wanted.setdefault(name, shape) != shape:
                raise InputError(
                    f"parameters: heads {', '.join(heads)} want {name} in different shapes; build them apart"
                )
    if with_pooler(heads):
        wanted |= POOLER
    return {name: wanted[name] for name in outside_layers() if name in wanted}


def outside_layers() -> tuple[str, ...]:
    """Every parameter that is in no layer, of all heads, in canonical order; a decoder of its own is not among them."""
    heads = dict.fromkeys(name for head in HEADS.values() for name in head.parameters)
    return (*EMBEDDINGS, *POOLER, *heads, *PROJECTION)


def canonical_number(name: str) -> int:
    """A parameter's own number, the same whatever the model's depth and heads; `InputError` if unknown.

    Parameters outside the layers count from 0, those of layer i from 100 + 16 i. The numbers address random
    streams (`rng.STREAMS["initial_weights"]`), so the table of names may only grow at its end.
    """
    inside = in_layer(name)
    if inside is not None and inside[1] in LAYER:
        return _FIRST_LAYER_NUMBER + len(LAYER) * inside[0] + _IN_LAYER.index(inside[1])
    known = outside_layers()
    if name in known:
        return known.index(name)
    raise InputError(f"parameters: {name!r} is not the name of a parameter of BERT")


def check(
    params: Mapping[str, Any],
    config: BertConfig,
    heads: Sequence[str] = ("pretraining",),
    *,
    num_labels: int = 2,
) -> None:
    """Raises `InputError` unless `params` holds exactly the model's parameters, each in its shape.

    A decoder of its own is welcome where there is a masked language model.
    """
    expected = parameter_shapes(config, heads, num_labels=num_labels, tied=DECODER not in params)
    missing = [name for name in expected if name not in params]
    unexpected = [name for name in params if name not in expected]
    if missing:
        raise InputError(f"parameters: missing {_some(missing)}")
    if unexpected:
        raise InputError(f"parameters: unexpected {_some(unexpected)}; not part of this configuration")
    for name, shape in expected.items():
        found = tuple(int(length) for length in params[name].shape)
        if found != shape:
            hint = "; is it transposed? weights are (out, in)" if found == shape[::-1] else ""
            raise InputError(f"parameters: {name} has shape {found}; the configuration asks for {shape}{hint}")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
