"""How processes that have been started together find a name that nobody has used before.

torchrun keeps its store of keys and values when it starts the processes again, and so it still holds the network
addresses of those that have ended. Under a new name for every start nothing is old:

    process r asks         asks/r = a number of its own
    process 0 answers      answer/NUMBER = the name, which it has made up
    process r confirms     NAME/r

A question may be that of a process which has ended; process 0 therefore answers again and again, whatever is asked,
until all have confirmed.
"""

import time
import uuid
from typing import Protocol

PAUSE = 0.01
"""Seconds between two looks at the store."""


class Store(Protocol):
    """What all processes see; `get` waits for a key."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...


def common_name(store: Store, rank: int, size: int, seconds: float) -> str:
    """The name of this start, the same in all its processes. Raises `RuntimeError` if they are not there in time."""
    if rank:
        number = uuid.uuid4().hex
        store.set(f"asks/{rank}", number)
        name = store.get(f"answer/{number}").decode()
        store.set(f"{name}/{rank}", "")
        return name
    name, deadline = uuid.uuid4().hex, time.monotonic() + seconds
    missing = list(range(1, size))
    while missing:
        for other in missing:
            store.set(f"answer/{store.get(f'asks/{other}').decode()}", name)
        time.sleep(PAUSE)
        missing = [other for other in missing if not store.check([f"{name}/{other}"])]
        if missing and time.monotonic() > deadline:
            raise RuntimeError(f"process {', '.join(map(str, missing))} did not come within {seconds:.0f} seconds")
    return name
