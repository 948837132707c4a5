"""CuPy's side of the kernels: it compiles a CUDA file when one of its kernels is first launched, and keeps the result
on disk as it does with its own (`CUPY_CACHE_DIR`)."""

from functools import cache
from typing import Any

import cupy
import numpy as np

from ....arrays import Array
from .device import Device, Shape
from .sources import EXPRESSIONS, OPTIONS, source
from .tuning import Tuning

NULL = np.int64(0)


@cache
def module(file: str) -> Any:
    """A CUDA file with all its kernels; CuPy loads it on every GPU where it is used."""
    return cupy.RawModule(code=source(file), options=OPTIONS, name_expressions=EXPRESSIONS[file])


class CupyDevice(Device):
    """The GPU that is the current one when this is made, and its current stream."""

    def __init__(self, tuning: Tuning | None = None) -> None:
        super().__init__(cupy, tuning)
        self._functions: dict[tuple[str, str], Any] = {}

    def launch(self, file: str, kernel: str, shape: Shape, *arguments: Any) -> None:
        function = self._functions.get((file, kernel)) or self._found(file, kernel)
        function(shape.blocks, shape.threads, tuple([NULL if a is None else a for a in arguments]))

    def _found(self, file: str, kernel: str) -> Any:
        """The kernel, looked up in its module once: CuPy does it anew each time, by its C++ name."""
        self._functions[file, kernel] = function = module(file).get_function(kernel)
        return function

    def address(self, array: Array) -> int:
        return int(array.data.ptr)
