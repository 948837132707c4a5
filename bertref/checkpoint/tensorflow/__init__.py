"""TensorFlow's checkpoints (`PREFIX.index` and `PREFIX.data-00000-of-00001`), read and written without TensorFlow."""

from .prefix import find_prefix
from .reader import OBJECT_GRAPH, TensorFlowSource
from .writer import write_bundle

__all__ = ["OBJECT_GRAPH", "TensorFlowSource", "find_prefix", "write_bundle"]
