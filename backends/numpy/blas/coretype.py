"""Which of its kernels OpenBLAS is to use: to be said before NumPy is imported, because it reads that only once.

On AMD's AVX-512 processors OpenBLAS takes kernels made for AVX2, with half the speed in float32; those it made for
Intel's AVX-512 processors run there just as well. On Intel's own choice is right.
"""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from ....plumbing.processor import CPUINFO, first_processor

VARIABLE = "OPENBLAS_CORETYPE"
WIDE = "SkylakeX"
NEEDED = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})
"""What those kernels use, as Linux names it."""


def wide_is_better(cpu: dict[str, str]) -> bool:
    """Whether the processor has AVX-512 and OpenBLAS would not see it."""
    return cpu.get("vendor_id") == "AuthenticAMD" and set(cpu.get("flags", "").split()) >= NEEDED


def choose(environment: MutableMapping[str, str] = os.environ, cpuinfo: Path = CPUINFO) -> bool:
    """Asks for the wide kernels where they are better, the user has not chosen, and it is not too late.

    Returns whether it did. Child processes inherit the choice.
    """
    if VARIABLE in environment or "numpy" in sys.modules or not wide_is_better(first_processor(cpuinfo)):
        return False
    environment[VARIABLE] = WIDE
    return True
