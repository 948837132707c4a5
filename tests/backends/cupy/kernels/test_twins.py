"""Wrong twins of the CUDA files are rejected: a barrier left out, an edge off by one, a term forgotten."""

import ctypes
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from bertref.backends.cupy.kernels import sources
from bertref.ops.op import Kernel

from ....ops import checks
from ....ops.edges import EDGES
from . import on_cpu
from .pairs import XP, as_op, check, many, small, wide
from .pairs import on_cpu as kernels_on_cpu


class Twin(NamedTuple):
    """`old` becomes `new`, once or everywhere, in the text of a file; `op` is the kernel that shows it."""

    file: str
    op: str
    old: str
    new: str


BARRIER = "    __syncthreads();\n"
QUICK = [
    Twin("norm", "layer_norm", "    __syncthreads();\n#pragma", "#pragma"),
    Twin("norm", "dropout_add_norm", "dbeta[i] += above[k];", "dbeta[i] += g[i];"),
    Twin("column_sum", "bias_activation", BARRIER, ""),
    Twin("gelu", "bias_activation", "(column >= width) return", "(column > width) return"),
    Twin("bias", "dense", "load<V>(bias, column)", "load<V>(bias, 0)"),
    Twin("softmax", "attention", "row >= rows || ", ""),
    Twin("cross_entropy", "decoder_cross_entropy", "label ? -others", "label ? others"),
    Twin("rows", "embedding", "lane < blockDim.y; ", "lane < blockDim.y - 1; "),
]
SLOW = [
    Twin("norm", "layer_norm", "    __syncthreads();  // what an earlier call left has been read\n", ""),
    Twin("norm", "layer_norm", "if (column_of<V>(group) >= width) continue;\n", ""),
    Twin("norm", "layer_norm", "sums[1] / width", "sums[1] / (width + 1)"),
    Twin("norm", "dropout_add_norm", "kept.at[k] ? x[k] * scale", "kept.at[k] ? x[k]"),
    Twin("norm", "dropout_add_norm", "(2 * blockIdx.x + 1) * width", "2 * blockIdx.x * width"),
    Twin("norm", "dropout_add_norm", "(blockIdx.x + 1) / gridDim.x", "(blockIdx.x + 1) / gridDim.x - 1"),
    Twin("column_sum", "bias_activation", "row += LANES", "row += LANES + 1"),
    Twin("column_sum", "bias_activation", "lane < LANES; ", "lane < LANES - 1; "),
    Twin("bias", "dense", "(blockIdx.y + 1) / gridDim.y", "(blockIdx.y + 1) / gridDim.y - 1"),
    Twin("gelu", "bias_activation", "h * (DENSITY *", "(DENSITY *"),
    Twin("gelu", "bias_activation", "3.0f * A", "A"),
    Twin("gelu", "bias_activation", "blockIdx.y * width + column, sum", "column, sum"),
    Twin("softmax", "attention", "(group * 32 + threadIdx.x) * V", "(group * 32 + threadIdx.x) * V + 1"),
    Twin("softmax", "attention", "(dp[group * V + k] - inner) * scale", "(dp[group * V + k] - inner)"),
    Twin("softmax", "attention", "row / rows_of_sequence * width", "row / (rows_of_sequence + 1) * width"),
    Twin("cross_entropy", "decoder_cross_entropy", "column + k == label ? 0.0f : ", ""),
    Twin("cross_entropy", "decoder_cross_entropy", "factor == 0.0f ? 0.0f : share", "share"),
    Twin("rows", "unpack", "!valid || valid[blockIdx.x]", "true"),
    Twin("rows", "embedding", "const long long last = first[row + 1];", "const long long last = first[row + 1] - 1;"),
    Twin("rows", "gather", BARRIER, ""),
]


def compiled(twin: Twin) -> ctypes.CDLL:
    """The file with the change, for float32."""
    text = sources.source(twin.file)
    assert twin.old in text, "the twin is not made: the file has no such text"
    simple = tuple(e for e in sources.EXPRESSIONS[twin.file] if "__" not in e)
    return on_cpu.compiled(f"twin-{twin.file}", text.replace(twin.old, twin.new), simple)


@pytest.mark.parametrize("twin", [
    *(pytest.param(twin, id=f"{twin.file}-{i}") for i, twin in enumerate(QUICK)),
    *(pytest.param(twin, id=f"{twin.file}-{i}", marks=pytest.mark.slow) for i, twin in enumerate(SLOW, len(QUICK))),
])  # fmt: skip
def test_a_twin_is_rejected(twin: Twin) -> None:
    right, wrong = kernels_on_cpu()[twin.op], kernels_on_cpu(on_cpu.Cpu({twin.file: compiled(twin)}))[twin.op]
    all_pass(right)
    with pytest.raises(AssertionError):
        all_pass(wrong)


def all_pass(kernel: Kernel) -> None:
    """The comparison with the reference in rows of every kind, and the op's edge cases."""
    forms = ("gelu_erf", "gelu_tanh") if kernel.name == "bias_activation" else (None,)
    for sizes, form in product((small, wide, many), forms):
        options = {} if form is None else {"activation": form}
        case, upstream, _ = checks.random_case(kernel.name, 1, sizes(kernel.name), **options)
        check(kernel, case, upstream, "float32")
    for edge in EDGES[kernel.name]:
        with np.errstate(all="ignore"):
            edge.forward(as_op(kernel), XP)
            edge.backward(as_op(kernel), XP)
