"""What `bertref doctor` says of GPUs, drivers and CUDA's libraries, asked of stand-ins for machines that have them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertref.backends import gpus, probe

H100 = {"name": "NVIDIA H100 80GB HBM3", "total_memory": 85_029_158_912, "major": 9, "minor": 0}
IN_WORDS = "NVIDIA H100 80GB HBM3 (79 GiB, compute capability 9.0)"
RELEASE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (x)\nGCC 12.3.0\n"


def torch_of(cuda: str | None) -> Any:
    ways = SimpleNamespace(
        is_available=lambda: True, is_nccl_available=lambda: cuda is not None, is_gloo_available=lambda: True,
        is_mpi_available=lambda: False,
    )  # fmt: skip
    device = SimpleNamespace(
        nccl=SimpleNamespace(version=lambda: (2, 27, 7)), device_count=lambda: 1,
        get_device_properties=lambda i: SimpleNamespace(**H100),
    )  # fmt: skip
    return SimpleNamespace(version=SimpleNamespace(cuda=cuda), distributed=ways, cuda=device)


def cupy_of(driver: int) -> Any:
    properties = {"name": b"NVIDIA H100 80GB HBM3", "totalGlobalMem": 85_029_158_912, "major": 9, "minor": 0}
    runtime = SimpleNamespace(driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 13020,
                              getDeviceCount=lambda: 1, getDeviceProperties=lambda i: properties)  # fmt: skip
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "version"
    path.write_text(RELEASE)
    monkeypatch.setattr(gpus, "DRIVER_FILE", path)
    return path


def test_a_gpu_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus.described(H100["name"], H100["total_memory"], (9, 0)) == IN_WORDS
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(torch, "cuda", torch_of("13.0").cuda)
    assert probe._device_names("torch:cuda") == {"torch:cuda:0": IN_WORDS}


def test_cupy_s_gpu_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cupy", reason="cupy is not installed")
    from bertref.backends.cupy import backend

    monkeypatch.setattr(backend, "cupy", cupy_of(13000))
    assert probe._device_names("cupy") == {"cupy:0": IN_WORDS}


def test_torch_with_cuda(driver: Path) -> None:
    assert gpus.of_torch(torch_of("13.0")) == {
        "CUDA": "13.0", "driver": "580.159.04", "NCCL": "2.27.7", "processes": "torchrun, over gloo and nccl",
    }  # fmt: skip


def test_torch_without_cuda_and_driver(driver: Path) -> None:
    driver.unlink()
    assert gpus.of_torch(torch_of(None)) == {
        "CUDA": "none in this build", "NCCL": "none in this build", "processes": "torchrun, over gloo",
    }  # fmt: skip


def test_cupy_with_and_without_a_driver(driver: Path) -> None:
    assert gpus.of_cupy(cupy_of(13000)).items() >= {"CUDA": "13.2", "driver": "580.159.04, up to CUDA 13.0"}.items()
    driver.write_text("")
    assert gpus.of_cupy(cupy_of(13000))["driver"] == "of an unknown release, up to CUDA 13.0"
    assert "driver" not in gpus.of_cupy(cupy_of(0))


def test_this_machine_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    assert probe.probe("torch")["libraries"]["processes"].startswith("torchrun, over gloo")
    assert "libraries" not in probe.probe("numpy")
    monkeypatch.setattr(gpus, "of_torch", lambda torch: 1 / 0)
    assert "libraries" not in probe.probe("torch")
