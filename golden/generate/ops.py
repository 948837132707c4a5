"""The goldens of the ops: which cases there are, and how exactly an implementation can be held to them.

Every case is computed by mpmath at 60 digits (`op_exact`), and must agree with torch's autograd (`op_torch`)
before it is written. A case's inputs have the significant bits of its `precision`: "float32" (24), so that
float32 and float64 start from the same numbers; "bfloat16" (8), so that half precisions do too; "float64"
(53), where anything that passes through a narrower type shows.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import common, op_exact, op_torch
from .op_inputs import INPUTS, OpCase, Sampler, masked_rows

BITS = {"bfloat16": 8, "float32": 24, "float64": 53}
USABLE = {
    "bfloat16": ["float64", "float32", "float16", "bfloat16"],
    "float32": ["float64", "float32"],
    "float64": ["float64"],
}
"""In which dtypes a case of that precision can be tried."""


@dataclass(frozen=True)
class OpPlan:
    """One case to be made: what the sampler gets, and what happens to what it draws.

    `amplification` multiplies the tolerance, because the case amplifies rounding, as `why` says.
    """

    arguments: dict[str, Any]
    precision: str = "float32"
    shift: float = 0.0
    amplification: float = 1.0
    why: str = ""
    sampler: Sampler | None = None


MEAN = "x lies far from 0: the rounding of its mean, which is subtracted, weighs this much more"
ABSORBED = "the mask value is added to every score of the masked row, which keep only what digits are left"


def basic(op: str, odd: tuple[int, ...], single: tuple[int, ...]) -> dict[str, OpPlan]:
    """The cases that every op has: odd sizes, a size of 1, all bits of float64, few bits."""
    sizes = dict(zip(INPUTS[op].sizes, odd, strict=True))
    return {
        "odd": OpPlan(sizes),
        "single": OpPlan(dict(zip(INPUTS[op].sizes, single, strict=True))),
        "all_bits": OpPlan(sizes, precision="float64"),
        "few_bits": OpPlan(sizes, precision="bfloat16"),
    }


def elementwise(op: str, **large: float) -> dict[str, OpPlan]:
    return {**basic(op, (5, 7), (1, 1)), "large": OpPlan({"B": 4, "H": 9, **large})}


PLANS: dict[str, dict[str, OpPlan]] = {
    "dense": {
        **basic("dense", (2, 3, 5, 7), (2, 3, 1, 4)),
        "no_bias": OpPlan({"B": 2, "S": 3, "I": 4, "O": 5, "bias": False}),
    },
    "embedding": {**basic("embedding", (7, 19, 5), (1, 6, 3)), "rare": OpPlan({"V": 23, "N": 3, "H": 4})},
    "layer_norm": {
        **basic("layer_norm", (2, 3, 13), (2, 3, 1)),
        "offset": OpPlan({"B": 2, "S": 2, "H": 8}, shift=1000.0, amplification=1000.0, why=MEAN),
        "large_epsilon": OpPlan({"B": 2, "S": 2, "H": 8, "eps": 0.25}),
        "wide": OpPlan({"B": 1, "S": 2, "H": 48}),
    },
    **{op: elementwise(op, spread=12.0) for op in ("gelu_erf", "gelu_tanh", "tanh")},
    "relu": elementwise("relu"),
    "softmax": {
        **basic("softmax", (5, 7), (4, 1)),
        "masked": OpPlan({"B": 4, "N": 6}, sampler=masked_rows),
        "offset": OpPlan({"B": 3, "N": 6}, shift=1000.0),
    },
    "log_softmax": {
        **basic("log_softmax", (5, 7), (4, 1)),
        "offset": OpPlan({"B": 3, "N": 6}, shift=1000.0),
    },
    "dropout": {
        **basic("dropout", (2, 3, 7), (3, 2, 1)),
        "none": OpPlan({"B": 2, "S": 2, "H": 3, "keep": False}),
    },
    "add": basic("add", (3, 7), (4, 1)),
    "gather": basic("gather", (9, 12, 5), (1, 5, 3)),
    "pack": basic("pack", (4, 5, 3), (3, 1, 4)),
    "unpack": basic("unpack", (4, 5, 3), (3, 1, 4)),
    "cross_entropy": {
        **basic("cross_entropy", (9, 7), (6, 1)),
        "unweighted": OpPlan({"N": 5, "C": 2, "weights": False}),
        "offset": OpPlan({"N": 7, "C": 4}, shift=1000.0),
    },
    "span_cross_entropy": {
        **basic("span_cross_entropy", (5, 7), (4, 1)),
        "unweighted": OpPlan({"B": 3, "S": 5, "weights": False}),
    },
    "squared_error": basic("squared_error", (7,), (1,)),
    "binary_cross_entropy": {
        **basic("binary_cross_entropy", (5, 7), (4, 1)),
        "large": OpPlan({"N": 4, "C": 3, "spread": 12.0}),
    },
    "soft_cross_entropy": {
        **basic("soft_cross_entropy", (5, 7), (4, 1)),
        "offset": OpPlan({"N": 4, "C": 4}, shift=1000.0),
    },
    "kl_divergence": {
        **basic("kl_divergence", (5, 7), (4, 1)),
        "cold": OpPlan({"N": 4, "C": 4, "temperature": 0.5}),
        "hot": OpPlan({"N": 4, "C": 4, "temperature": 8.0, "spread": 8.0}),
    },
    "cosine": {
        **basic("cosine", (5, 7), (1, 3)),
        "large_epsilon": OpPlan({"N": 4, "H": 4, "eps": 0.25}),
    },
    "attention": {
        **basic("attention", (3, 5, 2, 3), (3, 1, 2, 3)),
        "no_dropout": OpPlan({"B": 3, "S": 5, "A": 2, "D": 3, "keep": False}),
        "scale_query": OpPlan({"B": 2, "S": 4, "A": 2, "D": 4, "scale_query": True, "mask_value": -10000.0}),
        "removed": OpPlan({"B": 3, "S": 4, "A": 2, "D": 3, "mask_value": -math.inf, "fully_masked": True}),
        "fully_masked": OpPlan(
            {"B": 2, "S": 4, "A": 2, "D": 3, "mask_value": -10000.0, "fully_masked": True},
            amplification=1000.0,
            why=ABSORBED,
        ),
    },
    "bias_activation": {
        **basic("bias_activation", (2, 3, 7), (2, 3, 1)),
        **{name: OpPlan({"B": 2, "S": 3, "I": 5, "activation": name}) for name in ("gelu_tanh", "relu", "tanh")},
    },
    "dropout_add_norm": {
        **basic("dropout_add_norm", (2, 3, 9), (2, 3, 1)),
        "no_dropout": OpPlan({"B": 2, "S": 3, "H": 8, "keep": False}),
    },
    "decoder_cross_entropy": basic("decoder_cross_entropy", (7, 11, 5), (5, 1, 3)),
}

COPIES = ("add", "dropout", "embedding", "gather", "pack", "relu", "squared_error", "unpack")
COMPOSITIONS = ("layer_norm", "attention", "bias_activation", "dropout_add_norm", "decoder_cross_entropy")
UNITS = {
    **dict.fromkeys(
        PLANS, (16, "sums of at most 16 products; exp, erf, tanh good to a few units, used up to three times")
    ),
    **dict.fromkeys(COPIES, (8, "copies, and sums of at most 16 terms")),
    **dict.fromkeys(COMPOSITIONS, (32, "several reductions and divisions in a row, each good to a few units")),
}
"""How many units in the last place of an array's largest element an implementation may be off, and why."""


