"""Sizes and options of random cases, for hypothesis."""

import math
from typing import Any

import hypothesis.strategies as st

from bertref.golden.generate.op_inputs import FLOAT32_MIN, INPUTS

# A fully masked row under a finite mask value is absent here: adding the value rounds its scores away, so
# the output no longer moves with them and no slope can be measured (its goldens and edge case remain).
MASKS = [(FLOAT32_MIN, False), (-10000.0, False), (-math.inf, False), (-math.inf, True)]

OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "dense": {"bias": st.booleans()},
    "layer_norm": {"eps": st.sampled_from([1e-12, 1e-5, 0.1])},
    "dropout": {"keep": st.booleans()},
    "cross_entropy": {"weights": st.booleans()},
    "span_cross_entropy": {"weights": st.booleans()},
    "attention": {"keep": st.booleans(), "scale_query": st.booleans()},
    "bias_activation": {"activation": st.sampled_from(["gelu_erf", "gelu_tanh", "relu", "tanh"])},
    "dropout_add_norm": {"keep": st.booleans(), "eps": st.sampled_from([1e-12, 1e-5, 0.1])},
}


@st.composite
def options(draw: st.DrawFn, op: str) -> dict[str, Any]:
    """Arguments of the op's sampler beside the sizes."""
    drawn = {name: draw(strategy) for name, strategy in OPTIONS.get(op, {}).items()}
    if op == "attention":
        drawn["mask_value"], drawn["fully_masked"] = draw(st.sampled_from(MASKS))
    return drawn


# Rows of length 1 (in a norm their results are 0 and beta) are left to a golden and an edge case: torch rounds their
# mean, and 1/sqrt(epsilon) makes that visible. The cosine of two numbers is 1 or -1, with rounding for a gradient.
SMALLEST = {("layer_norm", "H"): 2, ("dropout_add_norm", "H"): 2, ("cosine", "H"): 2}


@st.composite
def sizes(draw: st.DrawFn, op: str) -> dict[str, int]:
    """A size for every letter: 0 where the op allows it, 1 nearly everywhere."""
    known = INPUTS[op]
    smallest = {letter: SMALLEST.get((op, letter), int(letter not in known.may_be_empty)) for letter in known.sizes}
    return {letter: draw(st.integers(least, 6)) for letter, least in smallest.items()}
