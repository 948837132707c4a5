"""What is installed and usable on this machine: the facts that `bertref doctor` shows. Prints nothing."""

import importlib.metadata
import os
import platform
import sys
from typing import Any

from ..plumbing.processor import first_processor, usable_cores
from .probe import probe_all

EXTRAS = {
    "tokenizers": "pip install bertref",
    "safetensors": "pip install bertref",
    "matplotlib": "pip install 'bertref[plot]'",
    "mkl": "pip install 'bertref[mkl]'",
    "tensorboardX": "pip install 'bertref[tensorboard]'",
    "ml_dtypes": "pip install ml_dtypes",
}
"""Libraries that a command may want, and how a person gets them."""

NARROW_KERNELS = ("Haswell", "Zen")
"""OpenBLAS kernels that use 256-bit vectors, of which AVX-512 machines have twice the width."""
NARROW = (
    "this CPU has AVX-512 but OpenBLAS did not choose it; OPENBLAS_CORETYPE=SkylakeX in the "
    "environment, before Python starts, can make float32 products twice as fast"
)
ONE_THREAD = (
    "on this processor the bits of MKL's products depend on the number of threads, so each is made on one; "
    "without BERTREF_MKL=on those of single texts use all threads"
)


def report() -> dict[str, Any]:
    """The facts, as plain values that JSON can hold.

    versions    Python, the system, bertref, NumPy and array-api-compat
    cpu         model, cores, threads allowed
    blas        the matrix library inside NumPy, its kernel, its threads, who makes the kernels' products, advice
    backends    name -> installed, version, usable, devices, unusable (device -> cause), install (what to do)
    extras      optional library -> version, or what to install
    """
    return {
        "versions": _versions(),
        "cpu": cpu(),
        "blas": blas(),
        "backends": probe_all(),
        "extras": {name: _version(name) or f"not installed; {remedy}" for name, remedy in EXTRAS.items()},
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in ("bertref", "numpy", "array-api-compat"):
        found[name] = _version(name) or "no installed metadata"
    return found


def cpu() -> dict[str, Any]:
    """The row `cpu` of the report."""
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    return {
        "model": first_processor().get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "usable": usable_cores(),
        **threads,
    }


def blas() -> dict[str, Any]:
    """The row `blas` of the report."""
    import numpy as np

    from .numpy.blas import mkl, openblas

    config: Any = np.show_config(mode="dicts")
    built = config.get("Build Dependencies", {}).get("blas", {})
    found: dict[str, Any] = {"name": built.get("name", "unknown"), "version": built.get("version", "unknown")}
    advice = [problem] if (problem := mkl.problem()) else []
    version = None if problem else mkl.version()
    found["products"] = f"MKL {version}" if version else found["name"]
    if version and not mkl.shares_products():
        advice.append(ONE_THREAD)
    if openblas.library() is not None:
        found["kernel"] = openblas.core() or "unknown"
        found["threads"] = openblas.threads()
        if found["kernel"] in NARROW_KERNELS and _has_avx512():
            advice.append(NARROW)
    return found | ({"advice": "; ".join(advice)} if advice else {})


def _has_avx512() -> bool:
    """Whether the CPU has what OpenBLAS's SkylakeX kernels use, as NumPy detected it."""
    features = getattr(sys.modules.get("numpy._core._multiarray_umath"), "__cpu_features__", {})
    return bool(features.get("AVX512_SKX") or features.get("X86_V4"))
