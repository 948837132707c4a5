"""CuPy's side of the kernels: it compiles a CUDA file when one of its kernels is first launched, and keeps the result
on disk as it does with its own (`CUPY_CACHE_DIR`)."""

from functools import cache
from typing import Any

import cupy
import numpy as np

from ....arrays import Array
from .device import Device, Shape
from .sources import EXPRESSIONS, OPTIONS, source

NULL = np.int64(0)


@cache
def module(file: str) -> Any:
    """A CUDA file with all its kernels; CuPy loads it on every GPU where it is used."""
    return cupy.RawModule(code=source(file), options=OPTIONS, name_expressions=EXPRESSIONS[file])


class Loaded(Device):
    """The current GPU and its current stream."""

    def __init__(self) -> None:
        super().__init__(cupy)

    def launch(self, file: str, kernel: str, shape: Shape, *arguments: Any) -> None:
        function = module(file).get_function(kernel)
        function(shape.blocks, shape.threads, tuple(NULL if a is None else a for a in arguments))

    def address(self, array: Array) -> int:
        return int(array.data.ptr)
