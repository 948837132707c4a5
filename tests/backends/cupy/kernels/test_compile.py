"""The CUDA files compile for GPUs, by NVRTC, which needs none: without spills, within their launch bounds, with little
shared memory."""

import os
import re
from typing import Any

import pytest

from bertref.backends.cupy.kernels import sources

pytest.importorskip("cupy", reason="cupy is not installed")
core = pytest.importorskip("cupy._core.core")

ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
SHARED_MEMORY, REGISTERS = 48 << 10, 64 << 10
"""Static shared memory of a block, and registers that a block has, for all its threads."""


def nvrtc() -> Any:
    from cupy.cuda import nvrtc as found

    try:
        found.getVersion()
    except Exception as error:
        pytest.skip(f"libnvrtc is not here: {str(error).splitlines()[0]}")
    return found


def compiled(text: str, expressions: tuple[str, ...], architecture: str) -> tuple[dict[str, str], str]:
    """The compiled names of the instantiations, and the compiler's log. Options are those of CuPy's RawModule."""
    compiler = nvrtc()
    os.environ["CUDA_CACHE_DISABLE"] = "1"
    program = compiler.createProgram(text, "kernels.cu", (), ())
    for expression in expressions:
        compiler.addNameExpression(program, expression)
    options = core.assemble_cupy_compiler_options(sources.OPTIONS)
    try:
        compiler.compileProgram(program, (*options, f"-arch={architecture}", "-ftz=true", "--ptxas-options=-v"))
    except compiler.NVRTCError:
        raise AssertionError(compiler.getProgramLog(program)) from None
    assert len(compiler.getCUBIN(program)) > 1000
    return {compiler.getLoweredName(program, e): e for e in expressions}, compiler.getProgramLog(program)


def bound(text: str, kernel: str) -> int:
    """The most threads of a block that `__launch_bounds__` names, a number or a constant of the file."""
    found = re.search(rf"__launch_bounds__\(([^)]+)\)\s+{kernel}\(", text)
    assert found, kernel
    names = dict(re.findall(r"\b(\w+) = (\d+)[,;]", text))
    product = 1
    for factor in found[1].split("*"):
        product *= int(names.get(factor.strip(), factor))
    return product


def faults(log: str, names: dict[str, str], text: str) -> list[str]:
    """What is wrong with a kernel, by what ptxas says of it."""
    found, seen = [], set()
    for about in log.split("Compiling entry function ")[1:]:
        expression = names[about.split("'")[1]]
        seen.add(expression)
        spills = [int(n) for n in re.findall(r"(\d+) bytes (?:stack frame|spill)", about)]
        registers = int(re.findall(r"Used (\d+) registers", about)[0])
        shared = sum(int(n) for n in re.findall(r"(\d+) bytes smem", about))
        threads = bound(text, expression.partition("<")[0])
        if len(spills) != 3 or any(spills):
            found.append(f"{expression}: registers are spilled, or a local array is in memory")
        if registers * threads > REGISTERS:
            found.append(f"{expression}: {registers} registers for {threads} threads")
        if shared > SHARED_MEMORY:
            found.append(f"{expression}: {shared} bytes of shared memory")
    return found + [f"{expression}: not compiled" for expression in names.values() if expression not in seen]


def check(name: str, expressions: tuple[str, ...], architecture: str) -> None:
    names, log = compiled(sources.source(name), expressions, architecture)
    assert faults(log, names, sources.source(name)) == []


@pytest.mark.parametrize("name", sources.EXPRESSIONS)
def test_a_file_compiles(name: str) -> None:
    """What training in bfloat16 asks for, on one architecture."""
    every = sources.EXPRESSIONS[name]
    check(name, tuple(e for e in every if "__nv_bfloat16" in e and ", 1" not in e) or every, "sm_90")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", sources.EXPRESSIONS)
def test_all_of_a_file_compiles(name: str, architecture: str) -> None:
    check(name, sources.EXPRESSIONS[name], architecture)


SPILLS = """
__global__ void __launch_bounds__(1024) spills(float* x)
{
    float many[40] = {};
    for (int k = 0; k < 40; ++k) many[(int)x[k * threadIdx.x]] += 1;
    for (int k = 0; k < 40; ++k) x[k * 1024 + threadIdx.x] = many[k];
}
"""
SHARES = """
__global__ void __launch_bounds__(32) shares(float* x)
{
    __shared__ float many[12290];
    for (int k = threadIdx.x; k < 12290; k += 32) many[k] = x[k];
    __syncthreads();
    x[threadIdx.x] = many[12289 - threadIdx.x];
}
"""


def test_spills_are_seen() -> None:
    names, log = compiled(SPILLS, ("spills",), "sm_90")
    assert faults(log, names, SPILLS) == ["spills: registers are spilled, or a local array is in memory"]


def test_too_much_shared_memory_is_seen() -> None:
    with pytest.raises(AssertionError, match=r"uses too much shared (data|memory)"):
        compiled(SHARES, ("shares",), "sm_90")


def test_an_error_is_told() -> None:
    with pytest.raises(AssertionError, match="identifier"):
        compiled("__global__ void wrong() { nothing_known(); }", ("wrong",), "sm_90")
