"""The one table of names: what other programs call BERT's parameters, and what they are called here.

The canonical names are those of Hugging Face's `BertForPreTraining` (`bertref.params`). Two families of files differ:

    Hugging Face    LayerNorm.gamma, LayerNorm.beta in files of 2018 and 2019; no `bert.` before the names that a bare
                    `BertModel` saved; the attributes of what the model was wrapped in (`WRAPPER_PARTS`), in any order
                    Other variants of the network have names of their own (`checkpoint.naming`).
    TensorFlow      bert/encoder/layer_3/attention/self/query/kernel, a kernel being the transpose of a weight; the
                    optimiser's slots beside it, .../kernel/adam_m and .../kernel/adam_v; global_step

Source: `modeling.py`, `optimization.py`, `run_classifier.py`, `run_squad.py` of google-research/bert.
"""

import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Literal, NamedTuple

from ..config import BertConfig
from ..heads import DECODER, HEADS, outside_layers
from ..params import LAYER, in_layer
from .naming import Naming, naming_of, naming_of_tensors

DECODER_BIAS = "cls.predictions.decoder.bias"
BIAS = "cls.predictions.bias"
WORDS = "bert.embeddings.word_embeddings.weight"

Kind = Literal["parameter", "buffer", "m", "v", "step"]


class Translation(NamedTuple):
    """A stored name's meaning. `name` is canonical; a `transposed` tensor is (in, out) in the file.

    kind    "parameter"; "m" or "v", the optimiser's moments of it; "step", how many updates were made; "buffer",
            something that a library stores and that holds nothing (position_ids)
    """

    name: str
    kind: Kind = "parameter"
    transposed: bool = False


_BUFFERS = {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}
BERT = naming_of("bert")
WRAPPER_PARTS = frozenset({"_orig_mod", "module", "model", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of names that are none of BERT's: torch.compile, DataParallel and its kin, Lightning modules, sharding and
recomputation each put one in front of the part of the model that they wrap, which may be the whole or a layer."""


def from_huggingface(stored: str, naming: Naming = BERT) -> Translation | None:
    """What a name in a Hugging Face file means, or None if it is nothing of the network's with these names."""
    name = ".".join(part for part in stored.split(".") if part not in WRAPPER_PARTS)
    if name.startswith(naming.bare):
        name = naming.base + name
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    theirs, name = name, naming.ours(name)
    if naming.theirs(name) != theirs:
        return None
    if name in _BUFFERS:
        return Translation(name, "buffer")
    return Translation(name) if name in (DECODER, DECODER_BIAS) or _is_parameter(name) else None


def _is_parameter(name: str) -> bool:
    """Whether it is a canonical name; a decoder of its own is none."""
    inside = in_layer(name)
    return inside[1] in LAYER if inside else name in outside_layers()


def translations(stored: Collection[str], format: str, config: BertConfig) -> dict[str, Translation]:
    """Of the names in a file of this format ("tensorflow", else one of Hugging Face's) those that mean something to the
    config's network, and what."""
    translate: Callable[[str], Translation | None] = from_tensorflow
    if format != "tensorflow":
        translate = partial(from_huggingface, naming=naming_of_tensors(config, stored))
    return {name: found for name in stored if (found := translate(name))}


# ---------------------------------------------------------------------------------------------------------------------
# TensorFlow

_TF_LAYER = re.compile(r"bert/encoder/layer_(0|[1-9][0-9]*)/(.+)")
_TF_ENDS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
_TF_SLOTS: dict[str, Kind] = {"/adam_m": "m", "/adam_v": "v"}
GLOBAL_STEP = "global_step"


def _of_heads() -> dict[str, str]:
    """Canonical name -> the original's, where a head gives one: its output layers are (out, in), as here; all its other
    dense weights are kernels, (in, out)."""
    return {ours: theirs for head in HEADS.values() for ours, theirs in head.tensorflow.items()}


def from_tensorflow(stored: str) -> Translation | None:
    """What the name of a TensorFlow variable means, or None if it is nothing of BERT's."""
    if stored == GLOBAL_STEP:
        return Translation(GLOBAL_STEP, "step")
    for suffix, kind in _TF_SLOTS.items():
        if stored.endswith(suffix):
            found = from_tensorflow(stored.removesuffix(suffix))
            return found._replace(kind=kind) if found and found.kind == "parameter" else None
    for ours, theirs in _of_heads().items():
        if stored == theirs:
            return Translation(ours)
    layer = _TF_LAYER.fullmatch(stored)
    dotted = f"bert.encoder.layer.{layer[1]}.{layer[2]}" if layer else stored
    head, _, last = dotted.replace("/", ".").rpartition(".")
    if last.endswith("_embeddings"):
        name = f"{head}.{last}.weight"
    elif last in _TF_ENDS:
        name = f"{head}.{_TF_ENDS[last]}"
    else:
        return None
    if not _is_parameter(name):
        return None
    return Translation(name, transposed=last == "kernel") if to_tensorflow(name) == stored else None


def to_tensorflow(name: str) -> str:
    """The original's name of a parameter. Raises `KeyError` for one that the original doesn't have."""
    of_heads = _of_heads()
    if name in of_heads:
        return of_heads[name]
    if not _is_parameter(name):
        raise KeyError(name)
    head, _, last = name.rpartition(".")
    if head.endswith("_embeddings"):
        last = ""
    elif head.endswith("LayerNorm"):
        last = {"weight": "/gamma", "bias": "/beta"}[last]
    else:
        last = {"weight": "/kernel", "bias": "/bias"}[last]
    return head.replace(".", "/").replace("encoder/layer/", "encoder/layer_") + last


def transposed_in_tensorflow(name: str) -> bool:
    """Whether the original stores this parameter as a kernel, (in, out)."""
    return to_tensorflow(name).endswith("/kernel")
