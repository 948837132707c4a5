"""Intel's MKL beside NumPy's own BLAS: products, and the error function, faster on Intel's processors.

It is used where it is installed (`pip install 'bertref[mkl]'`), on Intel's processors only; elsewhere OpenBLAS is the
faster one. `BERTREF_MKL=on` asks for it on any processor, `off` leaves all products to NumPy. It is asked through
ctypes, which lets go of the interpreter's lock while a product is made.

The bits of a product depend on its factors' values alone, neither on the number of threads nor on where an array lies.
MKL is told to be strictly reproducible, which costs nothing that could be measured; but it obeys only in its code for
AVX2 and later on Intel's processors. Elsewhere it takes other code without a word, and promises the same bits for the
same number of threads only: on AMD's Zen 5 the product of (5, 70) and (70, 33) has other bits on two threads than on
one, and so have larger ones in float64. There every product is made on one thread (see `shares_products`).
"""

import ctypes
import mmap
import os
import re
import site
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ....errors import InputError
from ....plumbing.processor import first_processor
from ...namespace import HostArray

VARIABLE = "BERTREF_MKL"
LONGEST = 1 << 31
"""Lengths and distances from here on don't fit the integers that MKL is given."""
FEW_ROWS = 128
"""A matrix is put in order for products of so many rows; it then serves fewer, and more, a fifth faster than if it were
ordered for one."""

_lock, _left_behind = threading.Lock(), False
_REPRODUCIBLE = 0x10002  # MKL_CBWR_AUTO | MKL_CBWR_STRICT
_AVX2 = 10  # MKL_CBWR_AVX2; its later branches have larger numbers
_ORDERING = 2
"""Threads that put a matrix in order. A sentence through BERT-Base takes 0.76 of the time on two threads where the
order is that of two and not of one (measured: two cores, AVX-512)."""
_ACCURATE = 2  # VML_HA
_ROWS, _PLAIN, _TRANSPOSED = 101, 111, 112  # CblasRowMajor, CblasNoTrans, CblasTrans
_SECOND, _ORDERED = 162, 151  # CblasBMatrix, CblasPacked


def _said() -> str:
    return os.environ.get(VARIABLE, "").strip().lower()


def wanted() -> bool:
    """Whether products go to MKL if it is there. Raises `InputError` where `BERTREF_MKL` says neither on nor off."""
    said = _said()
    if said not in ("", "on", "off"):
        raise InputError(f"{VARIABLE}={said}: say on or off, or leave it out to use MKL on Intel's processors")
    return said == "on" or (said == "" and first_processor().get("vendor_id") == "GenuineIntel")


def path() -> Path | None:
    """Where pip, for all or for one user, or conda put it."""
    for prefix in (sys.prefix, site.getuserbase() if site.ENABLE_USER_SITE else sys.prefix):
        for file in sorted(Path(prefix, "lib").glob("libmkl_rt.so*")):
            return file
    return None


def library() -> ctypes.CDLL | None:
    """MKL, loaded and reproducible; None where it is not wanted, not installed, or of a kind that can't be used.

    `BERTREF_MKL=on` must not be disappointed: then `InputError` says what is missing.
    """
    if _left_behind:
        return None
    with _lock:  # reproducible it can be made only once, and before its first product
        return _decided()[0]


def problem() -> str:
    """Why it is not used where it is wanted; "" where it is used, or not wanted."""
    try:
        library()
    except InputError as error:
        return str(error)
    return _decided()[1]


@cache
def _decided() -> tuple[ctypes.CDLL | None, str]:
    """The library, or why there is none though it is wanted."""
    if not wanted():
        return None, ""
    loaded, why = _load()
    if loaded is not None:
        return loaded, ""
    if _said():
        raise InputError(f"{VARIABLE}=on, but {why}")
    return None, f"on this processor MKL is faster, but {why}"


def _load() -> tuple[ctypes.CDLL | None, str]:
    """The library, or why there is none."""
    file = path()
    if file is None:
        return None, "MKL is not installed: pip install 'bertref[mkl]'"
    try:
        found = ctypes.CDLL(str(file))
        if found.MKL_CBWR_Set(ctypes.c_int(_REPRODUCIBLE)) != 0:
            return None, f"{file} can't compute reproducibly here"
        integer, pointer = ctypes.c_int, ctypes.c_void_p
        for name, real in (("cblas_sgemm", ctypes.c_float), ("cblas_dgemm", ctypes.c_double)):
            getattr(found, name).restype = None
            getattr(found, name).argtypes = [
                integer, integer, integer, integer, integer, integer, real, pointer, integer, pointer, integer, real,
                pointer, integer,
            ]  # fmt: skip
        found.cblas_sgemm_pack_get_size.restype = ctypes.c_size_t
        found.cblas_sgemm_pack_get_size.argtypes = [integer, integer, integer, integer]
        found.cblas_sgemm_pack.restype = found.cblas_sgemm_compute.restype = None
        found.cblas_sgemm_pack.argtypes = [
            integer, integer, integer, integer, integer, integer, ctypes.c_float, pointer, integer, pointer,
        ]  # fmt: skip
        found.cblas_sgemm_compute.argtypes = [
            integer, integer, integer, integer, integer, integer, pointer, integer, pointer, integer, ctypes.c_float,
            pointer, integer,
        ]  # fmt: skip
        found.MKL_Set_Num_Threads_Local.argtypes = [integer]
        found.MKL_Get_Version_String.argtypes = [ctypes.c_char_p, integer]
        found.vmsErf.restype = None
        found.vmsErf.argtypes = [integer, pointer, pointer, ctypes.c_int64]
    except (OSError, AttributeError) as error:
        return None, f"{file} can't be used: {error}"
    return found, ""


