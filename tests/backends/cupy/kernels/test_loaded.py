"""CuPy's side of a launch, as far as it can be seen without a GPU: what CuPy would be given."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from bertref.backends.cupy.kernels import kernels, sources, updates
from bertref.backends.cupy.kernels.device import Shape
from bertref.opset import OpSet

from .on_cpu import Cpu

cupy = pytest.importorskip("cupy", reason="cupy is not installed")
loaded = pytest.importorskip("bertref.backends.cupy.kernels.loaded")
backend = pytest.importorskip("bertref.backends.cupy.backend")


def test_a_launch_is_handed_to_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []

    class Module:
        def __init__(self, file: str) -> None:
            self.file = file

        def get_function(self, kernel: str) -> Any:
            return lambda *arguments: called.append((self.file, kernel, *arguments))

    monkeypatch.setattr(loaded, "module", Module)
    x = object()
    loaded.CupyDevice().launch("rows", "gather_rows<float, 8>", Shape((5, 2), (32, 4)), x, None, np.int64(7))
    ((file, kernel, blocks, threads, arguments),) = called
    assert (file, kernel, blocks, threads) == ("rows", "gather_rows<float, 8>", (5, 2), (32, 4))
    assert arguments[0] is x
    assert [(a.dtype, int(a)) for a in arguments[1:]] == [(np.int64, 0), (np.int64, 7)]  # a null pointer has 8 bytes


@pytest.mark.parametrize("name", sources.EXPRESSIONS)
def test_a_module_is_a_whole_file(name: str) -> None:
    module = loaded.module(name)
    assert module is loaded.module(name)
    assert (module.code, module.options) == (sources.source(name), sources.OPTIONS)
    assert module.name_expressions == sources.EXPRESSIONS[name]


def test_the_backend_has_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """`create`, with a GPU that is only said to be there."""
    cuda = SimpleNamespace(Device=lambda index: SimpleNamespace(use=lambda: None))
    fake = SimpleNamespace(cuda=cuda, RawKernel=cupy.RawKernel, ones=MagicMock())
    monkeypatch.setattr(backend, "devices", lambda: ["a GPU"])
    monkeypatch.setattr(backend, "cupy", fake)
    made = backend.create(None)
    assert set(made.kernels) == set(kernels(Cpu()))
    assert set(made.updates) == set(updates(Cpu()))
    ops = OpSet(made)
    assert ops.draw is made.draw is not None
    assert OpSet(made, kernels=False).draw is None
