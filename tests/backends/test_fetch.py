"""`xp.fetch`: the values of `to_numpy`; on GPUs, here played by stand-ins, without waiting for what is asked later."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bertref.backends import Backend

VALUES = np.array([[1.5, -2.0, 0.25], [3.0, np.inf, -0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_it_brings_the_values(backend: Backend, dtype: str) -> None:
    xp = backend.xp
    x = xp.from_numpy(np.where(np.isfinite(VALUES), VALUES, 7.0), dtype)
    values = xp.fetch(x)
    found = values()
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, xp.to_numpy(x), strict=True)


def test_bfloat16_becomes_float32(half_backend: Backend) -> None:
    xp = half_backend.xp
    found = xp.fetch(xp.from_numpy(VALUES, "bfloat16"))()
    np.testing.assert_array_equal(found, VALUES.astype(np.float32), strict=True)


class Event:
    """Of a stream that has not come so far until it is waited for."""

    made: list["Event"]

    def __init__(self, **options: Any) -> None:
        self.done, self.recorded = False, False
        Event.made.append(self)

    def record(self, stream: Any = None) -> None:
        self.recorded = True

    def synchronize(self) -> None:
        self.done = True


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    monkeypatch.setattr(Event, "made", [], raising=False)
    return Event.made


def test_cuda_waits_for_the_copy_alone(monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> None:
    import torch

    from bertref.backends.torch.cuda import CudaNamespace

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("waits for everything"))
    asked: list[Any] = []
    x = SimpleNamespace(to=lambda *args, **options: asked.append((args, options)) or torch.tensor(VALUES))
    values = CudaNamespace(torch.device("cuda", 0)).fetch(x)
    assert asked == [(("cpu",), {"non_blocking": True})]
    (event,) = events
    assert (event.recorded, event.done) == (True, False)
    np.testing.assert_array_equal(values(), VALUES)
    assert event.done


def test_cuda_sends_by_way_of_page_locked_memory() -> None:
    """But for what is large."""
    import torch

    from bertref.backends.torch import cuda

    said: list[Any] = []
    xp = cuda.CudaNamespace(torch.device("cuda", 0))
    tensor = SimpleNamespace(to=lambda *args, **options: said.append((args, options)))
    tensor.pin_memory = lambda: said.append("page-locked") or tensor
    for size in (cuda.PAGE_LOCKED, cuda.PAGE_LOCKED + 1):
        tensor.nbytes = size
        xp._sent(tensor)
    device = torch.device("cuda", 0)
    assert said == ["page-locked", ((device,), {"non_blocking": True}), ((device,), {})]


def test_cupy_keeps_the_memory_until_the_copy_has_come(monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> None:
    pytest.importorskip("cupy", reason="cupy is not installed")
    backend = pytest.importorskip("bertref.backends.cupy.backend")
    monkeypatch.setattr(backend, "cupyx", SimpleNamespace(empty_pinned=np.empty))
    monkeypatch.setattr(backend, "cupy", SimpleNamespace(cuda=SimpleNamespace(Event=Event)))
    xp = backend.CupyNamespace.__new__(backend.CupyNamespace)
    xp._on_the_way = []

    class Copied:
        shape, dtype = VALUES.shape, VALUES.dtype

        def get(self, *, out: np.ndarray, blocking: bool) -> None:
            assert not blocking
            out[...] = VALUES

    values = xp.fetch(Copied())
    xp.fetch(Copied())
    assert [event.done for event in events] == [False, False]
    assert len(xp._on_the_way) == 2, "both copies are under way, whether or not somebody reads them"
    np.testing.assert_array_equal(values(), VALUES)
    xp.fetch(Copied())
    assert [event for event, _ in xp._on_the_way] == events[1:]
