"""What is run on a machine with a GPU, most valuable first."""

from typing import NamedTuple


class Part(NamedTuple):
    """`module` in this room has `run(context)`, which raises where the part fails, and `lines(records)`, what of the
    results a person reads. `seconds`: of its process, at most."""

    number: int
    name: str
    module: str
    seconds: float
    what: str


PARTS = (
    Part(0, "chip", "chip", 25, "chip, driver, clocks; speed of products and copies"),
    Part(1, "compiled", "compiled", 40, "all kernels compiled for this GPU"),
    Part(2, "pairs", "pairs", 60, "each kernel and type against its reference"),
    Part(3, "base", "base", 75, "training step of BERT-Base, mixed precision, against transformers"),
    Part(4, "trace", "trace", 30, "where the time of our step goes"),
    Part(5, "sweep", "sweep", 60, "launch parameters of the kernels"),
    Part(6, "losses", "losses", 40, "50 steps have NumPy's losses"),
    Part(7, "verified", "verified", 60, "verify, in three precisions"),
    Part(8, "large", "large", 90, "training step of BERT-Large, float32, against transformers"),
    Part(9, "several", "several", 90, "NCCL with one process; two processes on one GPU"),
    Part(10, "suite", "suite", 600, "the tests that follow --backend, with the time that is left"),
)


def chosen(numbers: str | None) -> tuple[Part, ...]:
    """Those of "0,2,6", in that order; None: all. Raises `ValueError` for a number that there is not."""
    if numbers is None:
        return PARTS
    by_number = {str(part.number): part for part in PARTS}
    unknown = [n for n in numbers.split(",") if n.strip() not in by_number]
    if unknown:
        raise ValueError(f"there is no part {unknown[0]}; there are 0 to {len(PARTS) - 1}")
    return tuple(by_number[n.strip()] for n in numbers.split(","))
