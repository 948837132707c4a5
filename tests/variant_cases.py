"""Small models of every variant, as transformers makes them: rich weights, ragged batches padded on either side."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers

from bertref.config import BertConfig
from bertref.variants import VARIANTS

Arrays = dict[str, np.ndarray]
SIZES = {
    "vocab_size": 41, "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 40,
    "max_position_embeddings": 19, "type_vocab_size": 2,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "xlm-roberta": {"type_vocab_size": 1, "pad_token_id": 3},
    "camembert": {"type_vocab_size": 1},
    "distilbert": {"pad_token_id": 2},
    "albert": {"embedding_size": 10},
    "albert in groups": {"embedding_size": 10, "num_hidden_groups": 2, "inner_group_num": 2, "hidden_act": "gelu"},
}
"""Settings beside the sizes; the last has eight layers, two groups of two."""
KINDS = ("Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForQuestionAnswering",
         "ForTokenClassification", "ForMultipleChoice")  # fmt: skip
ALIASES = ("xlm-roberta", "camembert")
"""RoBERTa under other names: two classes of each are enough."""
CLASSES = [
    (name, kind)
    for name in OWN
    for kind in KINDS
    if (kind != "ForPreTraining" or name.startswith(("bert", "albert")))
    and (name not in ALIASES or kind in ("ForMaskedLM", "ForSequenceClassification"))
]
"""Every variant with every class that transformers has for it."""


@dataclass(frozen=True)
class Batch:
    """Rows of 15 tokens: one full, one padded on the right, one on the left, one short."""

    ids: np.ndarray
    mask: np.ndarray
    types: np.ndarray

    def for_torch(self, network: Any, choices: int = 0) -> dict[str, Any]:
        """The keywords of a model of transformers'."""
        given = {"input_ids": self.ids, "attention_mask": self.mask, "token_type_ids": self.types}
        if network.config.model_type == "distilbert":
            del given["token_type_ids"]
        shape = (-1, choices, self.ids.shape[1]) if choices else self.ids.shape
        return {name: torch.from_numpy(array.reshape(shape)) for name, array in given.items()}


def made(name: str, kind: str, **settings: Any) -> Any:
    """A model in float64: every gain near 1, every other weight near 0, none at its initial value."""
    variant = VARIANTS[name.split(" ")[0]]
    values = {variant.keys.get(key, key): value for key, value in {**SIZES, **OWN[name], **settings}.items()}
    if "type_vocab_size" in variant.fixed:
        del values["type_vocab_size"]
    config = getattr(transformers, f"{variant.classes}Config")(**values, attn_implementation="eager")
    network = getattr(transformers, variant.classes + kind)(config).double().eval()
    random = np.random.default_rng(len(name) + len(kind))
    with torch.no_grad():
        for own, parameter in network.named_parameters():
            gain = "norm" in own.lower() and own.endswith("weight")
            parameter.copy_(torch.from_numpy(random.normal(float(gain), 0.2, tuple(parameter.shape))))
    return network


@cache
def network_of(name: str, kind: str) -> Any:
    """The model of a class, with three labels where it has any."""
    labels = {"num_labels": 3} if kind in ("ForSequenceClassification", "ForTokenClassification") else {}
    return made(name, kind, **labels)


def batch_for(network: Any, seed: int = 0) -> Batch:
    """Ids of the whole vocabulary, the padding id among real tokens, two segments where there are two."""
    config, random = network.config, np.random.default_rng(seed)
    S = 15
    mask = np.stack([np.ones(S), np.arange(S) < 8, np.arange(S) >= 6, np.arange(S) < 3]).astype(np.int64)
    ids = np.where(mask, random.integers(0, config.vocab_size, mask.shape), config.pad_token_id)
    ids[0, 4] = config.pad_token_id
    two = getattr(config, "type_vocab_size", 0) == 2
    return Batch(ids, mask, ((np.arange(S) > 6) & two) * mask)


def small_variant(name: str, **changes: Any) -> BertConfig:
    """The same network as `made`'s, without transformers and without dropout."""
    variant = VARIANTS[name.split(" ")[0]]
    dropout = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0)
    own = {key: value for key, value in OWN[name].items() if key not in ("layer_norm_eps", "hidden_act")}
    own["num_hidden_layers"] = SIZES["num_hidden_layers"] * own.get("inner_group_num", 1)
    fixed = {key: value for key, value in variant.fixed.items() if key != "layer_norm_eps"}
    groups = {"num_hidden_groups": 1} if name == "albert" else {}
    return BertConfig(**{**SIZES, **dropout, **groups, **own, **fixed, "model_type": variant.model_type, **changes})
