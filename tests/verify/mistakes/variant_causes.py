"""Which causes the mistakes in RoBERTa, DistilBERT and ALBERT are; the ids are those of `causes` and some of their own.

Written down, as in `causes`, before any of them could be named.
"""

FAMILIES = {"sharing": "layers that share their parameters"}
"""What an id begins with, beside those of `causes`."""

IDS = {
    "embeddings.positions_over_padding": "positions are counted over padding, which has none",
    "embeddings.table_of_zeros": "the rows of a table are 0",
    "embeddings.types_added": "token types are added where there are none",
    "activation.tanh": "tanh",
    "activation.erf_gelu": "the exact GELU, for its approximation by tanh",
    "dense.missing": "there is no dense layer",
    "pooler.missing": "the head reads the first token as it is",
    "norm.other_weights": "gamma and beta of another norm",
    "sharing.not_shared": "a layer has parameters of its own, where it should share",
    "sharing.other_layer": "a layer is computed with the parameters of another one",
    "sharing.gradient": "the gradient of a shared parameter lacks that of a layer",
    "sharing.stepped_in_each_layer": "shared parameters are updated once a layer",
    "sharing.averaged": "the gradient of a shared parameter is a mean over the layers",
    "optimizer.untied": "the two uses of a tied table are updated apart",
}
"""What an id says, of those that no mistake in BERT has."""

ACCEPTED: dict[str, tuple[str, ...]] = {
    "roberta-positions-from-0": ("embeddings.positions_offset",),
    "roberta-positions-offset-1": ("embeddings.positions_offset",),
    "roberta-positions-over-padding": ("embeddings.positions_over_padding",),
    "roberta-mask-by-padding-id-of-bert": ("attention.mask_missing",),
    "roberta-token-type-not-added": ("embeddings.types_missing",),
    "roberta-token-type-of-zeros": ("embeddings.table_of_zeros",),
    "roberta-epsilon-of-bert": ("norm.epsilon",),
    "roberta-classifier-tanh-missing": ("activation.missing",),
    "roberta-classifier-relu": ("activation.relu",),
    "roberta-classifier-reads-last-token": ("pooler.token",),
    "roberta-classifier-reads-mean": ("pooler.mean",),
    "roberta-classifier-without-dense": ("pooler.missing",),
    "roberta-lm-gelu-missing": ("activation.missing",),
    "roberta-lm-norm-missing": ("norm.missing",),
    "roberta-lm-bias-missing": ("dense.no_bias",),
    "roberta-lm-bias-twice": ("dense.bias_twice",),
    "roberta-decoder-untied": ("optimizer.untied",),
    "distilbert-token-types-added": ("embeddings.types_added",),
    "distilbert-positions-of-roberta": ("embeddings.positions_offset",),
    "distilbert-positions-sinusoidal": ("embeddings.positions_sinusoidal",),
    "distilbert-epsilon-of-torch": ("norm.epsilon",),
    "distilbert-scale-by-width": ("attention.scale",),
    "distilbert-classifier-relu-missing": ("activation.missing",),
    "distilbert-classifier-tanh": ("activation.tanh",),
    "distilbert-classifier-without-dense": ("pooler.missing",),
    "distilbert-mlm-activation-missing": ("activation.missing",),
    "albert-projection-missing": ("dense.missing",),
    "albert-projection-transposed": ("dense.transposed",),
    "albert-projection-bias-missing": ("dense.no_bias",),
    "albert-layers-not-shared": ("sharing.not_shared",),
    "albert-groups-in-turn": ("sharing.other_layer",),
    "albert-gradient-of-first-layer": ("sharing.gradient",),
    "albert-gradient-of-last-layer": ("sharing.gradient",),
    "albert-gradient-averaged": ("sharing.averaged",),
    "albert-stepped-in-each-layer": ("sharing.stepped_in_each_layer",),
    "albert-exact-gelu": ("activation.erf_gelu",),
    "albert-norms-exchanged": ("norm.other_weights",),
    "albert-pooler-tanh-missing": ("activation.missing",),
    "albert-order-inverted": ("loss.labels_inverted",),
    "albert-decoder-untied": ("optimizer.untied",),
}
"""Mistake -> the causes that are right to name."""
