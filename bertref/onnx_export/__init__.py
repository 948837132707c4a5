"""A model as an ONNX file: the ops recorded through a namespace that emits ONNX instead of computing."""
