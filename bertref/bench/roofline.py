"""The machine's own product speed: how many floating-point operations a second it makes in large matrix products.

It is measured in processes with nothing else in them, and the best of several products counts. NumPy is asked in two
ways, one product on all threads of its BLAS, and one product on each of as many threads, and MKL where the kernels use
it; the fastest is the roof. On a GPU the roof is the product of the backend's library there, in the type in which the
work's products are.

The speed of a machine that others use, too, goes up and down by a half, so the roof is measured again between the
rounds of a race, and what a side reached in a round is compared with the roof before and after that round.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from ..backends.numpy.blas import mkl
from ..backends.numpy.blas.products import multiply
from ..precision import Precision
from .job import CPU, Job
from .process import Process, environment
from .sides.libraries import torch_with

SIZE, GPU_SIZE = 2048, 8192
TRIALS = 5
WAYS = ("blas", "threads", "mkl")
"""One product on all of BLAS's threads; one product on each thread; one on all of MKL's threads, or on each where MKL
makes a product on one."""


class Roof:
    """The roof of a race. `about` is {"size": n, "dtype": ..., "numpy": {way: FLOP/s}, "torch": FLOP/s or None}, or the
    backend's name and its FLOP/s instead of NumPy's on a GPU; `peer` decides whether torch is asked on the CPU. The
    process of the fastest way stays until the `stack` ends."""

    def __init__(self, stack: contextlib.ExitStack, job: Job, peer: str | None, size: int = SIZE) -> None:
        if job.device != CPU:
            self._on_gpu(stack, job)
            return
        threads = job.threads
        self._asked = {"size": size, "threads": threads, "dtype": "float32"}
        processes = {
            way: stack.enter_context(Process("product speed", environment(threads, 1 if way == "threads" else threads)))
            for way in WAYS
            if way != "mkl" or mkl.library() is not None
        }
        found = dict.fromkeys(processes, 0.0)
        for way in [*processes] * 2:  # a moment's disturbance must not decide
            found[way] = max(found[way], processes[way].ask("products", side=way, **self._asked)["flops"])
        theirs = None
        if peer in ("transformers", "torch"):
            with Process("product speed", environment(threads)) as process:
                theirs = process.ask("products", side="torch", **self._asked)["flops"]
        self.about: dict[str, Any] = {"size": size, "dtype": "float32", "numpy": found, "torch": theirs}
        self._way = max(found, key=lambda way: found[way])
        self._process = processes[self._way]

    def _on_gpu(self, stack: contextlib.ExitStack, job: Job) -> None:
        dtype = product_type(job.dtype)
        self._asked = {"size": GPU_SIZE, "threads": job.threads, "dtype": dtype}
        self._process = stack.enter_context(Process("product speed", environment(job.threads)))
        self._way = job.backend
        self.about = {"size": GPU_SIZE, "dtype": dtype, job.backend: self.flops(), "torch": None}

    def flops(self) -> float:
        """FLOP/s now."""
        return float(self._process.ask("products", side=self._way, **self._asked)["flops"])


def product_type(dtype: str) -> str:
    """In which type the products are where ours computes in `dtype`: that of `Precision.compute`."""
    return Precision.preset(dtype).compute


def products(side: str, size: int, threads: int, dtype: str = "float32") -> dict[str, Any]:
    """FLOP/s of (size, size) products in this process, the best of `TRIALS` after one to warm up. `side`: one of `WAYS`
    and "torch", which multiply in float32, or a backend's name."""
    makers: dict[str, Callable[[int, int], tuple[Callable[[], Any], int]]] = {
        "blas": _one_product, "threads": _product_each, "mkl": _mkl_product, "torch": _torch_product,
    }  # fmt: skip
    call, count = makers[side](size, threads) if side in makers else _backend_product(side, size, dtype)
    call()
    best = min(_seconds(call) for _ in range(TRIALS))
    return {"flops": count * 2 * size**3 / best, "seconds": best}


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _factors(size: int) -> tuple[Any, Any, Any]:
    """Two matrices and a place for their product."""
    import numpy as np

    a, b = np.random.default_rng(0).random((2, size, size), np.float32)
    return a, b, np.empty_like(a)


def _one_product(size: int, threads: int) -> tuple[Callable[[], Any], int]:
    import numpy as np

    a, b, out = _factors(size)
    return lambda: np.matmul(a, b, out=out), 1


def _product_each(size: int, threads: int) -> tuple[Callable[[], Any], int]:
    """As many products as threads at once; each thread multiplies `size` rows."""
    return _at_once([_one_product(size, 1)[0] for _ in range(threads)])


def _at_once(calls: list[Callable[[], Any]]) -> tuple[Callable[[], Any], int]:
    """Each call on a thread of its own, and how many there are."""

    def run() -> None:
        others = [threading.Thread(target=call) for call in calls[1:]]
        for thread in others:
            thread.start()
        calls[0]()
        for thread in others:
            thread.join()

    return run, len(calls)


def _mkl_product(size: int, threads: int) -> tuple[Callable[[], Any], int]:
    """One product on all threads or, where MKL makes each on one, a product on each thread."""
    shared = mkl.shares_products()

    def product() -> Callable[[], Any]:
        a, b, out = _factors(size)
        return lambda: multiply(a, b, out, threads if shared else 1)

    return _at_once([product() for _ in range(1 if shared else threads)])


def _torch_product(size: int, threads: int) -> tuple[Callable[[], Any], int]:
    torch = torch_with(threads)
    a, b = torch.rand(size, size), torch.rand(size, size)
    out = torch.empty(size, size)
    return lambda: torch.mm(a, b, out=out), 1


def _backend_product(backend: str, size: int, dtype: str) -> tuple[Callable[[], Any], int]:
    """One product by a backend's library, of random numbers in `dtype`."""
    import numpy as np

    from .. import backends

    xp = backends.get(backend).xp
    a, b = (xp.from_numpy(x, dtype) for x in np.random.default_rng(0).random((2, size, size), np.float32))

    def product() -> None:
        xp.matmul(a, b)
        xp.synchronize()

    return product, 1
