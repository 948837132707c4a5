"""The shim tells right kernels from wrong ones: each of these has one fault that a GPU may hide."""

import ctypes
from typing import Any

import numpy as np
import pytest

from bertref.backends.cupy.kernels import sources
from bertref.backends.cupy.kernels.device import Shape

from . import on_cpu

TEXT = sources.included("""
#include "half.cuh"
#include "reduce.cuh"

__global__ void right(In<float> x, Out<float> y, int)
{
    __shared__ Shared<float, 64> row;
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = over_block<Sum>(row[63 - threadIdx.x]);
}
__global__ void no_barrier(In<float> x, Out<float> y, int)
{
    __shared__ Shared<float, 64> row;
    row[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = row[63 - threadIdx.x];
}
__global__ void overwritten_too_early(In<float> x, Out<float> y, int)
{
    __shared__ Shared<float, 64> row;
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = row[63 - threadIdx.x];
    row[threadIdx.x] = 0.0f;
}
__global__ void two_writers(In<float> x, Out<float> y, int)
{
    __shared__ Shared<float, 64> row;
    row[threadIdx.x / 2] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x / 2];
}
__global__ void never_written(In<float> x, Out<float> y, int)
{
    __shared__ Shared<float, 64> row;
    __syncthreads();
    y[threadIdx.x] = row[threadIdx.x];
}
__global__ void beyond_shared(In<float> x, Out<float> y, int)
{
    __shared__ Shared<float, 64> row;
    row[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = 0.0f;
}
__global__ void exit_before_a_barrier(In<float> x, Out<float> y, int)
{
    if (threadIdx.x == 40) return;
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
__global__ void two_barriers(In<float> x, Out<float> y, int)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
__global__ void exit_before_a_shuffle(In<float> x, Out<float> y, int)
{
    if (threadIdx.x == 40) return;
    y[threadIdx.x] = over_warp<Sum>(x[threadIdx.x]);
}
__global__ void some_lanes(In<float> x, Out<float> y, int)
{
    y[threadIdx.x] = __shfl_xor_sync(0xffffu, x[threadIdx.x], 1);
}
__global__ void beyond_the_end(In<float> x, Out<float> y, int) { y[threadIdx.x] = x[threadIdx.x + 1]; }
__global__ void before_the_beginning(In<float> x, Out<float> y, int)
{
    y[threadIdx.x] = x[(long long)threadIdx.x - 1];
}
__global__ void written_beyond_the_end(In<float> x, Out<float> y, int) { y[threadIdx.x + 1] = x[threadIdx.x]; }
__global__ void misaligned(In<float> x, Out<float> y, int)
{
    if (threadIdx.x == 0) store<float, 8>(y, 8, load<8>(x, 4));
}
__global__ void whoever_comes_last(In<float> x, Out<float> y, int) { y[0] = x[threadIdx.x]; }
""")
FAULTS = {
    "no_barrier": "read (before it is written|with no barrier)",
    "overwritten_too_early": "(read|written) with no barrier after",
    "two_writers": "is written by threads 0 and 1",
    "never_written": "read before it is written",
    "beyond_shared": "shared element 64 of 64",
    "exit_before_a_barrier": "wait for ever",
    "two_barriers": "wait for ever",
    "exit_before_a_shuffle": "wait for ever",
    "some_lanes": "a shuffle of some lanes only",
    "beyond_the_end": "elements 64 to 64 of an array of 64.*thread 63",
    "before_the_beginning": "elements -1 to -1",
    "written_beyond_the_end": "elements 64 to 64",
    "misaligned": "element 4 is not aligned to 8",
    "whoever_comes_last": "other bits in another order",
}


ONE = np.int32(1)


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return on_cpu.compiled("faults", TEXT, ("right", *FAULTS))


def launch(library: ctypes.CDLL, kernel: str, *, threads: int = 64, x: Any = None, last: Any = ONE) -> Any:
    y = np.zeros(64, np.float32)
    x = np.arange(64, dtype=np.float32) if x is None else x
    on_cpu.Cpu({"faults": library}).launch("faults", kernel, Shape((2, 1), (threads, 1)), x, y, last)
    return y


def test_a_right_kernel_passes(library: ctypes.CDLL) -> None:
    np.testing.assert_array_equal(launch(library, "right"), np.full(64, np.arange(64).sum()))


@pytest.mark.parametrize("kernel", FAULTS)
def test_a_fault_is_seen(library: ctypes.CDLL, kernel: str) -> None:
    with pytest.raises(on_cpu.Fault, match=FAULTS[kernel]):
        launch(library, kernel)


def test_a_fault_is_forgotten_by_the_next_launch(library: ctypes.CDLL) -> None:
    with pytest.raises(on_cpu.Fault):
        launch(library, "beyond_the_end")
    assert launch(library, "right").any()


@pytest.mark.parametrize("given", [
    {"threads": 48}, {"threads": 2048}, {"x": np.arange(64.0)}, {"x": np.zeros(128, np.float32)[::2]},
    {"last": np.int64(1)}, {"last": np.float32(1)}, {"last": 1}, {"last": None},
])  # fmt: skip
def test_a_wrong_launch_is_seen(library: ctypes.CDLL, given: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        launch(library, "right", **given)
