"""How many bytes a launch of our kernels moves at least: each array read once or written once, one that is overwritten
both."""

from typing import Any

OVERWRITTEN = {
    "softmax": (0,), "softmax_back": (0,), "cross_entropy": (0,), "adam": (0, 2, 3), "lamb_direction": (2, 3),
    "lamb_apply": (0,),
}  # fmt: skip
"""Kernel -> which of its arguments it reads and writes."""


def moved(kernel: str, arguments: tuple[Any, ...]) -> int:
    """Bytes, for the instantiation `kernel` and what it was launched with."""
    name = kernel.partition("<")[0]
    sizes = [getattr(a, "nbytes", 0) if getattr(a, "ndim", 0) else 0 for a in arguments]
    if name == "gather_rows":
        sizes[0] = sizes[3]  # of the table only the rows that are taken
    return sum(sizes) + sum(sizes[i] for i in OVERWRITTEN.get(name, ()))