def forget() -> None:
    """For a forked process: whoever was asking is not in it, nor are MKL's threads, which it would wait for. If MKL was
    in use, it leaves products to NumPy."""
    global _lock, _left_behind
    _lock, _left_behind = threading.Lock(), _decided.cache_info().currsize > 0


def shares_products() -> bool:
    """Whether a product may take several threads, because their number changes no bit of it here; False where MKL isn't
    used."""
    blas = library()
    return blas is not None and _strict(blas)


@cache
def _strict(blas: ctypes.CDLL) -> bool:
    """Whether MKL chose code in which it obeys when it is told to be strictly reproducible."""
    return int(blas.MKL_CBWR_Get_Auto_Branch()) >= _AVX2


def version() -> str | None:
    """The year and number of its version, if it is used."""
    blas, text = library(), ctypes.create_string_buffer(200)
    if blas is None:
        return None
    blas.MKL_Get_Version_String(text, len(text))
    found = re.search(r"Version (\d[\d.]*)", text.value.decode(errors="replace"))
    return found[1] if found else "unknown"


def multiply(a: HostArray, b: HostArray, out: HostArray, threads: int) -> bool:
    """out = a b on at most so many threads: a (N, K), b (K, M), out (N, M) in other memory, all float32 or all float64.

    Whether it was made: not where MKL isn't used, nothing is summed, or an array's rows (for a and b, or columns) don't
    lie one after the other.
    """
    N, M = out.shape
    K = a.shape[1]
    if not N * M * K or (blas := library()) is None:
        return False
    left, right, result = _place(a), _place(b), _place(out)
    if left is None or right is None or result is None or result[0] != _PLAIN:
        return False
    blas.MKL_Set_Num_Threads_Local(threads if _strict(blas) else 1)
    gemm = blas.cblas_sgemm if out.dtype.char == "f" else blas.cblas_dgemm
    gemm(_ROWS, left[0], right[0], N, M, K, 1.0, *left[1:], *right[1:], 0.0, *result[1:])
    return True


class Ordered(NamedTuple):
    """A matrix (rows, columns) in the order in which MKL reads it."""

    memory: HostArray
    rows: int
    columns: int


def in_order(weight: HostArray) -> Ordered | None:
    """weight (O, I), float32, for `multiply_ordered`; None where MKL isn't used, or its rows don't lie one after the
    other.

    The order that MKL chooses depends on the number of threads, and products' bits on the order, but not on the number
    of threads that multiply. So the order is always that of `_ORDERING` threads.
    """
    if not weight.size or weight.dtype.char != "f" or (blas := library()) is None:
        return None
    place = _place(weight)
    if place is None or place[0] != _PLAIN:
        return None
    O, I = weight.shape  # noqa: E741
    # MKL asks for more than twice the memory that it then writes to: of this, what nobody touches takes none
    memory = np.frombuffer(mmap.mmap(-1, blas.cblas_sgemm_pack_get_size(_SECOND, FEW_ROWS, O, I)), np.uint8)
    blas.MKL_Set_Num_Threads_Local(_ORDERING if _strict(blas) else 1)
    blas.cblas_sgemm_pack(_ROWS, _SECOND, _TRANSPOSED, FEW_ROWS, O, I, 1.0, *place[1:], memory.ctypes.data)
    return Ordered(memory, O, I)


def multiply_ordered(x: HostArray, weight: Ordered, out: HostArray, threads: int) -> bool:
    """out = x weightᵀ on at most so many threads: x (N, I), out (N, O), float32. Whether it was made, as in
    `multiply`."""
    if not x.size or (blas := library()) is None:
        return False
    left, result = _place(x), _place(out)
    if left is None or result is None or result[0] != _PLAIN:
        return False
    memory, O, I = weight  # noqa: E741
    blas.MKL_Set_Num_Threads_Local(threads if _strict(blas) else 1)
    blas.cblas_sgemm_compute(
        _ROWS, left[0], _ORDERED, x.shape[0], O, I, *left[1:], memory.ctypes.data, I, 0.0, *result[1:]
    )
    return True


def erf(x: HostArray, out: HostArray, threads: int) -> bool:
    """out = erf(x) in float32, both contiguous; `out` may be x. Whether it was made: not where MKL isn't used."""
    if not x.size or (blas := library()) is None:
        return False
    blas.MKL_Set_Num_Threads_Local(threads)
    blas.vmsErf(x.size, x.ctypes.data, out.ctypes.data, _ACCURATE)
    return True


def _place(x: HostArray) -> tuple[int, Any, int] | None:
    """How BLAS is to read a matrix, its first address, and how many numbers on the next row, or column, begins."""
    (rows, columns), (down, across), size = x.shape, x.strides, x.itemsize
    for order, length, other, step, near in (
        (_PLAIN, columns, rows, down, across),
        (_TRANSPOSED, rows, columns, across, down),
    ):
        if near != size and length > 1:
            continue
        apart, rest = divmod(step, size) if other > 1 else (length, 0)
        if apart >= length and rest == 0 and max(apart, other) < LONGEST:
            return order, x.ctypes.data, apart
    return None
