"""Makes the next batches while the present one is computed on."""

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over `source` in a background thread, up to `depth` items ahead.

    An exception of the source is raised by the `next` that would have returned its item. `close` (or leaving
    the `with` block) stops the thread, waits for it, and closes a source that is a generator; it may be
    called twice.
    """

    def __init__(self, source: Iterable[T], depth: int = 2) -> None:
        self._source = source
        self._items: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(max(1, depth))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="bertref-prefetch", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        iterator = iter(self._source)
        try:
            for item in iterator:
                if not self._put("item", item):
                    return
            self._put("end", None)
        except BaseException as error:
            self._put("error", error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _put(self, kind: str, value: T | BaseException | None) -> bool:
        """False if nobody wants items any more."""
        while not self._stop.is_set():
            try:
                self._items.put((kind, value), timeout=0.05)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._stop.is_set():
            raise StopIteration
        kind, value = self._items.get()
        if kind == "item":
            return value  # type: ignore[return-value]
        self.close()
        if kind == "error":
            assert isinstance(value, BaseException)
            raise value
        raise StopIteration

    def close(self) -> None:
        """Stops the thread and waits for the item that it is making."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Prefetch[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
