"""Padded positions that take part, because somebody's real tokens attend to them.

Nothing is asked of padding as long as the mask keeps it out. Where a subject ignores the mask, its padded positions
make values of real ones, and have gradients: then they are as much an input of its next steps as the real ones are.
Used so, an ignored mask is one mistake, where the probabilities are made; what follows is right for its inputs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..records import Case
from .axes import AxesOf, Bools

Values = Any


class Used:
    """What of recorded answers other steps start from: what counts, and what `attended` positions hold. There is None
    of these (`attended` is None) unless recorded probabilities give padded keys a share; or all, if `everything` on
    padding is known to take part. With `slots`, unused slots of predictions take part, too."""

    def __init__(
        self, case: Case, recorded: Mapping[str, Values], *, everything: bool = False, slots: bool = False
    ) -> None:
        padded = ~case.batch.attention_mask.astype(bool)
        slots = slots and not case.batch.masked_lm_weights.all()
        self.attended = padded if everything and padded.any() else attended_padding(case, recorded)
        if slots and self.attended is None:
            self.attended = np.zeros_like(padded)
        if self.attended is not None:
            self._axes = AxesOf(case, case.batch.attention_mask.astype(bool) | self.attended, slots=slots)

    def clean(self, name: str, value: Values, counted: Values) -> Values:
        """The value of an answer with 0 where nobody looks; `counted` is the same with 0 outside of what counts.
        Garbage on padding that isn't even a number is none of the subject's inputs."""
        if self.attended is None:
            return counted
        return np.where(np.isfinite(value), self._axes(name).clean(value), counted)


def attended_padding(case: Case, recorded: Mapping[str, Values]) -> Bools | None:
    """(B, S) the padded positions to which some recorded probabilities of real queries aren't 0; None: there are none.
    In fused attention, whose probabilities can't be seen, none are known."""
    tokens = case.batch.attention_mask.astype(bool)
    seen = np.zeros(tokens.shape, bool)
    if tokens.all():
        return None
    for i in range(case.config.num_hidden_layers):
        name = f"layer.{i}.probs"
        if name in recorded:
            given = (np.asarray(recorded[name]) != 0) & tokens[:, None, :, None]
            seen |= given.any(axis=(1, 2)) & ~tokens
    return seen if seen.any() else None
