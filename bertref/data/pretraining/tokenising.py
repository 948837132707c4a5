"""Blocks of texts to ids, in their order: in this process, or in several where there is much to do.

Splitting text into sentences and tokenising them are loops of Python's, so threads would take turns. With processes the
caller reads, splits and writes while they tokenise. They are started when the first blocks show that there is enough to
do: each takes half a second and a hundred megabytes to start.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

import numpy as np
import numpy.typing as npt

from ...errors import BertrefError
from ...text import Tokenizer

Ids = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]
"""What `Tokenizer.ids_arrays` returns."""

FEW = 4
"""Blocks that are done before processes are started."""
WAITING = 2
"""Blocks for each process that are handed out and not yet written: more would only take memory."""


def tokenised(blocks: Iterable[Sequence[str]], tokenizer: Tokenizer, processes: int = 1) -> Iterator[Ids]:
    """The ids of each block of texts, as `tokenizer.ids_arrays` gives them, whatever the number of processes.

    More than one process needs what `multiprocessing` needs: a main module that can be imported without doing anything.
    Raises `BertrefError` if a process was killed.
    """
    remaining = iter(blocks)
    for block in itertools.islice(remaining, FEW) if processes > 1 else remaining:
        yield tokenizer.ids_arrays(block)
    first = next(remaining, None)
    if first is not None:
        yield from _in_processes(itertools.chain([first], remaining), tokenizer, processes)


def _in_processes(blocks: Iterator[Sequence[str]], tokenizer: Tokenizer, processes: int) -> Iterator[Ids]:
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(tokenizer,)
    )  # fmt: skip
    waiting: deque[Future[Ids]] = deque()
    try:
        for block in blocks:
            waiting.append(pool.submit(_ids, block))
            if len(waiting) >= WAITING * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise BertrefError("a process that tokenised was killed, perhaps out of memory; use --processes 1") from None
    finally:
        pool.shutdown(cancel_futures=True)


_tokenizer: Tokenizer


def _begin(tokenizer: Tokenizer) -> None:
    """For a new process: Ctrl-C is the caller's business, and a caller that was killed is not outlived."""
    global _tokenizer
    _tokenizer = tokenizer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _ids(block: Sequence[str]) -> Ids:
    return _tokenizer.ids_arrays(block)
