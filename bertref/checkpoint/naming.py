"""What the variants of the network call their tensors in Hugging Face's files.

The names inside are those of `BertForPreTraining` for every variant (`bertref.params`). Each variant's are theirs with
other beginnings, given here as pairs, of which the first that fits counts:

    RoBERTa      roberta.encoder.layer.3.output.dense.weight, lm_head.layer_norm.weight, classifier.dense.weight
    DistilBERT   distilbert.transformer.layer.3.attention.q_lin.weight, vocab_transform.weight, pre_classifier.weight
    ALBERT       albert.encoder.albert_layer_groups.0.albert_layers.1.ffn.weight, predictions.dense.weight

A layer that several share is stored once, under its group and its number there. The dense layer below a classifier is
the pooler here, whatever it is called there: RoBERTa has one in its classifier of texts beside the pooler of its
encoder, and a file with both uses the classifier's.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import read_json
from ..config_keys import berts_class
from ..heads import architectures

Pairs = tuple[tuple[str, str], ...]
LAYER = re.compile(r"bert\.encoder\.layer\.(\d+)\.(.*)")


@dataclass(frozen=True)
class Naming:
    """`base` is what stands before the encoder's names, and `bare` how those begin without it; `layer` is the beginning
    of a layer's, `{0}` being its number, or that of its group and `{1}` its number there, of `inner`; `inside` and
    `outside` are the pairs of beginnings (ours, theirs). `modules` are pairs of whole names, of a layer's parts and of
    others: modules whose counterpart is not called as the names of the parameters in them say."""

    base: str
    layer: str
    inside: Pairs
    outside: Pairs
    inner: int = 1
    modules: Pairs = ()
    bare: tuple[str, ...] = ("embeddings.", "encoder.", "pooler.")

    @property
    def layers(self) -> str:
        """Where the layers stand in the module that has the embeddings: `encoder.layer`."""
        return self.layer.partition(".{0}")[0].removeprefix(self.base)

    def theirs(self, name: str) -> str:
        """The stored name of a parameter, or of a module whose name ends in a dot."""
        inside = LAYER.fullmatch(name)
        if inside is None:
            return _changed(name, self.outside)
        group, number = divmod(int(inside[1]), self.inner) if "{1}" in self.layer else (int(inside[1]), 0)
        return self.layer.format(group, number) + _changed(inside[2], self.inside)

    def module(self, name: str) -> str:
        """The module whose output is that of BERT's module `name`."""
        inside, same = LAYER.fullmatch(f"{name}."), dict(self.modules)
        if inside is None:
            return same.get(name) or self.theirs(f"{name}.").removesuffix(".")
        part = inside[2].removesuffix(".")
        if part not in same:
            return self.theirs(f"{name}.").removesuffix(".")
        return f"{self.theirs(name.removesuffix(part))}{same[part]}"

    def ours(self, stored: str) -> str:
        """The canonical name of what a file calls so; what isn't known stays as it is."""
        pattern = re.escape(self.layer).replace(r"\{0\}", r"(\d+)").replace(r"\{1\}", r"(\d+)") + "(.+)"
        inside = re.fullmatch(pattern, stored)
        if inside is None:
            return _changed(stored, tuple((theirs, ours) for ours, theirs in self.outside))
        group, number = int(inside[1]), int(inside[2]) if "{1}" in self.layer else 0
        rest = _changed(inside[inside.lastindex or 0], tuple((theirs, ours) for ours, theirs in self.inside))
        return f"bert.encoder.layer.{group * self.inner + number}.{rest}"


def _changed(name: str, pairs: Pairs) -> str:
    """The name with the first beginning that fits replaced by its partner."""
    for old, new in pairs:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


