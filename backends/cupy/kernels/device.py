"""Where kernels run: what their host side needs to know of it, and nothing of CuPy.

The host side works out launch sizes and makes arrays; who launches is a `Device`: CuPy's (`loaded.py`), or in the tests
a CPU that runs the same CUDA files, or one that only records what is asked of it.
"""

from typing import Any, NamedTuple

from ....arrays import Array, Namespace
from .sources import NAMES
from .tuning import Tuning


class Shape(NamedTuple):
    """Of a launch: blocks in x and y, threads of a block in x and y."""

    blocks: tuple[int, int]
    threads: tuple[int, int]


class Device:
    """`library` is the array module, cupy or numpy: both have `empty`, `ascontiguousarray` and `ndarray`. `tuning` is
    what its launches are made by."""

    def __init__(self, library: Any, tuning: Tuning | None = None) -> None:
        self.library = library
        self.tuning = tuning or Tuning()

    def launch(self, file: str, kernel: str, shape: Shape, *arguments: Any) -> None:
        """Starts a kernel: arrays, None for a null pointer, and numbers of NumPy's types, int64, int32 or float32."""
        raise NotImplementedError

    def address(self, array: Array) -> int:
        """Of the array's first element."""
        raise NotImplementedError

    def serves(self, *arrays: Any) -> bool:
        """Whether all are arrays of the library in one type that kernels are compiled for."""
        first = arrays[0]
        return all(
            isinstance(a, self.library.ndarray) and a.dtype == first.dtype and a.dtype.name in NAMES for a in arrays
        )

    def is_keep(self, keep: Any, shape: tuple[int, ...]) -> bool:
        """Whether `keep` is a dropout mask of that shape, or None."""
        if keep is None:
            return True
        return isinstance(keep, self.library.ndarray) and keep.dtype.name == "bool" and keep.shape == shape

    def contiguous(self, array: Array) -> Array:
        """The array in C order; itself if it is so already."""
        return self.library.ascontiguousarray(array)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.library.empty(shape, dtype=dtype)

    def elements_at_once(self, width: int, *arrays: Array | None, most: int | None = None) -> int:
        """How many neighbours a thread may move: `most` (None: `Tuning.width`) if rows of that width in all of these
        arrays begin at a multiple of so many elements, else 1."""
        most = most or self.tuning.width
        fits = all(a is None or self.address(a) % (most * a.dtype.itemsize) == 0 for a in arrays)
        return most if fits and width % most == 0 else 1


def rows_of(array: Array) -> tuple[int, int]:
    """(..., H) -> the number of rows, and H."""
    width = array.shape[-1]
    return (array.size // width if width else 0), width


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def warps(threads: int) -> int:
    """The smallest multiple of 32 that is not less."""
    return 32 * ceil_div(threads, 32)


def product(device: Device, xp: Namespace, a: Array, b: Array, dtype: Any) -> Array:
    """The library's product of a and b in C order and of that type, which NumPy's of bfloat16 is not: nobody else's, so
    it may be overwritten."""
    return device.contiguous(xp.astype(xp.matmul(a, b), dtype, copy=False))
