"""Part 1: every CUDA file compiled for this GPU, several at once, into the cache from which the other parts take them;
then every kernel loaded, and asked for its registers, its shared memory and its spills.

`python -m tests.gpu.compiled FILE` compiles one file.
"""

import subprocess
import sys
import time
from typing import Any

from bertref.backends.cupy.kernels import sources

from .context import Context, PartFailed

ATTRIBUTES = ("num_regs", "shared_size_bytes", "local_size_bytes", "max_threads_per_block")
DRY_FILES = ("column_sum", "philox")


def run(context: Context) -> None:
    wrong = _on_cpu(context) if context.dry else _on_gpu(context)
    if wrong:
        raise PartFailed("; ".join(wrong)[:400])


def _on_cpu(context: Context) -> list[str]:
    """Dry: two of the files, as C++."""
    from ..backends.cupy.kernels.on_cpu import library_of

    for file in DRY_FILES:
        start = time.monotonic()
        kernels = {e: {} for e in sources.EXPRESSIONS[file] if library_of(file).find_kernel(e.encode()) >= 0}
        context.report(file=file, seconds=round(time.monotonic() - start, 2), kernels=kernels)
    return []


def _on_gpu(context: Context) -> list[str]:
    """What is wrong with a file or a kernel."""
    start = time.monotonic()
    compilers = {
        file: subprocess.Popen([sys.executable, "-m", __spec__.name, file], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
        for file in sources.EXPRESSIONS
    }  # fmt: skip
    wrong = []
    for file, process in compilers.items():
        _, said = process.communicate()
        seconds = round(time.monotonic() - start, 2)
        if process.returncode:
            wrong.append(f"{file}: {(said.strip() or 'no words').split(chr(10))[-1]}")
            context.report(file=file, seconds=seconds, said=said[-3000:])
            continue
        kernels = attributes(file)
        context.report(file=file, seconds=seconds, kernels=kernels)
        wrong += [f"{name} spills" for name, about in kernels.items() if about["local_size_bytes"]]
    return wrong


def attributes(file: str) -> dict[str, dict[str, int]]:
    """Kernel -> what the driver says of it."""
    from bertref.backends.cupy.kernels.loaded import module

    found = {}
    for expression in sources.EXPRESSIONS[file]:
        function = module(file).get_function(expression)
        found[expression] = {name: int(getattr(function, name)) for name in ATTRIBUTES}
    return found


def lines(records: list[dict[str, Any]]) -> list[str]:
    files = [r for r in records if "file" in r]
    told = [f"{r['file']}: {r['said'].strip().split(chr(10))[-1]}" for r in files if "said" in r]
    if files:
        count, last = sum(len(r.get("kernels", ())) for r in files), max(r["seconds"] for r in files)
        told.append(f"{count} kernels of {len(files)} files in {last:.1f} s")
    return told


if __name__ == "__main__":
    from bertref.backends import get
    from bertref.backends.cupy.kernels.loaded import module

    get("cupy")
    module(sys.argv[1]).compile()
