"""bfloat16 in NumPy and CuPy, which take it from the package ml_dtypes."""

from collections.abc import Callable
from typing import Any

import numpy as np


def dtypes() -> dict[str, Any]:
    """The half precisions that can be had: float16 always, bfloat16 where ml_dtypes is installed."""
    found: dict[str, Any] = {"float16": np.dtype("float16")}
    try:
        import ml_dtypes
    except ImportError:
        return found
    return {**found, "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def finfo_with_bfloat16(finfo: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`finfo` for bfloat16 as well: NumPy's own refuses a dtype that it did not define."""

    def either(kind: Any, /) -> Any:
        bfloat16 = dtypes().get("bfloat16")
        # the test for None comes first: NumPy takes None for float64
        if bfloat16 is not None and getattr(kind, "dtype", kind) == bfloat16:
            import ml_dtypes

            return ml_dtypes.finfo("bfloat16")  # type: ignore[no-untyped-call]
        return finfo(kind)

    return either


def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether sums in this dtype are taken in float32."""
    return dtype.name in ("float16", "bfloat16")
