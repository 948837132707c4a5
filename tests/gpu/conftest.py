"""The dry parts use the same libraries of the CUDA files as the kernels' own tests."""

from ..backends.cupy.kernels.conftest import kept_libraries

__all__ = ["kept_libraries"]
