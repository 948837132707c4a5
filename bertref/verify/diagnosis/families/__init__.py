"""The hypotheses, one file a family."""

from ..hypothesis import Hypothesis
from . import (
    activations,
    attention,
    backward,
    cross_entropies,
    dense,
    dropout,
    embeddings,
    heads,
    int8,
    int8_between,
    loss_gradients,
    losses,
    norms,
    optimizer,
    other_positions,
    pooler,
    residuals,
    sharing,
    softmax,
    weights,
)

HYPOTHESES: tuple[Hypothesis, ...] = (
    *embeddings.HYPOTHESES,
    *norms.HYPOTHESES,
    *dense.HYPOTHESES,
    *weights.HYPOTHESES,
    *heads.HYPOTHESES,
    *attention.HYPOTHESES,
    *softmax.HYPOTHESES,
    *activations.HYPOTHESES,
    *residuals.HYPOTHESES,
    *pooler.HYPOTHESES,
    *dropout.HYPOTHESES,
    *cross_entropies.HYPOTHESES,
    *other_positions.HYPOTHESES,
    *losses.HYPOTHESES,
    *backward.HYPOTHESES,
    *loss_gradients.HYPOTHESES,
    *optimizer.HYPOTHESES,
    *sharing.HYPOTHESES,
    *int8.HYPOTHESES,
    *int8_between.HYPOTHESES,
)
"""In the order in which they are tried; of those that explain the same, the order chooses none."""
