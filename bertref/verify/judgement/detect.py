"""In which precision a subject computed, where it doesn't say so.

Numbers betray the format in which they were stored: the low bits of a bfloat16 are 0 whatever type carries it. Only
tf32 stores what float32 stores; it shows in the products, each of which is off by 2**-12 or so of its size even for
its own inputs. The finest precision that the evidence allows is taken, so that an error isn't excused as rounding.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..emulation.formats import FORMATS, narrowest
from ..graph.axes import split
from ..graph.replay import Replay
from ..graph.steps import Graph
from ..records import Case

PRODUCTS = ("query", "key", "value", "attention_output", "ffn_pre", "ffn_output", "pooled_pre", "mlm.dense")
TF32_ERROR = 2.0**-14
"""Between the relative error of float32 products (2**-23) and of tf32 ones (2**-12), near neither: any number between
them tells the two apart."""


def detect(case: Case, answers: Mapping[str, Any]) -> str:
    """One of `records.PRECISIONS`."""
    graph = Graph(case)
    stored, products = [], {}
    for name, values in answers.items():
        prefix, rest = split(name)
        if prefix or rest.startswith("loss.") or name not in graph.steps or not np.size(values):
            continue
        found = narrowest(graph.axes(name).clean(np.asarray(values)).astype(np.float64))
        if rest.endswith(PRODUCTS):
            products[name] = found
        elif not rest.startswith("embeddings.") or rest == "embeddings.norm":
            stored.append(found)
    widest = max((*stored, *products.values()), key=lambda f: f.digits, default=FORMATS["float32"])
    if widest.bits in (16, 64):
        return widest.name
    half = max(products.values(), key=lambda f: f.digits, default=FORMATS["float32"])
    if half.bits == 16:
        return f"mixed-{half.name}"
    return "tf32" if _product_error(graph, answers, list(products)) > TF32_ERROR else "float32"


def _product_error(graph: Graph, answers: Mapping[str, Any], names: list[str]) -> float:
    """The median over products of the relative error that they add; 0 where none can be told from inherited ones."""
    replay = Replay(graph, {name: value for name, value in answers.items() if name in graph.steps})
    errors = []
    for name in names:
        if all(other in answers for other in graph.steps[name].inputs):
            right, found = replay(name), graph.axes(name).clean(replay.input(name))
            size = float(np.linalg.norm(right))
            if size and np.isfinite(found).all():
                errors.append(float(np.linalg.norm(found - right)) / size)
    return float(np.median(errors)) if errors else 0.0
