"""What CUDA files may hold: what the shim runs as a GPU does, and nothing that makes two runs differ."""

import re

import pytest

from bertref.backends.cupy.kernels import sources

FILES = sorted(path.name for path in sources.FOLDER.glob("*.cu*"))
FORBIDDEN = {
    "atomics": r"\batomic\w*",
    "inline PTX": r"\basm\b",
    "cooperative groups, also grids that wait": r"cooperative_groups|this_grid|\bcg::",
    "matrix units": r"\bw?g?mma(?:_\w+|::|\b)",
    "asynchronous copies": r"\bcp[._]async|memcpy_async|\b__pipeline",
    "shared memory of a size that only a launch knows": r"extern\s+__shared__",
    "other votes and shuffles": r"\b__(shfl(?!_xor_sync\b|_down_sync\b)|ballot|any|all|match|activemask|syncwarp)\w*",
    "double precision": r"\bdouble\b",
    "clocks and random numbers": r"\bclock\w*|curand",
}
ALLOWED = set(
    "__syncthreads __shfl_xor_sync __umul64hi __float2half_rn __half2float __float2bfloat16_rn __bfloat162float "
    "__launch_bounds__ __int_as_float expf erff tanhf logf log1pf sqrtf fmaxf sizeof alignas".split()
)
"""Functions of CUDA that are called; all others are defined in the files themselves."""
KEYWORDS = {"if", "for", "return", "while", "template", "inline", "const", "float"}


def code(name: str) -> str:
    """A file without its comments."""
    return re.sub(r"//.*", "", (sources.FOLDER / name).read_text(encoding="utf-8"))


def faults(text: str) -> list[str]:
    return [f"{what}: {match[0]}" for what, pattern in FORBIDDEN.items() for match in re.finditer(pattern, text)]


@pytest.mark.parametrize("name", FILES)
def test_nothing_forbidden(name: str) -> None:
    assert faults(code(name)) == []


@pytest.mark.parametrize("line", [
    "atomicAdd(&sum, x);", 'asm volatile("bar.sync 0;");', "#include <cooperative_groups.h>", "clock64();",
    "wmma::mma_sync(d, a, b, c);", "__pipeline_memcpy_async(a, b, 16);", "extern __shared__ float row[];",
    "__shfl_sync(m, x, 0);", "__ballot_sync(m, x);", "double sum = 0;",
])  # fmt: skip
def test_each_of_them_is_seen(line: str) -> None:
    assert len(faults(line)) >= 1


@pytest.mark.parametrize("name", FILES)
def test_functions_are_the_files_own_or_allowed(name: str) -> None:
    text = "\n".join(code(other) for other in FILES)
    defined = set(re.findall(r"\b(\w+)\s*\([^()]*\)\s*(?:const)?\s*\n?\s*\{", text)) | set(
        re.findall(r"\b(\w+)\((?=In<|Out<|$)", text, re.MULTILINE)
    )
    called = set(re.findall(r"\b([A-Za-z_]\w*)\s*(?:<[\w, ]*>)?\s*\(", code(name))) - KEYWORDS
    assert sorted(called - defined - ALLOWED) == []


@pytest.mark.parametrize("name", FILES)
def test_arguments_are_pointers_that_the_shim_checks(name: str) -> None:
    """A kernel's arguments are In, Out and numbers: no plain pointer, which nobody would check."""
    for kernel in re.findall(r"__global__.*?\{", code(name), re.DOTALL):
        assert "*" not in re.sub(r"__launch_bounds__\(.*?\)", "", kernel), kernel


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".cu")])
def test_a_file_says_what_it_computes_and_how_it_is_launched(name: str) -> None:
    comment = (sources.FOLDER / name).read_text(encoding="utf-8").split("#include")[0]
    assert all(line.startswith("//") for line in comment.strip().splitlines())
    assert " = " in comment or "->" in comment
    assert re.search(r"\(\w+(, \w+)*\)", comment)
    assert re.search("^// Grid[:,] ", comment, re.MULTILINE)


def test_the_table_of_instantiations_names_all_kernels() -> None:
    for name, expressions in sources.EXPRESSIONS.items():
        kernels = re.findall(r"__global__\s+void(?:\s+__launch_bounds__\([^\n]*?\))?\s+(\w+)\(", code(f"{name}.cu"))
        assert {expression.partition("<")[0] for expression in expressions} == set(kernels), name
    assert {f"{name}.cu" for name in sources.EXPRESSIONS} == {name for name in FILES if name.endswith(".cu")}
