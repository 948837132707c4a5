"""The OpenBLAS that NumPy's wheel brought: which kernels it chose, and on how many threads it multiplies.

It is asked through ctypes: NumPy itself has no way to. Where NumPy was built with another library `library()` is None,
and that library is left to its own devices.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_lock = threading.Lock()
_inside, _found = 0, 1


@cache
def library() -> ctypes.CDLL | None:
    """The OpenBLAS of NumPy's wheel, loaded already; None where there is none."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                continue
    return None


def function(name: str, result: Any, *arguments: Any) -> Any:
    """OpenBLAS's function of that name, which builds decorate differently; None where it is not found."""
    blas = library()
    for prefix in ("scipy_openblas_", "openblas_"):
        for suffix in ("64_", ""):
            found = getattr(blas, f"{prefix}{name}{suffix}", None) if blas else None
            if found is not None:
                found.restype, found.argtypes = result, arguments
                return found
    return None


def core() -> str | None:
    """The kernels that it chose when it was loaded, "Haswell" or "SkylakeX" for example."""
    asked = function("get_corename", ctypes.c_char_p)
    return asked().decode() if asked else None


@cache
def _threads() -> tuple[Any, Any]:
    return function("get_num_threads", ctypes.c_int), function("set_num_threads", None, ctypes.c_int)


def threads() -> int | None:
    """How many threads a product may take."""
    get, _ = _threads()
    return int(get()) if get else None


def can_be_limited() -> bool:
    """Whether `one_thread` has an effect."""
    return all(_threads())


def limit(threads: int) -> None:
    """Lets a product take so many threads from now on."""
    _, set_threads = _threads()
    if set_threads:
        set_threads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it every product is made by the thread that asks for it, so that many threads may ask at once.

    Threads may be within it at the same time: the last that leaves gives back what the first one found.
    """
    global _inside, _found
    with _lock:
        if _inside == 0:
            _found = threads() or 1
            if _found > 1:
                limit(1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _found > 1:
                limit(_found)


def forget() -> None:
    """For a forked process: whoever was within `one_thread` is not in this one."""
    global _lock, _inside
    _lock, _inside = threading.Lock(), 0
