"""SIGINT and SIGTERM end a run after its step, with everything saved."""

import signal
from types import FrameType
from typing import Any


class Stop:
    """SIGINT and SIGTERM ask the run to save and end; a second one ends it at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        return self.number is not None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        signal.signal(number, self._before[number])

    def __enter__(self) -> "Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
