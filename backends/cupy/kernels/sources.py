"""The CUDA files of this folder as text, and which kernels each is compiled for.

A file is one translation unit; its templates are instantiated by name expressions, "bias_gelu<float, __half, 8>".
"""

import re
from functools import cache
from itertools import product
from pathlib import Path

from .tuning import LOGITS, SCORES, WIDEST

FOLDER = Path(__file__).parent
NAMES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}
"""dtype -> its name in CUDA. These are the types that kernels serve."""
WIDTHS = (WIDEST, 1)
"""Elements that a thread moves at once."""

OPTIONS = ("-std=c++17",)
"""For the compiler."""


def expression(kernel: str, *parameters: object) -> str:
    """The instantiation of a kernel: `parameters` are names of dtypes and numbers."""
    return f"{kernel}<{', '.join(NAMES.get(str(p), str(p)) for p in parameters)}>"


def _all(kernels: str, *choices: object) -> tuple[str, ...]:
    return tuple(expression(kernel, *chosen) for kernel in kernels.split() for chosen in product(*choices))  # type: ignore[call-overload]


def _of_products(kernels: str) -> tuple[str, ...]:
    """Instantiations whose first type is that of the second, or float32."""
    pairs = [*((name, name) for name in NAMES), ("float32", "float16"), ("float32", "bfloat16")]
    return tuple(expression(kernel, *pair, V) for kernel in kernels.split() for pair in pairs for V in WIDTHS)


EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "bias": _all("bias_add", NAMES, WIDTHS),
    "column_sum": _all("column_sum", NAMES, WIDTHS),
    "cross_entropy": _all("cross_entropy", NAMES, (LOGITS, 1)),
    "gelu": _of_products("bias_gelu bias_gelu_back"),
    "norm": _all("norm norm_back", NAMES, WIDTHS),
    "philox": ("keep_hidden", "keep_probs"),
    "rows": _all("gather_rows scatter_rows", NAMES, WIDTHS),
    "softmax": _all("softmax softmax_back", NAMES, (SCORES, 1), (4, 16)),
    "update": ("adam", "lamb_apply", "lamb_direction", "squares", "total"),
}
"""File, without its ending -> all instantiations."""


def included(text: str) -> str:
    """A CUDA text with the files that it includes from this folder in their places, each once."""

    def file(match: re.Match[str]) -> str:
        return (FOLDER / match[1]).read_text(encoding="utf-8").replace("#pragma once\n", "")

    return re.sub(r'^#include "(.+)"$', file, text, flags=re.MULTILINE)


@cache
def source(name: str) -> str:
    """The text of a CUDA file, with what it includes."""
    return included((FOLDER / f"{name}.cu").read_text(encoding="utf-8"))
