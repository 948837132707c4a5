"""The variants of the network, as rows of settings: what each calls its settings, and which of them it fixes.

    BERT         Devlin et al. 2019
    RoBERTa      Liu et al. 2019: positions counted from the padding id on, no next sentences; XLM-R (Conneau et al.
                 2020) and CamemBERT (Martin et al. 2020) are the same network under names of their own
    DistilBERT   Sanh et al. 2019: no token types and no pooler, and so a dense layer with relu below its classifiers
    ALBERT       Lan et al. 2020: narrow embeddings and a projection, layers that share their parameters

The layers read these settings, never a variant's name. What tensors are called in files is `checkpoint.naming`'s.

Source: transformers, `modeling_roberta.py`, `modeling_distilbert.py`, `modeling_albert.py` and their configurations.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

CLASSIFIERS = ("sequence_classification", "multiple_choice", "token_classification")
CLASSIFIER_DROPOUT = dict.fromkeys(CLASSIFIERS, "classifier_dropout")


@dataclass(frozen=True)
class Variant:
    """One network.

    model_type      in Hugging Face's config.json
    title           as its authors write it
    classes         how the names of Hugging Face's classes begin
    keys            setting of `BertConfig` -> key of config.json, where that is called otherwise
    own             settings that BERT hasn't got
    fixed           settings, and those of the dialect, that it has no key for, and their values
    defaults        Hugging Face's, by setting, where they are not BERT's
    published       settings of the published models, where they are not those
    lacks           heads that it has no class for
    counts_tokens   a token's position is its number among those that are not the padding id, from padding id + 1 on,
                    and padding has the position `pad_token_id`; else it is the token's column
    gelu_alone      the masked-word head has gelu (with erf), whatever the config says, so other activations are refused
    pairs_tell      what its head of sentence pairs tells: whether the second "is_next", or both stand "in_order"
    pooled_by       the activation of the pooler, or of the dense layer that a variant without a pooler has in its place
    pooler_dropout  heads in front of whose pooler is dropout as well
    undropped       branches of a layer ("attention", "feed_forward") without dropout before their residual
    numerics        what its publication says of the dialect, by setting of `Numerics`
    head_dropout    head -> the setting that is its rate of dropout; a head that is missing drops nothing
    """

    model_type: str
    title: str
    classes: str
    keys: Mapping[str, str] = field(default_factory=dict)
    own: Collection[str] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)
    lacks: Collection[str] = ()
    counts_tokens: bool = False
    gelu_alone: bool = False
    pairs_tell: str = "is_next"
    pooled_by: str = "tanh"
    pooler_dropout: Collection[str] = ()
    undropped: Collection[str] = ()
    numerics: Mapping[str, Any] = field(default_factory=dict)
    head_dropout: Mapping[str, str] = field(default_factory=lambda: CLASSIFIER_DROPOUT)

    @property
    def settings(self) -> dict[str, Any]:
        """What its published models have in common, by fields of `BertConfig`."""
        known = {**self.defaults, **self.fixed, **self.published, "model_type": self.model_type}
        return {name: value for name, value in known.items() if name not in ("hidden_act", "layer_norm_eps")}


BERT = Variant("bert", "BERT", "Bert")
ROBERTA = Variant(
    "roberta", "RoBERTa", "Roberta",
    defaults={"vocab_size": 50265, "pad_token_id": 1},
    published={"max_position_embeddings": 514, "type_vocab_size": 1},
    lacks=("next_sentence",),
    counts_tokens=True,
    gelu_alone=True,
    pooler_dropout=("sequence_classification",),
    numerics={"layer_norm_eps": 1e-5},
    head_dropout=CLASSIFIER_DROPOUT | {"multiple_choice": "hidden_dropout_prob"},
)  # fmt: skip
XLM_ROBERTA = replace(
    ROBERTA, model_type="xlm-roberta", title="XLM-R", classes="XLMRoberta",
    published={**ROBERTA.published, "vocab_size": 250002},
)  # fmt: skip
CAMEMBERT = replace(
    ROBERTA, model_type="camembert", title="CamemBERT", classes="Camembert",
    published={**ROBERTA.published, "vocab_size": 32005},
)  # fmt: skip
DISTILBERT = Variant(
    "distilbert", "DistilBERT", "DistilBert",
    keys={
        "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim", "hidden_act": "activation", "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout", "classifier_dropout": "seq_classif_dropout",
    },
    own=("qa_dropout",),
    fixed={"type_vocab_size": 0, "layer_norm_eps": 1e-12},
    defaults={"num_hidden_layers": 6, "classifier_dropout": 0.2, "qa_dropout": 0.1},
    lacks=("next_sentence",),
    pooled_by="relu",
    undropped=("attention",),
    head_dropout={
        "sequence_classification": "classifier_dropout", "multiple_choice": "classifier_dropout",
        "token_classification": "hidden_dropout_prob", "question_answering": "qa_dropout",
    },
)  # fmt: skip
ALBERT = Variant(
    "albert", "ALBERT", "Albert",
    keys={"classifier_dropout": "classifier_dropout_prob"},
    own=("embedding_size", "num_hidden_groups", "inner_group_num"),
    defaults={
        "vocab_size": 30000, "embedding_size": 128, "hidden_size": 4096, "num_attention_heads": 64,
        "intermediate_size": 16384, "hidden_act": "gelu_new", "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.1, "num_hidden_groups": 1,
    },
    pairs_tell="in_order",
    undropped=("feed_forward",),
    numerics={"gelu": "tanh"},
    head_dropout=CLASSIFIER_DROPOUT | {"next_sentence": "classifier_dropout"},
)  # fmt: skip

VARIANTS = {
    variant.model_type: variant for variant in (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, ALBERT)
}
"""Hugging Face's `model_type` -> variant."""
OWN = frozenset(name for variant in VARIANTS.values() for name in variant.own)
"""Settings that BERT hasn't got."""

REFUSED = {
    "deberta": "its attention scores have terms of relative positions",
    "deberta-v2": "its attention scores have terms of relative positions",
    "electra": "its discriminator judges every token, and its other heads have layers of their own",
    "modernbert": "it has rotary positions, gated feed-forward layers and norms before them",
    "mpnet": "its attention scores have terms of relative positions",
    "nomic_bert": "it has rotary positions and gated feed-forward layers",
    "roberta-prelayernorm": "its norms stand before the branches of a layer",
    "xlm-roberta-xl": "its norms stand before the branches of a layer",
    "gpt2": "it is a decoder, each of whose tokens sees those before it alone",
    "t5": "it is an encoder with a decoder, and its positions are relative",
    "bart": "it is an encoder with a decoder",
}
"""`model_type` -> why it is not computed here."""
