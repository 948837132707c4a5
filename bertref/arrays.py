"""Names for the array types, which differ from backend to backend and are therefore opaque to the type checker."""

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of the active backend: numpy.ndarray, cupy.ndarray, torch.Tensor, ..."""

Namespace: TypeAlias = Any
"""`xp`: the functions of the Python array API standard plus the extras of `bertref.backends.contract`."""
