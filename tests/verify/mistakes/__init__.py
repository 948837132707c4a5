"""Mistakes that people made in BERT, put into an implementation that is not ours: Hugging Face's model on torch.

Each one names the first tensor that it makes wrong. That name is part of the table, written from the mathematics, and
the verifier has to find it; `python -m tests.verify.mistakes` prints how it fares.
"""

from . import (
    albert,
    attention,
    backward,
    distilbert,
    embeddings,
    feed_forward,
    foreign,
    heads,
    loss,
    optimizer,
    roberta,
    tasks,
)
from .mistake import Mistake

MISTAKES: list[Mistake] = [
    *embeddings.MISTAKES,
    *attention.MISTAKES,
    *feed_forward.MISTAKES,
    *heads.MISTAKES,
    *loss.MISTAKES,
    *backward.MISTAKES,
    *optimizer.MISTAKES,
    *tasks.MISTAKES,
    *foreign.MISTAKES,
]

OF_VARIANTS: list[Mistake] = [*roberta.MISTAKES, *distilbert.MISTAKES, *albert.MISTAKES]
"""Those of other networks than BERT."""

__all__ = ["MISTAKES", "OF_VARIANTS", "Mistake"]
