"""The array libraries that bertref runs on, found by name (`get`) or by the class of an array (`of`).

    get("torch:cuda:1")     NAME[:DEVICE]; without a device: NumPy and torch compute on the CPU, CuPy on GPU 0
    local("torch:cuda")     "torch:cuda:2" in process 2 of those that torchrun has started on this machine
    of(x, y)                the backend whose arrays these are

Importing this package imports no array library. Built-in: numpy, torch, cupy and, for tests, strict. Another
package adds a backend through the entry-point group `bertref.backends`: the entry's name is the backend's,
its value a function `create(device: str | None) -> Backend`.
"""

if __name__ != "bertref.backends":  # a module that is imported under two names has two registries
    raise ImportError(f"this package is bertref.backends; it can't be imported as {__name__!r}")

from .backend import Backend
from .local_gpu import local
from .registry import describe, get, names, of

__all__ = ["Backend", "describe", "get", "local", "names", "of"]