def tolerances(op: str) -> common.Tolerances:
    count, reason = UNITS[op]
    eps = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
    half = "inner values are rounded to the dtype, sums are not: a few of its units"
    limits = {dtype: (count * eps[dtype], f"{count} units of {dtype}: {reason}") for dtype in ("float64", "float32")}
    return {
        **limits,
        **{dtype: (4 * eps[dtype], f"4 units of {dtype}: {half}") for dtype in ("bfloat16", "float16")},
    }


def draw(op: str, case: str) -> tuple[OpCase, Any]:
    """The inputs of a case, and the generator they came from."""
    wanted = PLANS[op][case]
    rng = np.random.default_rng(zlib.crc32(f"{op}/{case}".encode()))
    sampled = (wanted.sampler or INPUTS[op].sampler)(rng, **wanted.arguments)
    inputs = {}
    for name, array in sampled.inputs.items():
        shifted = array + wanted.shift if name in ("x", "logits") else array
        inputs[name] = shorten(shifted, BITS[wanted.precision])
    return OpCase(inputs, sampled.options), rng


def shorten(array: Any, bits: int) -> Any:
    """The array with that many significant bits; integers, booleans and None as they are."""
    if array is None or array.dtype.kind != "f":
        return array
    significand, exponent = np.frexp(array)
    return np.ldexp(np.round(np.ldexp(significand, bits)), exponent - bits)


def solve(op: str, case: str) -> dict[str, Any]:
    """The arrays of a case: inputs, upstream gradient, output and gradients.

    Raises `ArithmeticError` where mpmath and torch disagree.
    """
    drawn, rng = draw(op, case)
    shape = op_torch.output(op, drawn.inputs, drawn.options).shape
    upstream = shorten(np.asarray(rng.normal(size=shape)), BITS[PLANS[op][case].precision])
    problem = (op, drawn.inputs, drawn.options, INPUTS[op].differentiable, upstream)
    y, gradients = op_exact.solve(*problem)
    other_y, other_gradients = op_torch.solve(*problem)
    for name, array, other in [
        ("output", y, other_y),
        *((n, g, other_gradients[n]) for n, g in gradients.items()),
    ]:
        limit = 1e-12 * PLANS[op][case].amplification * np.max(np.abs(array))
        if not np.max(np.abs(array - other)) <= limit:
            raise ArithmeticError(f"{op}, {case}, {name}: mpmath and torch disagree")
    return {
        **{f"{case}/input/{name}": array for name, array in drawn.inputs.items() if array is not None},
        f"{case}/upstream": upstream,
        f"{case}/output": y,
        **{f"{case}/gradient/{name}": gradient for name, gradient in gradients.items()},
    }


def describe(op: str, case: str) -> dict[str, Any]:
    """What the arrays of a case don't say. Options that JSON has no number for are text: "-inf"."""
    wanted = PLANS[op][case]
    drawn, _ = draw(op, case)
    options = {name: str(value) if value == -math.inf else value for name, value in drawn.options.items()}
    return {
        "options": options,
        "absent": [name for name, array in drawn.inputs.items() if array is None],
        "dtypes": USABLE[wanted.precision],
        "amplification": wanted.amplification,
        "why": wanted.why,
    }


def content(op: str) -> bytes:
    """The file of an op's golden."""
    arrays = {name: array for case in PLANS[op] for name, array in solve(op, case).items()}
    return common.to_bytes(arrays, {"op": op, "cases": {case: describe(op, case) for case in PLANS[op]}})


def generate(op: str) -> None:
    """Makes the golden of an op."""
    common.write(
        f"ops/{op}",
        content(op),
        oracle="definitions at 60 digits and central differences with a step of 1e-20, rounded once; "
        "torch's autograd in float64 agrees to 1e-12",
        libraries=("mpmath", "torch", "numpy"),
        tolerances=tolerances(op),
    )
