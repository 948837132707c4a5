"""How far answers are from the reference's, where they count."""

import numpy as np

from bertref.verify.graph.axes import AxesOf
from bertref.verify.judgement.reference import reference
from bertref.verify.records import Arrays, Case


def errors(case: Case, values: Arrays) -> dict[str, float]:
    """Name -> relative L2 error on the elements that count; a key bias is measured against the query bias."""
    right, axes = reference(case).values, AxesOf(case)
    found = {}
    for name, value in values.items():
        assert value.shape == right[name].shape, f"{name}: {value.shape}, not {right[name].shape}"
        counts = axes(name)
        like = right[name.replace(".key.bias", ".query.bias")]
        difference = counts.clean(value.astype(np.float64) - right[name])
        size = float(np.linalg.norm(axes(name.replace(".key.bias", ".query.bias")).clean(like)))
        distance = float(np.linalg.norm(difference))
        found[name] = distance / size if distance else 0.0
    return found


def worst(case: Case, values: Arrays) -> float:
    """The largest of `errors`."""
    return max(errors(case, values).values())
