"""A model as an ONNX file: the ops recorded through a namespace that emits ONNX instead of computing.

`export` writes the file; `answers.answers` says what it has to answer.
"""

from .export import DTYPES, INPUTS, export

__all__ = ["DTYPES", "INPUTS", "export"]
