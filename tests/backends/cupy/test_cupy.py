"""CuPy where there is no GPU: the causes it names, and its kernel, compiled for GPUs and run as C++ on the CPU.

With a GPU, `pytest --backend cupy` runs every other test of this room on it.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bertref import backends
from bertref.backends.cupy.order import sorted_rows
from bertref.errors import BackendUnavailable

cupy = pytest.importorskip("cupy", reason="cupy is not installed")
cupy_backend = pytest.importorskip("bertref.backends.cupy.backend")


class CudaError(RuntimeError):
    def __init__(self, status: int) -> None:
        super().__init__(f"cudaError{status}: words of CUDA")
        self.status = status


@pytest.mark.parametrize(("status", "driver", "cause"), [
    (35, 0, "no NVIDIA driver is installed, or this process can't reach it"),
    (35, 12040, "the NVIDIA driver is too old: it supports CUDA 12.4, cupy 1.2.3 needs 13.2"),
    (100, 13020, "no CUDA device is visible"),
    (999, 13020, "CudaError: cudaError999: words of CUDA"),
])  # fmt: skip
def test_each_cause_has_its_words(monkeypatch: pytest.MonkeyPatch, status: int, driver: int, cause: str) -> None:
    def no_count() -> int:
        raise CudaError(status)

    runtime = SimpleNamespace(CUDARuntimeError=CudaError, getDeviceCount=no_count, driverGetVersion=lambda: driver,
                              runtimeGetVersion=lambda: 13020)  # fmt: skip
    fake = SimpleNamespace(__version__="1.2.3", cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(cupy_backend, "cupy", fake)
    with pytest.raises(BackendUnavailable) as caught:
        cupy_backend.create(None)
    assert str(caught.value).startswith(f"backend 'cupy': {cause}")


def _has_gpu() -> bool:
    try:
        return bool(cupy_backend.devices())
    except BackendUnavailable:
        return False


def test_here_without_a_gpu() -> None:
    if _has_gpu():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BackendUnavailable, match=r"backend 'cupy': .*(driver|no CUDA device)"):
        backends.get("cupy")


@pytest.mark.parametrize("real", ["float", "double"])
def test_the_kernel_compiles_for_a_gpu(real: str) -> None:
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"libnvrtc is not here: {str(error).splitlines()[0]}")
    program = nvrtc.createProgram(cupy_backend.INDEX_ADD, "index_add.cu", (), ())
    nvrtc.compileProgram(program, (f"-DREAL={real}", "-arch=sm_80"))
    assert len(nvrtc.getCUBIN(program)) > 1000


HOST = """
struct Place {{ unsigned x; }};
static Place blockIdx, blockDim, threadIdx;
#define __global__
#define REAL {real}
{kernel}
extern "C" void launch(const REAL* x, const REAL* values, const long long* order, const long long* first, REAL* out,
                       long long rows, long long width, unsigned blocks, unsigned threads)
{{
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
            index_add(x, values, order, first, out, rows, width);
}}
"""


@pytest.fixture(scope="module", params=["float", "double"])
def on_the_cpu(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[type, ctypes.CDLL]:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is here")
    folder: Path = tmp_path_factory.mktemp("kernel")
    (folder / "kernel.cpp").write_text(HOST.format(real=request.param, kernel=cupy_backend.INDEX_ADD), encoding="utf-8")
    library = folder / "kernel.so"
    command = [compiler, "-shared", "-fPIC", "-O1", str(folder / "kernel.cpp"), "-o", str(library)]
    subprocess.run(command, check=True)
    return (np.float32 if request.param == "float" else np.float64), ctypes.CDLL(str(library))


@pytest.mark.parametrize(("rows", "width", "count"), [(5, 3, 40), (1, 1, 7), (300, 7, 2), (4, 256, 9), (3, 2, 1)])
def test_the_kernel_adds_rows_in_order(on_the_cpu: tuple[type, ctypes.CDLL], rows: int, width: int, count: int) -> None:
    dtype, library = on_the_cpu
    rng = np.random.default_rng(count)
    x, values = rng.standard_normal((rows, width)).astype(dtype), rng.standard_normal((count, width)).astype(dtype)
    index = rng.integers(0, rows, count)
    order, first = sorted_rows(np, index, rows)
    out = np.full_like(x, np.nan)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, values, order, first, out)]
    threads = cupy_backend.THREADS
    library.launch(*pointers, ctypes.c_longlong(rows), ctypes.c_longlong(width), -(-x.size // threads), threads)
    expected = x.copy()
    np.add.at(expected, index, values)
    np.testing.assert_array_equal(out, expected)
