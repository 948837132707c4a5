"""Part 0: which GPU this is, and the two speeds that bound everything: products, and copies within its memory."""

import importlib.metadata
import math
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bertref import backends

from .context import Context

ASKED = (
    "name", "driver_version", "compute_cap", "memory.total", "memory.used", "clocks.sm", "clocks.max.sm", "clocks.mem",
    "power.limit", "temperature.gpu", "utilization.gpu",
)  # fmt: skip
PACKAGES = ("numpy", "cupy-cuda13x", "torch", "transformers", "triton", "nvidia-cublas", "array-api-compat")
DTYPES = ("bfloat16", "float16", "float32")
SIZE, DRY_SIZE = 8192, 64
"""Of a square product, and of the matrix that is copied, in float32: 256 MiB are more than a chip's cache holds."""
TRIALS = 5


def run(context: Context) -> None:
    context.report(what="chip", **smi(), packages={name: version(name) for name in PACKAGES})
    size = DRY_SIZE if context.dry else SIZE
    factors = np.random.default_rng(0).random((2, size, size), np.float32) - np.float32(0.5)
    for name in ("torch:cpu",) if context.dry else ("cupy", "torch:cuda"):
        xp = backends.get(name).xp
        context.report(what="copies", library=name, gb_s=copy_speed(xp, factors[0]))
        for dtype in DTYPES:
            speed = product_speed(xp, factors, dtype)
            context.report(what="products", library=name, dtype=dtype, size=size, tflop_s=speed)


def smi() -> dict[str, str | None]:
    """What nvidia-smi says of the first GPU; None where it does not know."""
    program = shutil.which("nvidia-smi")
    found: dict[str, str | None] = dict.fromkeys(ASKED)
    for name in ASKED if program else ():
        said = subprocess.run(
            [program, "-i", "0", f"--query-gpu={name}", "--format=csv,noheader"], capture_output=True, text=True
        )
        found[name] = said.stdout.strip() if said.returncode == 0 else None
    return found


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def fastest(xp: Any, call: Callable[[], Any], times: int = 10) -> float:
    """Seconds of one call, the best of `TRIALS` rounds of so many, after one to warm up."""
    best = math.inf
    call()
    for _ in range(TRIALS):
        xp.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            call()
        xp.synchronize()
        best = min(best, (time.perf_counter() - start) / times)
    return best


def copy_speed(xp: Any, array: Any) -> float:
    """10⁹ bytes a second, read and written, of copies of an array."""
    x = xp.from_numpy(array)
    return 2 * array.nbytes / fastest(xp, lambda: xp.astype(x, x.dtype, copy=True)) / 1e9


def product_speed(xp: Any, factors: Any, dtype: str) -> float:
    """10¹² operations a second in products of two random square matrices."""
    a, b = (xp.from_numpy(x, dtype) for x in factors)
    return 2 * len(a) ** 3 / fastest(xp, lambda: xp.matmul(a, b)) / 1e12


def limits(records: list[dict[str, Any]]) -> dict[str, float]:
    """The best speeds that this part has found: "copies" in 10⁹ bytes a second, dtypes in 10¹² operations."""
    found: dict[str, float] = {}
    for record in records:
        if record.get("what") in ("copies", "products"):
            name = record.get("dtype", "copies")
            found[name] = max(found.get(name, 0.0), record.get("gb_s") or record["tflop_s"])
    return found


def lines(records: list[dict[str, Any]]) -> list[str]:
    told = [
        f"{r['name']}, driver {r['driver_version']}, {r['memory.total']}, SM {r['clocks.sm']} of {r['clocks.max.sm']}, "
        f"{r['power.limit']}, {r['temperature.gpu']} C; " + ", ".join(f"{n} {v}" for n, v in r["packages"].items() if v)
        for r in records if r.get("what") == "chip"
    ]  # fmt: skip
    for library in dict.fromkeys(r["library"] for r in records if "library" in r):
        own = [r for r in records if r.get("library") == library]
        speeds = [f"{r['dtype']} {r['tflop_s']:.1f}" for r in own if r["what"] == "products"]
        copies = [f"copies {r['gb_s']:.0f} GB/s" for r in own if r["what"] == "copies"]
        told.append(f"{library}: {', '.join(copies)}; TFLOP/s in products: {', '.join(speeds)}")
    return told
