"""The one table of names: what other programs call BERT's parameters, and what they are called here.

The canonical names are those of Hugging Face's `BertForPreTraining` (`bertref.params`). Two families of files differ:

    Hugging Face    LayerNorm.gamma, LayerNorm.beta in files of 2018 and 2019; no `bert.` before the names that a bare
                    `BertModel` saved; `module.` before those of a `DataParallel` model
    TensorFlow      bert/encoder/layer_3/attention/self/query/kernel, a kernel being the transpose of a weight; the
                    optimiser's slots beside it, .../kernel/adam_m and .../kernel/adam_v; global_step

Source: `modeling.py`, `optimization.py`, `run_classifier.py`, `run_squad.py` of google-research/bert.
"""

import re
from typing import Literal, NamedTuple

from ..params import CLASSIFIER, DECODER, EMBEDDINGS, LAYER, MASKED_LM, NEXT_SENTENCE, POOLER, SPAN

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


_KNOWN = {*EMBEDDINGS, *POOLER, *MASKED_LM, *NEXT_SENTENCE, *CLASSIFIER, *SPAN, DECODER, DECODER_BIAS}
_BUFFERS = {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}
_HF_LAYER = re.compile(r"bert\.encoder\.layer\.(?:0|[1-9][0-9]*)\.(.+)")
_BARE = ("embeddings.", "encoder.", "pooler.")


def from_huggingface(stored: str) -> Translation | None:
    """What a name in a Hugging Face file means, or None if it is nothing of BERT's."""
    name = stored.removeprefix("module.")
    if name.startswith(_BARE):
        name = "bert." + name
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    if name in _BUFFERS:
        return Translation(name, "buffer")
    layer = _HF_LAYER.fullmatch(name)
    known = layer[1] in LAYER if layer else name in _KNOWN
    return Translation(name) if known else None


# ---------------------------------------------------------------------------------------------------------------------
# TensorFlow

_TF_HEADS = {
    "output_weights": "classifier.weight",
    "output_bias": "classifier.bias",
    "cls/squad/output_weights": "qa_outputs.weight",
    "cls/squad/output_bias": "qa_outputs.bias",
    "cls/predictions/output_bias": BIAS,
    "cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    "cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
}
"""The original's output layers are (out, in), as here; all its other dense weights are kernels, (in, out)."""

_HEADS_TO_TF = {ours: theirs for theirs, ours in _TF_HEADS.items()}
_TF_LAYER = re.compile(r"bert/encoder/layer_(0|[1-9][0-9]*)/(.+)")
_TF_ENDS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
_TF_SLOTS: dict[str, Kind] = {"/adam_m": "m", "/adam_v": "v"}
GLOBAL_STEP = "global_step"


def from_tensorflow(stored: str) -> Translation | None:
    """What the name of a TensorFlow variable means, or None if it is nothing of BERT's."""
    if stored == GLOBAL_STEP:
        return Translation(GLOBAL_STEP, "step")
    for suffix, kind in _TF_SLOTS.items():
        if stored.endswith(suffix):
            found = from_tensorflow(stored.removesuffix(suffix))
            return found._replace(kind=kind) if found and found.kind == "parameter" else None
    if stored in _TF_HEADS:
        return Translation(_TF_HEADS[stored])
    layer = _TF_LAYER.fullmatch(stored)
    dotted = f"bert.encoder.layer.{layer[1]}.{layer[2]}" if layer else stored
    head, _, last = dotted.replace("/", ".").rpartition(".")
    if last.endswith("_embeddings"):
        name = f"{head}.{last}.weight"
    elif last in _TF_ENDS:
        name = f"{head}.{_TF_ENDS[last]}"
    else:
        return None
    inside = _HF_LAYER.fullmatch(name)
    if not (inside[1] in LAYER if inside else name in _KNOWN - {DECODER, DECODER_BIAS}):
        return None
    return Translation(name, transposed=last == "kernel") if to_tensorflow(name) == stored else None


def to_tensorflow(name: str) -> str:
    """The original's name of a parameter. Raises `KeyError` for one that the original doesn't have."""
    if name in _HEADS_TO_TF:
        return _HEADS_TO_TF[name]
    if not (name in _KNOWN or _HF_LAYER.fullmatch(name)) or name in (DECODER, DECODER_BIAS):
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
