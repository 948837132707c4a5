"""The vector of a text that files of sentence-transformers give: how it is made says the folder that they lie in."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ....errors import InputError
from ....inference.sentence_transformers.modules import read_recipe
from ....topology import ACTIVATED_BY, MOST_DENSE, SENTENCE_DENSE, UNIT_LENGTH, sentence_rows
from .graph import SAME, ReadGraph, Values

OUTPUT = "sentence_embedding"
LENGTH = SAME | {"ReduceL2", "ReduceSumSquare", "ReduceSum", "Pow", "Mul", "Sqrt", "Add", "Max", "Clip", "Expand",
                 "Reciprocal", "Div", "Unsqueeze"}  # fmt: skip
"""What a length is made with."""


class Embedding(NamedTuple):
    """How the vector is made, as in `topology.rows`; or why that isn't known, in words for the user."""

    steps: tuple[str, ...] = ()
    unknown: str = ""
    layers: Mapping[str, Values] = MappingProxyType({})
    """The weights of its dense layers."""


def embedding_of(graph: ReadGraph, folder: Path) -> Embedding:
    """How a file's vector of a text is made; nothing for a file that has none."""
    if OUTPUT not in graph.outputs:
        return Embedding()
    try:
        recipe = read_recipe(folder)
    except InputError as error:
        return Embedding(unknown=str(error))
    if recipe is None:
        return Embedding(unknown=f"no modules.json in {folder}; name the folder of sentence-transformers with --model")
    twice = len(set(recipe.poolings)) < len(recipe.poolings)
    if recipe.splade or twice or len(recipe.projections) > MOST_DENSE:
        what = "splade" if recipe.splade else "one pooling twice" if twice else f"more than {MOST_DENSE} Dense modules"
        return Embedding(unknown=f"{what} in {folder / 'modules.json'}")
    dense = [f"dense.{one.activation or ACTIVATED_BY[0]}" for one in recipe.projections]
    layers = {
        f"{SENTENCE_DENSE}{number}.{name}": np.asarray(array, np.float32).astype(np.float64)
        for number, one in enumerate(recipe.projections)
        for name, array in (("weight", one.weight), ("bias", one.bias)) if array is not None
    }  # fmt: skip
    steps = (*recipe.poolings, *dense, *((UNIT_LENGTH,) if recipe.normalize else ()))
    return Embedding(steps, layers=layers)


def tensor_of(steps: tuple[str, ...]) -> str:
    """The name of the vector's tensor; "" without steps."""
    return sentence_rows(steps)[-1].name if steps else ""


def pooled(graph: ReadGraph, steps: tuple[str, ...]) -> dict[str, str]:
    """The tensor -> the value that is divided by its own length."""
    if UNIT_LENGTH not in steps:
        return {}
    found = _before_length(graph, graph.back(OUTPUT, SAME))
    return {sentence_rows(steps)[-2].name: found} if found else {}


def _before_length(graph: ReadGraph, name: str) -> str | None:
    made = graph.maker.get(name)
    if made is None:
        return None
    if made.op_type == "LpNormalization":
        return str(made.input[0])
    if made.op_type not in ("Div", "Mul"):
        return None
    first, second = (str(one) for one in made.input)
    ways = [(first, second)] if made.op_type == "Div" else [(first, second), (second, first)]
    return next((value for value, length in ways if _made_of(graph, length, graph.back(value, SAME))), None)


def _made_of(graph: ReadGraph, name: str, value: str) -> bool:
    """Whether a length is that of a value."""
    open_, seen = [name], {name}
    while open_:
        node = graph.maker.get(open_.pop())
        for one in () if node is None or node.op_type not in LENGTH else node.input:
            if graph.back(one, SAME) == value:
                return True
            if one and one not in seen:
                seen.add(one)
                open_.append(one)
    return False
