"""A model as an ONNX file: the ops recorded through a namespace that emits ONNX instead of computing."""

from .export import DTYPES, INPUTS, export

__all__ = ["DTYPES", "INPUTS", "export"]
