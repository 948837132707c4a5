"""The threads that share a kernel's work.

A kernel cuts its work into pieces by shape and by the cores that the machine has, and sums the pieces' parts in order,
so neither the number of threads nor the order in which they finish can change a bit of a result. NumPy releases the
interpreter's lock while it computes; the threads therefore run at the same time although Python's lines do not.

While pieces run, BLAS makes every product on the thread that asks for it: the pieces are what is shared out, and two
pools of threads, each as many as there are cores, slow each other down. Where BLAS can't be held to one thread the
pieces run one after the other, and it shares out each product itself.
"""

import contextvars
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ...plumbing.processor import usable_cores
from .blas import mkl, openblas

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""What people set to say how many threads numerical work may take."""


class _State(threading.local):
    """Whether this thread is inside a piece already: a piece of a piece runs where it stands."""

    inside = False


_state = _State()
_lock = threading.Lock()
_wanted: int | None = None
_pool: tuple[int, ThreadPoolExecutor] | None = None


def count() -> int:
    """How many threads share the work: what `use` said, else the environment, else the cores this process may use."""
    if _wanted is not None:
        return _wanted
    for name in VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return usable_cores()


def use(threads: int | None) -> None:
    """Share work among so many threads from now on; None goes back to the environment's or the machine's number.

    A product outside a kernel may take as many. Raises `ValueError` for less than one.
    """
    global _wanted
    if threads is not None and threads < 1:
        raise ValueError(f"{threads} threads can't do any work; at least 1 is needed")
    _wanted = threads
    openblas.limit(count())


@contextmanager
def using(threads: int) -> Iterator[None]:
    """`use` for a while."""
    before = _wanted
    use(threads)
    try:
        yield
    finally:
        use(before)


def available() -> int:
    """How many threads a product may take: one within a piece, because every other thread has a piece of its own."""
    return 1 if _state.inside else count()


def inside() -> bool:
    """Whether this thread is within a piece: unlike `available() == 1`, which the number of threads may bring about."""
    return _state.inside


def blas_on_one_thread() -> AbstractContextManager[None]:
    """Within it OpenBLAS makes products on the thread that asks, where it can be told to: for work too small to share.
    Its other threads spin for a while after a product, and slow down what is computed next. Within a piece it is
    held to one thread already."""
    return openblas.one_thread() if openblas.can_be_limited() and not _state.inside else nullcontext()


def run_in_order(piece: Callable[[int], None], pieces: int) -> None:
    """Calls `piece(0)` to `piece(pieces - 1)` on this thread alone."""
    with blas_on_one_thread():
        for i in range(pieces):
            piece(i)


def run(piece: Callable[[int], None], pieces: int) -> None:
    """Calls `piece(0)` to `piece(pieces - 1)`, in any order and several at once; raises what a piece raised."""
    if pieces == 0:
        return
    if _state.inside:
        run_in_order(piece, pieces)
        return
    with blas_on_one_thread():
        workers = min(count(), pieces) if openblas.can_be_limited() else 1
        numbers = itertools.count()  # next() is atomic: every number is handed out once
        others = [_submit(workers - 1, piece, numbers, pieces) for _ in range(workers - 1)]
        try:
            _work(piece, numbers, pieces)
        finally:
            failures = [failure for future in others if (failure := future.exception())]
        if failures:
            raise failures[0]


def _work(piece: Callable[[int], None], numbers: Iterator[int], pieces: int) -> None:
    _state.inside = True
    try:
        while (i := next(numbers)) < pieces:
            piece(i)
    finally:
        _state.inside = False


def _submit(size: int, piece: Callable[[int], None], numbers: Iterator[int], pieces: int) -> "Future[None]":
    """Starts a helper under the caller's context: NumPy keeps there which floating-point errors it reports."""
    return _executor(size).submit(contextvars.copy_context().run, _work, piece, numbers, pieces)


def _executor(size: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None or _pool[0] < size:
            if _pool is not None:
                _pool[1].shutdown(wait=False)
            _pool = size, ThreadPoolExecutor(size, thread_name_prefix="bertref")
        return _pool[1]


def _forget() -> None:
    """A forked process has the pool's record but not its threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()
    _state.inside = False
    openblas.forget()
    mkl.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
