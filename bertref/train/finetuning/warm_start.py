"""A model that has the task's head already: whether its rows are those of the task's labels.

A head is kept where its labels are the task's, put in the task's order. Labels without names (LABEL_0, ...) are taken
as they come. A head for other labels is of no use: it is newly made, as in a model without one.
"""

from dataclasses import replace

import numpy as np

from ...checkpoint import SavedModel
from ...heads import HEADS
from ...tasks.labels import unnamed


def fitted(model: SavedModel, head: str, labels: tuple[str, ...]) -> tuple[SavedModel, str | None]:
    """The model with a head for these labels, or without one; and what became of its own, None if nothing did."""
    record = HEADS[head]
    if head not in model.heads or not record.labelled or not labels or model.labels == labels:
        return model, None
    if len(model.labels) == len(labels) and unnamed(model.labels):
        return model, f"its labels have no names; they are taken as {', '.join(labels)}."
    rows = [name for name, shape in record.parameters.items() if shape[0] == "labels"]
    if set(model.labels) == set(labels):
        order = np.array([model.labels.index(label) for label in labels])
        params = {name: a[order] if name in rows else a for name, a in model.params.items()}
        return replace(model, params=params, labels=labels), f"its labels are put in the order {', '.join(labels)}."
    kept = {name: array for name, array in model.params.items() if name not in record.parameters}
    some = ", ".join(model.labels[:6]) + (", ..." if len(model.labels) > 6 else "")
    return replace(model, params=kept), f"its head is for other labels ({some})."
