"""The CUDA files of `backends/cupy/kernels` compiled as C++ and run on the CPU (`shim/`), behind the host side's
`Device`.

NumPy arrays are the device's memory. Every launch happens in ascending, descending and shuffled order of the threads,
on copies of the arrays, and must give the same bits each time.
"""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.backends.cupy.kernels import sources
from bertref.backends.cupy.kernels.device import Device, Shape
from bertref.backends.cupy.kernels.tuning import Tuning

SHIM = Path(__file__).parent / "shim"
ORDERS = {"ascending": 0, "descending": 1, "shuffled": 2}
ALIGNMENT = 256
"""Of the beginning of an array that owns its memory, as CuPy's pool has it."""
SHARED = {"folder": Path(tempfile.gettempdir()) / "bertref-shim"}
"""Where libraries are kept, by what they are made of; `conftest.py` names a folder of pytest's cache."""
FLAGS = ("-std=c++20", "-shared", "-fPIC", "-O0", "-fno-exceptions", "-ffp-contract=off", "-Wall", "-Werror",
         "-Wno-sign-compare", "-Wno-unknown-pragmas")  # fmt: skip


def compiled(name: str, text: str, expressions: tuple[str, ...]) -> ctypes.CDLL:
    """A library with those instantiations of the kernels in a CUDA text; made once, and kept for other processes."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is here")
    listed = ",\n".join(f'{{"{e}", SHIM_KERNEL({e})}}' for e in expressions)
    program = f'#include "cuda_on_cpu.h"\n{text}\n#include "launch.h"\nKERNELS({listed})\n'
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted(SHIM.glob("*.h")))
    made_of = "\n".join((compiler, *FLAGS, headers, program))
    library = SHARED["folder"] / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:24]}.so"
    if not library.exists():
        _compile(compiler, program, library)
    loaded = ctypes.CDLL(str(library))
    loaded.launch.restype = loaded.kinds_of.restype = ctypes.c_char_p
    return loaded


def _compile(compiler: str, program: str, library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source, made = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        source.write_text(program, encoding="utf-8")
        command = [compiler, *FLAGS, f"-I{SHIM}", str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:2000]
        made.replace(library)


@cache
def library_of(name: str) -> ctypes.CDLL:
    """A CUDA file as it is, all its instantiations."""
    return compiled(name, sources.source(name), sources.EXPRESSIONS[name])


def root(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """The same bytes at an address that lies as far behind a multiple of `ALIGNMENT` as the array behind its root."""
    offset = array.ctypes.data - root(array).ctypes.data
    memory = np.empty(array.nbytes + 2 * ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT + offset % ALIGNMENT
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class Fault(AssertionError):
    """What the shim found wrong."""


class Cpu(Device):
    """`files`: other libraries than the files' own, for wrong twins of them. Counts launches by kernel."""

    def __init__(self, files: dict[str, ctypes.CDLL] | None = None, tuning: Tuning | None = None) -> None:
        super().__init__(np, tuning)
        self.files = files or {}
        self.launched: list[str] = []

    def address(self, array: Any) -> int:
        return int(array.ctypes.data - root(array).ctypes.data)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Memory in which no element is a number."""
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[...] = 0xFF
        return array

    def launch(self, file: str, kernel: str, shape: Shape, *arguments: Any) -> None:
        self.launched.append(kernel)
        library = self.files.get(file) or library_of(file)
        number = library.find_kernel(kernel.encode())
        assert number >= 0, f"{file}.cu has no {kernel}"
        check_kinds(library.kinds_of(number).decode().split(), arguments, kernel)
        first = None
        for order in ORDERS.values():
            copies = [aligned_copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
            # an array that is given twice, to be read and to be written, is one array
            for i, a in enumerate(arguments):
                for j in range(i):
                    if isinstance(a, np.ndarray) and a is arguments[j]:
                        copies[i] = copies[j]
            run(library, number, shape, copies, order)
            found = [a.tobytes() for a in copies if isinstance(a, np.ndarray)]
            first = first or found
            if found != first:
                raise Fault(f"{kernel}: other bits in another order of the threads")
        for array, copy in zip(arguments, copies, strict=True):
            if isinstance(array, np.ndarray) and copy.tobytes() != array.tobytes():
                array[...] = copy


def check_kinds(kinds: list[str], arguments: tuple[Any, ...], kernel: str) -> None:
    """That the host gives what the kernel takes: pointers to elements of that size, numbers of that type and size."""
    assert len(kinds) == len(arguments), f"{kernel} takes {len(kinds)} arguments, not {len(arguments)}"
    for kind, value in zip(kinds, arguments, strict=True):
        if kind.startswith(("in", "out")):
            size = int(kind.lstrip("inout"))
            assert value is None or (value.flags.c_contiguous and value.dtype.itemsize == size), (kernel, kind, value)
        else:
            assert isinstance(value, np.generic), (kernel, kind)
            assert f"{value.dtype.kind}{value.dtype.itemsize}" == kind, (kernel, kind)


def run(
    library: ctypes.CDLL, kernel: int, shape: Shape, arguments: list[Any], order: int,
    blocks: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Runs a kernel, or some blocks of its grid only, on these very arrays; `Fault` says what is wrong."""
    grid = (ctypes.c_uint * 3)(*shape.blocks, 1)
    block = (ctypes.c_uint * 3)(*shape.threads, 1)
    bounds, kept, places = [], [], (ctypes.c_void_p * len(arguments))()
    for i, value in enumerate(arguments):
        if isinstance(value, np.ndarray):
            bounds += [value.ctypes.data, value.ctypes.data + value.nbytes]
        pointer = value is None or isinstance(value, np.ndarray)
        number = np.uint64(0 if value is None else value.ctypes.data) if pointer else value
        kept.append(np.array([number]))
        places[i] = kept[-1].ctypes.data
    first, last = blocks or (0, shape.blocks[0] * shape.blocks[1])
    said = library.launch(
        kernel, grid, block, places, (ctypes.c_void_p * len(bounds))(*bounds), len(bounds) // 2, order,
        ctypes.c_longlong(first), ctypes.c_longlong(last),
    )  # fmt: skip
    if said:
        raise Fault(said.decode())
