"""Parameters as a flat dict, name -> array, and what a model's dict must hold.

Names, shapes and orientation are those of Hugging Face's `BertForPreTraining`: a dense weight is (out, in),
the decoder of the masked language model is tied to the word embeddings and therefore not stored. The order
of `parameter_shapes` is that of its `state_dict()`: embeddings, layers from first to last, pooler, heads.

The shapes use the legend of `ops.op` (V vocabulary, H hidden size, I intermediate size) with
N positions (`max_position_embeddings`) and K token types.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .config import BertConfig
from .errors import InputError

Shape = tuple[int, ...]

EMBEDDINGS: dict[str, tuple[str, ...]] = {
    "bert.embeddings.word_embeddings.weight": ("V", "H"),
    "bert.embeddings.position_embeddings.weight": ("N", "H"),
    "bert.embeddings.token_type_embeddings.weight": ("K", "H"),
    "bert.embeddings.LayerNorm.weight": ("H",),
    "bert.embeddings.LayerNorm.bias": ("H",),
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
POOLER: dict[str, tuple[str, ...]] = {
    "bert.pooler.dense.weight": ("H", "H"),
    "bert.pooler.dense.bias": ("H",),
}
MASKED_LM: dict[str, tuple[str, ...]] = {
    "cls.predictions.bias": ("V",),
    "cls.predictions.transform.dense.weight": ("H", "H"),
    "cls.predictions.transform.dense.bias": ("H",),
    "cls.predictions.transform.LayerNorm.weight": ("H",),
    "cls.predictions.transform.LayerNorm.bias": ("H",),
}
DECODER = "cls.predictions.decoder.weight"
"""(V, H), only where it is not tied to the word embeddings."""
NEXT_SENTENCE: dict[str, tuple[str, ...]] = {
    "cls.seq_relationship.weight": ("2", "H"),
    "cls.seq_relationship.bias": ("2",),
}
CLASSIFIER: dict[str, tuple[str, ...]] = {
    "classifier.weight": ("labels", "H"),
    "classifier.bias": ("labels",),
}
CHOICE: dict[str, tuple[str, ...]] = {"classifier.weight": ("1", "H"), "classifier.bias": ("1",)}
SPAN: dict[str, tuple[str, ...]] = {"qa_outputs.weight": ("2", "H"), "qa_outputs.bias": ("2",)}

HEADS: dict[str, dict[str, tuple[str, ...]]] = {
    "pretraining": {**POOLER, **MASKED_LM, **NEXT_SENTENCE},
    "masked_lm": MASKED_LM,
    "next_sentence": {**POOLER, **NEXT_SENTENCE},
    "sequence_classification": {**POOLER, **CLASSIFIER},
    "multiple_choice": {**POOLER, **CHOICE},
    "token_classification": CLASSIFIER,
    "question_answering": SPAN,
    "pooler": POOLER,
}
"""What each head adds to the encoder. As in Hugging Face, only heads that read the pooled output own one."""

_LAYER_NAME = re.compile(r"bert\.encoder\.layer\.(0|[1-9][0-9]*)\.(.+)")
_FIRST_LAYER_NUMBER = 100
_OUTSIDE_LAYERS = (*EMBEDDINGS, *POOLER, *MASKED_LM, *NEXT_SENTENCE, *CLASSIFIER, *SPAN)
_IN_LAYER = tuple(LAYER)


def parameter_shapes(
    config: BertConfig, heads: Sequence[str] = ("pretraining",), *, num_labels: int = 2, tied: bool = True
) -> dict[str, Shape]:
    """Name -> shape of every parameter of the encoder and the given heads, in canonical order.

    `heads` holds names of `HEADS`; none of them means the bare encoder, `("pooler",)` Hugging Face's
    `BertModel`. `num_labels` is the width of the sequence and token classifiers (1 for regression). Unless `tied`, the
    masked language model has a decoder of its own, last of all. Raises `InputError` for an unknown head and for two
    heads that want the same name with different shapes.
    """
    if num_labels < 1:
        raise InputError(f"parameters: num_labels is {num_labels}; a classifier needs at least one label")
    sizes = {"1": 1, "2": 2, "labels": num_labels, "V": config.vocab_size, "H": config.hidden_size,
             "I": config.intermediate_size, "N": config.max_position_embeddings,
             "K": config.type_vocab_size}  # fmt: skip
    letters = dict(EMBEDDINGS)
    for layer in range(config.num_hidden_layers):
        letters.update({f"bert.encoder.layer.{layer}.{name}": shape for name, shape in LAYER.items()})
    letters.update(_head_letters(heads))
    if not tied and "cls.predictions.bias" in letters:
        letters[DECODER] = ("V", "H")
    return {name: tuple(sizes[letter] for letter in shape) for name, shape in letters.items()}


def _head_letters(heads: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if isinstance(heads, str):
        raise InputError(f"parameters: heads is the string {heads!r}; give a sequence of names, ({heads!r},)")
    wanted: dict[str, tuple[str, ...]] = {}
    for head in heads:
        if head not in HEADS:
            raise InputError(f"parameters: no head {head!r}; there are {', '.join(HEADS)}")
        for name, shape in HEADS[head].items():
            if wanted.setdefault(name, shape) != shape:
                raise InputError(
                    f"parameters: heads {', '.join(heads)} want {name} in different shapes; build them apart"
                )
    return {name: wanted[name] for name in _OUTSIDE_LAYERS if name in wanted}


def canonical_number(name: str) -> int:
    """A parameter's own number, the same whatever the model's depth and heads; `InputError` if unknown.

    Parameters outside the layers count from 0, those of layer i from 100 + 16 i. The numbers address random
    streams (`rng.STREAMS["initial_weights"]`), so the table of names may only grow at its end.
    """
    match = _LAYER_NAME.fullmatch(name)
    if match and match[2] in LAYER:
        return _FIRST_LAYER_NUMBER + len(LAYER) * int(match[1]) + _IN_LAYER.index(match[2])
    if name in _OUTSIDE_LAYERS:
        return _OUTSIDE_LAYERS.index(name)
    raise InputError(f"parameters: {name!r} is not the name of a parameter of BERT")


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
