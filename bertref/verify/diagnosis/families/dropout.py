"""Dropout that is on where a model is asked: each element is either 0 or 1 / (1 - p) times what it was, by chance, in
what was recorded or in what the next step reads.

Which of the two it is can be told from what the subject recorded; p is the same everywhere. What the probabilities of
attention lost can't be told, nor what gradients did. Where nothing is 0, something is multiplied by a number, and not
dropped out. Dropout of the first form is nothing by chance when it is off: a factor of 1 - p.
"""

from itertools import product
from typing import Any

import numpy as np

from ....row import TensorRow
from ....topology import layer_input
from ...graph.contribution import Contribution
from ...graph.steps import Rewritten
from ..hypothesis import Hypothesis, Number, Told, named, row_by_row
from ..scene import BACK, STEP, Scene

Values = Any
PROJECTIONS = ("layer.0.query", "layer.0.key", "layer.0.value")
"""They read the embeddings, which are dropped out after their norm."""


READERS = ("nsp.logits", "classifier.logits")
"""Dense rows before which what was pooled is dropped out."""


RECORDED = named("embeddings.norm", "probs", "attention_output", "ffn_act", "ffn_output")
"""What is dropped out, as it is called where it is recorded after that."""


def _applies(row: TensorRow) -> bool:
    return row.name in PROJECTIONS or (row.op == "residual" and row.name.startswith("layer.")) or RECORDED(row)


def _dropped(scene: Scene, row: TensorRow, p: float) -> Rewritten | None:
    seen = scene.values.get(row.name)
    if seen is None or any(name not in scene.values for name in row.inputs):
        return None
    seen, factor = np.asarray(seen, np.float64), 1 / (1 - p)
    if scene.precision != "float64":
        factor = float(np.float32(factor))
    if RECORDED(row):
        return _itself(scene, row, seen, factor)
    return _sum(scene, row, seen, factor) if row.op == "residual" else _dense(scene, row, seen, factor)


def _if_lost(scene: Scene, row: TensorRow, made: Values, lost: Values, of: Values) -> Values:
    """What is made, if some elements are lost of those that are larger than the mean; smaller ones may be 0 by
    rounding. Else no numbers."""
    large = np.abs(of) > np.abs(of).mean()
    counted = scene.replay.graph.axes(row.name).clean(np.where(lost & large, 1.0, 0.0))
    return made if counted.any() else np.full_like(made, np.nan)


def _itself(scene: Scene, row: TensorRow, seen: Values, factor: float) -> Rewritten:
    made = scene.forward(row)

    def compute(*inputs: Values) -> Values:
        kept = factor * made.compute(*inputs)
        lost = np.abs(seen - kept) >= np.abs(seen)
        return _if_lost(scene, row, np.where(lost, 0.0, kept), lost, kept)

    return Rewritten(Contribution(row.inputs, compute))


def _sum(scene: Scene, row: TensorRow, seen: Values, factor: float) -> Rewritten:
    """A branch, dropped out, and the stream; the embeddings in the stream are dropped out, too."""
    kept, whole = (0.0, factor), (1.0,)
    factors = list(product(kept, kept if row.inputs[1] == layer_input(0) else whole))

    def nearest(branch: Values, stream: Values) -> Values:
        ways = np.stack([a * branch + b * stream for a, b in factors])
        way = np.abs(ways - seen).argmin(axis=0)
        made, lost = np.take_along_axis(ways, way[None], axis=0)[0], np.array([0.0 in both for both in factors])[way]
        return _if_lost(scene, row, made, lost, branch)

    return Rewritten(Contribution(row.inputs, nearest))


def _dense(scene: Scene, row: TensorRow, seen: Values, factor: float) -> Rewritten:
    """What the layer read, from what it made of it: its matrix is square."""
    weight, bias = (scene.params[name] for name, _ in row.parameters)
    read = np.linalg.solve(weight, (seen - bias)[..., None])[..., 0]

    def compute(x: Values) -> Values:
        kept = np.abs(read) > np.abs(x) / 2
        return _if_lost(scene, row, np.where(kept, x * factor, 0.0) @ weight.T + bias, ~kept, x)

    return Rewritten(Contribution(row.inputs, compute))


def _kept(scene: Scene, row: TensorRow, share: float) -> Rewritten:
    """The row times a number; of a classifier, what it reads."""
    made, factor = scene.forward(row), share if scene.precision == "float64" else float(np.float32(share))
    if row.name in READERS:
        return Rewritten(Contribution(row.inputs, lambda x: made.compute(factor * x)))
    return Rewritten(Contribution(row.inputs, lambda *inputs: factor * made.compute(*inputs)))


def _dropped_out(told: Told) -> str:
    return f"what {told.at} reads" if set(told.names) <= set(READERS) else told.at


def _hides(row: TensorRow) -> bool:
    return row.op == "context" or row.name.startswith("classifier") or row.name.startswith(BACK) or row is STEP


HYPOTHESES = (
    Hypothesis(
        "dropout.on", _applies, _dropped,
        lambda told: f"dropout is on, with p = {told.number}; it is for training",
        {"torch": "model.eval(), which every new model and every load needs",
         "JAX": "deterministic=True, train=False", "NumPy": "the mask of random numbers",
         "C": "the mask of random numbers"},
        "switch dropout off before the model is asked", way_back=False, hides=_hides,
        number=Number("p", 1e-3, 0.9, lambda scene: {"0.1": 0.1, "0.2": 0.2, "0.5": 0.5}),
    ),
    Hypothesis(
        "dropout.off_by_factor",
        named("embeddings.norm", "probs", "attention_output", "ffn_act", "ffn_output", *READERS), _kept,
        lambda told: f"{_dropped_out(told)}: multiplied by {told.number}; nothing is (dropout of its first form, which "
                     "doesn't divide in training, multiplies by 1 - p when it is off)",
        {"torch": "a Dropout of one's own", "JAX": "a dropout of one's own", "NumPy": "x * (1 - p) without the mask",
         "C": "x * (1 - p) without the mask"},
        "leave the factor out; dropout divides what is kept by 1 - p in training", together=row_by_row,
        number=Number("1 - p", 0.05, 0.9995, lambda scene: {"0.9": 0.9, "0.8": 0.8, "0.5": 0.5},
                      right=lambda scene: (1.0,), own=lambda scene: 1.0),
    ),
)  # fmt: skip
