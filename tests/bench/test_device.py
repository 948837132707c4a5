"""Races on a GPU, as far as they can be seen without one: where the peer computes, and whose memory is counted."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bertref.bench import Job, device, roofline, worker
from bertref.bench.race import arena, race
from bertref.bench.sides import make_side
from bertref.bench.sides.torch_device import TorchDevice
from bertref.cli import render_bench
from bertref.errors import InputError
from tests.bench import small


@pytest.mark.parametrize(("backend", "place"), [
    ("numpy", "cpu"), ("torch", "cpu"), ("torch:cpu", "cpu"), ("torch:cuda", "cuda:0"), ("torch:cuda:1", "cuda:1"),
    ("cupy", "cuda:0"), ("cupy:2", "cuda:2"), ("torch:xla", "cpu"),
])  # fmt: skip
def test_both_sides_are_on_the_device_of_ours(backend: str, place: str) -> None:
    job = Job("pretrain", backend=backend)
    assert job.device == job.of("transformers").device == place
    assert torch.device(job.device).type in ("cpu", "cuda")


def test_a_peer_of_the_cpu_is_refused() -> None:
    with pytest.raises(InputError, match="--peer onnxruntime computes on the CPU, not on the GPU of --backend cupy"):
        Job("encode", backend="cupy").of("onnxruntime")
    assert Job("encode", backend="cupy").of("torch").side == "torch"


@pytest.mark.parametrize(
    ("command", "peer"), [("pretrain", "transformers"), ("pretrain", "torch"), ("encode", "torch")]
)
def test_all_that_a_peer_computes_with_is_on_its_device(tmp_path: Path, command: str, peer: str) -> None:
    """On torch's device without numbers, which takes no tensor of another one."""
    job = small.job(tmp_path, command)
    with arena(job) as folder:
        side: Any = make_side(replace(job, folder=str(folder)).of(peer))
    side.model.to("meta")
    assert side.batches[0]["ids" if command == "encode" else "input_ids"].device.type == "cpu"
    side.device.name = "meta"
    side.device.synchronize = lambda: None
    if command == "encode":
        with torch.inference_mode():
            assert side.answer(side.batches[0]).device.type == "meta"
        return
    side.batches[0].pop("attention_mask", None)  # transformers asks for its values
    loss = side.loss(side.batches[0]) if peer == "torch" else side.answer(side.batches[0]).loss
    assert loss.device.type == "meta"
    loss.backward()
    assert {p.grad.device.type for p in side.model.parameters() if p.grad is not None} == {"meta"}


def test_batches_wait_in_pinned_memory_and_cross_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: said.append("pinned") or tensor)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda where: said.append(f"waited for {where}"))
    there = TorchDevice(Job("pretrain", backend="cupy:1", peer_dtype="bfloat16"))
    there.on_host({"a": torch.zeros(2).numpy()})
    there.synchronize()
    assert said == ["pinned", "waited for cuda:1"]
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype, enabled: (kind, dtype, enabled))
    assert there.autocast() == ("cuda", torch.bfloat16, True)
    here = TorchDevice(Job("pretrain"))
    here.on_host({"a": torch.zeros(2).numpy()})
    here.synchronize()
    assert said == ["pinned", "waited for cuda:1"]


class Counted:
    """An allocator that says how often it was asked to forget."""

    device = "a GPU"

    def __init__(self, side: str) -> None:
        self.side, self.forgotten = side, 0

    def forget(self) -> None:
        self.forgotten += 1

    def peak(self) -> int:
        assert self.forgotten == 2  # after set-up, and after the figures
        return {"ours": 3 << 20, "reference": 4 << 20}[self.side]


def test_memory_is_that_of_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    small.race_here(monkeypatch)
    monkeypatch.setattr(worker, "allocator", lambda job: Counted(job.side))
    found = race(small.job(tmp_path, "encode"), "reference", repeat=1, with_memory=True)
    expected = {"where": "device", "measured": 3 << 20, "peer": 4 << 20, "ratio": 0.75}
    assert expected.items() <= found["memory"].items()
    assert found["ours"]["device"] == found["peer"]["device"] == "a GPU"
    render_bench.result({**found, "memory": {**found["memory"], "predicted": None}})
    drawn = capsys.readouterr().out
    assert "peak memory of the GPU: measured 3 MiB, the peer 4 MiB, 0.75 of it" in drawn
    assert "a GPU" in drawn


def test_whose_memory_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "CupyPool", lambda index: ("cupy", index))
    monkeypatch.setattr(device, "TorchAllocator", lambda index: ("torch", index))
    job = Job("pretrain", backend="cupy:1")
    assert device.allocator(job) == device.allocator(job.of("reference")) == ("cupy", 1)
    assert device.allocator(job.of("transformers")) == ("torch", 1)
    assert device.allocator(Job("pretrain", backend="torch:cuda")) == ("torch", 0)
    assert device.allocator(Job("pretrain")) is None


def test_the_allocators_of_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    said: list[Any] = []
    pool = SimpleNamespace(free_all_blocks=lambda: said.append("freed"), total_bytes=lambda: 7)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda index: {"name": b"GPU %d" % index})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: said.append("emptied"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda index: said.append(index))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda index: 8)
    both = device.CupyPool(1), device.TorchAllocator(2)
    for allocator in both:
        allocator.forget()
    assert said == ["freed", "emptied", 2]
    assert [(a.device, a.peak()) for a in both] == [("GPU 1", 7), ("GPU 2", 8)]


def test_the_roof_is_that_of_the_backend_in_the_type_of_its_products(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Asked:
        def __init__(self, name: str, surroundings: Any) -> None: ...

        def ask(self, do: str, **values: Any) -> dict[str, Any]:
            asked.append(values)
            return {"flops": 5e14}

    monkeypatch.setattr(roofline, "Process", Asked)
    stack: Any = SimpleNamespace(enter_context=lambda process: process)
    roof = roofline.Roof(stack, Job("pretrain", backend="cupy", dtype="mixed-bfloat16"), "transformers")
    assert roof.about == {"size": 8192, "dtype": "bfloat16", "cupy": 5e14, "torch": None}
    assert roof.flops() == 5e14
    assert asked == [{"side": "cupy", "size": 8192, "threads": 1, "dtype": "bfloat16"}] * 2
    found = roofline.products("torch:cpu", 32, 1, "bfloat16")
    assert found["flops"] == pytest.approx(2 * 32**3 / found["seconds"])
