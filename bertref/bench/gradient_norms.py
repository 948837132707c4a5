"""The norm of the gradients of each part of a model: what two programs can be compared by, whatever holds them."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 20
"""Numbers that are added up at a time."""


def part_of(name: str) -> str:
    """The part that a parameter belongs to: `layer.3`, `embeddings`, `pooler`, `predictions`, `seq_relationship`,
    `classifier`, `qa_outputs`. The gradient of the last one's bias is 0 but for rounding, so it can't stand alone."""
    words = name.split(".")
    if words[:3] == ["bert", "encoder", "layer"]:
        return f"layer.{words[3]}"
    return words[1] if words[0] in ("bert", "cls") else words[0]


def squares(x: npt.NDArray[Any]) -> float:
    """The sum of squares, added up in float64 without a copy of the whole."""
    flat = np.asarray(x).reshape(-1)
    blocks = (flat[i : i + BLOCK].astype(np.float64) for i in range(0, len(flat), BLOCK))
    return float(sum(np.dot(block, block) for block in blocks))


def grouped_norms(gradients: Iterable[tuple[str, npt.NDArray[Any]]]) -> dict[str, float]:
    """The norm over all gradients of a part, by the part's name."""
    sums: dict[str, float] = {}
    for name, gradient in gradients:
        part = f"gradient of {part_of(name)}"
        sums[part] = sums.get(part, 0.0) + squares(gradient)
    return {part: math.sqrt(total) for part, total in sums.items()}
