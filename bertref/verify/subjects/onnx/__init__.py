"""ONNX files as subjects: `onnx:FILE`, or `OnnxSubject(path, model=FOLDER)`."""

from .subject import OnnxSubject

__all__ = ["OnnxSubject"]
