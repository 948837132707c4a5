"""Each of several processes has a GPU of its own, and options are the same in all."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bertref import backends
from bertref.backends import local
from bertref.evaluation import EvaluateOptions, opening
from bertref.train import PretrainOptions
from bertref.train.finetuning import setup as finetuning
from bertref.train.finetuning.options import FinetuneOptions
from bertref.train.pretraining import setup as pretraining

cupy = pytest.importorskip("cupy", reason="cupy is not installed")


@pytest.fixture(params=[1, 2, 4])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many, as both libraries count them."""
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: count)
    return count


def place(rank: int, size: int, here: int) -> dict[str, str]:
    """The environment of process `rank` of `size`, of which `here` are on each machine."""
    return {"WORLD_SIZE": str(size), "RANK": str(rank), "LOCAL_RANK": str(rank % here), "LOCAL_WORLD_SIZE": str(here)}


@pytest.mark.parametrize("spec", ["torch:cuda", "cupy"])
def test_processes_of_a_machine_are_spread_over_its_gpus(gpus: int, spec: str) -> None:
    found = [local(spec, place(rank, 8, 4)) for rank in range(8)]
    assert found == [f"{spec}:{rank % 4 % gpus}" for rank in range(8)]


@pytest.mark.parametrize("spec", ["numpy", "torch", "torch:cpu", "torch:cuda:0", "torch:cuda:1", "cupy:0", "cupy:3",
                                  "torch:xla", "torch:xla:all", "strict", "another"])  # fmt: skip
def test_what_names_a_device_is_taken_as_said(gpus: int, spec: str) -> None:
    assert local(spec, place(1, 4, 4)) == spec


@pytest.mark.parametrize("environment", [{}, {"LOCAL_RANK": "1"}, {"WORLD_SIZE": "1", "LOCAL_RANK": "0"},
                                         {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "2", "LOCAL_RANK": "one"}])  # fmt: skip
@pytest.mark.parametrize("spec", ["torch:cuda", "cupy"])
def test_without_torchrun_nothing_changes(gpus: int, spec: str, environment: dict[str, str]) -> None:
    assert local(spec, environment) == spec


@pytest.mark.parametrize("spec", ["torch:cuda", "cupy"])
def test_without_a_gpu_it_is_the_backend_that_says_so(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise RuntimeError("no driver")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", broken)
    assert local(spec, place(1, 2, 2)) == spec


class Asked(Exception):
    """Of a backend, by name."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 3 of 4 with as many GPUs, where every backend that is asked for is told by `Asked`."""

    def get(spec: str) -> Any:
        raise Asked(spec)

    for name, value in place(3, 4, 4).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(backends, "get", get)
    monkeypatch.setattr(opening, "load", lambda model, backend, **_: get(backend))


@pytest.mark.parametrize(("given", "meant"), [("torch:cuda", "torch:cuda:3"), ("torch:cuda:1", "torch:cuda:1")])
def test_training_and_evaluation_use_it_and_leave_the_options_alone(
    asked: None, given: str, meant: str, tmp_path: Any
) -> None:
    before = PretrainOptions(corpus=(), backend=given)
    evaluated = EvaluateOptions("sst-2", "data", model="m", backend=given)
    for work in (
        lambda: pretraining.basis_of(before),
        lambda: finetuning.basis_of(FinetuneOptions("sst-2", "data", model="m", backend=given), tmp_path),
        lambda: opening.open_model(evaluated, SimpleNamespace(), print),
    ):  # fmt: skip
        with pytest.raises(Asked, match=f"^{meant}$"):
            work()
    assert before.backend == given