_TRANSFORM = "cls.predictions.transform."
_BERT = Naming("bert.", "bert.encoder.layer.{0}.", (), ())
_ROBERTA = Naming(
    "roberta.", "roberta.encoder.layer.{0}.", (),
    (
        (_TRANSFORM + "dense.", "lm_head.dense."), (_TRANSFORM + "LayerNorm.", "lm_head.layer_norm."),
        ("cls.predictions.", "lm_head."), ("bert.", "roberta."),
    ),
    modules=(("cls.predictions.transform", "lm_head.layer_norm"),),
)  # fmt: skip
_CLASSIFIER: Pairs = (("bert.pooler.dense.", "classifier.dense."), ("classifier.", "classifier.out_proj."))
"""What RoBERTa's classifier of texts has of its own."""
_DISTILBERT = Naming(
    "distilbert.", "distilbert.transformer.layer.{0}.",
    (
        ("attention.self.query.", "attention.q_lin."), ("attention.self.key.", "attention.k_lin."),
        ("attention.self.value.", "attention.v_lin."), ("attention.output.dense.", "attention.out_lin."),
        ("attention.output.LayerNorm.", "sa_layer_norm."), ("intermediate.dense.", "ffn.lin1."),
        ("output.dense.", "ffn.lin2."), ("output.LayerNorm.", "output_layer_norm."),
    ),
    (
        (_TRANSFORM + "dense.", "vocab_transform."), (_TRANSFORM + "LayerNorm.", "vocab_layer_norm."),
        ("cls.predictions.bias", "vocab_projector.bias"), ("cls.predictions.decoder.", "vocab_projector."),
        ("bert.pooler.dense.", "pre_classifier."), ("bert.", "distilbert."),
    ),
    modules=(
        ("attention.self", "attention"), ("attention", "sa_layer_norm"),
        ("cls.predictions.transform", "vocab_layer_norm"), ("cls.predictions", "vocab_projector"),
    ),
    bare=("embeddings.", "transformer."),
)  # fmt: skip
_ALBERT = Naming(
    "albert.", "albert.encoder.albert_layer_groups.{0}.albert_layers.{1}.",
    (
        *((f"attention.self.{name}.", f"attention.{name}.") for name in ("query", "key", "value")),
        *((f"attention.output.{name}.", f"attention.{name}.") for name in ("dense", "LayerNorm")),
        ("intermediate.dense.", "ffn."), ("output.dense.", "ffn_output."),
        ("output.LayerNorm.", "full_layer_layer_norm."),
    ),
    (
        *((f"{_TRANSFORM}{name}.", f"predictions.{name}.") for name in ("dense", "LayerNorm")),
        ("cls.predictions.", "predictions."), ("cls.seq_relationship.", "sop_classifier.classifier."),
        ("bert.embeddings.projection.", "albert.encoder.embedding_hidden_mapping_in."),
        ("bert.pooler.dense.", "albert.pooler."), ("bert.", "albert."),
    ),
    modules=(
        ("attention.self", "attention"), ("cls.predictions.transform", "predictions.LayerNorm"),
        ("cls.seq_relationship", "sop_classifier"), ("bert.pooler", "albert.pooler_activation"),
    ),
)  # fmt: skip
_NAMINGS = {
    "bert": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA, "camembert": _ROBERTA, "distilbert": _DISTILBERT,
    "albert": _ALBERT,
}  # fmt: skip


def naming_of(model_type: str, heads: Collection[str] = (), inner: int = 1) -> Naming:
    """The names of a variant with these heads. `inner` is the config's `inner_group_num`."""
    naming = replace(_NAMINGS[model_type], inner=inner)
    if naming.base == _ROBERTA.base and "sequence_classification" in heads:
        return replace(naming, outside=(*_CLASSIFIER, *naming.outside))
    return naming


def naming_of_tensors(config: Any, stored: Iterable[str]) -> Naming:
    """The names of a file or a model that holds these tensors; of a model of Hugging Face's the config is the
    library's, and where it names no network that is known, or where there is none, the names are BERT's."""
    kind, inner = getattr(config, "model_type", ""), getattr(config, "inner_group_num", 1)
    classifies = any("classifier.out_proj." in name for name in stored)
    return naming_of(kind if kind in _NAMINGS else "bert", ("sequence_classification",) if classifies else (), inner)


def naming_of_folder(config: Path) -> Naming:
    """The names that a folder's tensors have, by its config.json; BERT's where there is none."""
    return naming_of_config(read_json(config)) if config.is_file() else naming_of("bert")


def naming_of_config(values: Mapping[str, Any]) -> Naming:
    """The names that the class of a config.json gives its tensors."""
    known, classes = architectures(), values.get("architectures") or ()
    heads = {head for name in classes for head in known.get(berts_class(name), ())}
    return naming_of(values.get("model_type", "bert"), heads, values.get("inner_group_num", 1))
