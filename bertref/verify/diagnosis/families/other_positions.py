"""Cross entropies of words at other positions than those of the predictions.

Their logits there are made by the reference from the subject's own last hidden states, on padding, too. The way back
isn't looked into: it begins at logits that weren't asked for.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ....row import TensorRow
from ....topology import last_output
from ...graph.arithmetic import RowArithmetic
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Possibility
from ..scene import Scene
from .cross_entropies import WORDS, loss, surprisals
from .tools import is_way_back

Values = Any
Labels = Callable[[Scene, Values], Values]
"""The labels at all positions, negative where there is none, from those of the batch."""


def _at_all_positions(scene: Scene, row: TensorRow, label: Labels) -> Rewritten | None:
    if "mlm.logits" not in scene.rows or not scene.case.batch.masked_lm_positions.size:
        return None
    case, states = scene.case, last_output(scene.case.config)
    B, S = case.batch.input_ids.shape
    every = np.broadcast_to(np.arange(S, dtype=np.int32), (B, S))
    ones = np.ones((B, S), np.float32)
    batch = replace(case.batch, masked_lm_positions=every, masked_lm_ids=every, masked_lm_weights=ones)
    whole, labels = RowArithmetic(replace(case, batch=batch), scene.params), label(scene, _at_positions(scene))

    def loss(x: Values) -> Values:
        x = scene.raw(states, x)
        for name in ("mlm.dense", "mlm.act", "mlm.transform", "mlm.logits"):
            x = whole.forward(scene.rows[name]).compute(x)
        return surprisals(x, np.maximum(labels, 0))[labels >= 0].mean()

    return Rewritten(Contribution((states,), loss), padding=True)


def _at_positions(scene: Scene) -> Values:
    """The labels of the predictions at their positions, (B, S); -1 elsewhere."""
    batch = scene.case.batch
    labels = np.full(batch.input_ids.shape, -1, np.int64)
    rows, slots = np.nonzero(batch.masked_lm_weights)
    labels[rows, batch.masked_lm_positions[rows, slots]] = batch.masked_lm_ids[rows, slots]
    return labels


def _own_ids(scene: Scene, labels: Values) -> Values:
    return np.where(labels < 0, scene.case.batch.input_ids, labels)


def _ids_of_tokens(scene: Scene, labels: Values) -> Values:
    padding = scene.case.batch.attention_mask == 0
    return np.where(padding, labels, _own_ids(scene, labels))


def _padding_zero(scene: Scene, labels: Values) -> Values:
    return np.where(scene.case.batch.attention_mask == 0, 0, labels)


def _shifted(labels: Values, by: int) -> Values:
    """Those of the position that is so many further on."""
    found = np.full_like(labels, -1)
    found[:, max(-by, 0) : labels.shape[1] - max(by, 0)] = labels[:, max(by, 0) : labels.shape[1] + min(by, 0)]
    return found


def _at_others(scene: Scene, row: TensorRow) -> Iterator[Possibility]:
    yield Possibility("compared with the next position's label, as where the next token is predicted",
                      lambda scene, labels: _shifted(labels, 1))  # fmt: skip
    yield Possibility("compared with the label of the position before", lambda scene, labels: _shifted(labels, -1))
    yield Possibility("compared with its own id where there is no label, but for padding", _ids_of_tokens)
    yield Possibility("compared with id 0 where there is no label",
                      lambda scene, labels: np.maximum(labels, 0))  # fmt: skip


HYPOTHESES = (
    loss("other_positions", WORDS, _at_all_positions,
         lambda told: f"{told.at}: the logits of a position are {told.choice}; only those of predictions are compared, "
                      "with their own labels",
         "give -100 where nothing is predicted, and compare each position with its own label",
         choices=_at_others, way_back=False, hides=is_way_back),
    loss("every_token", WORDS, lambda scene, row, _: _at_all_positions(scene, row, _own_ids),
         "every token is a prediction, padding as well: where there is no label, its own id is one",
         "give -100 where nothing is predicted", way_back=False, hides=is_way_back),
    loss("padding_counted", WORDS, lambda scene, row, _: _at_all_positions(scene, row, _padding_zero),
         "padding counts as a prediction of id 0", "give -100 on padding", way_back=False, hides=is_way_back),
)  # fmt: skip
