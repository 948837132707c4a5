"""Which words moved an answer: attributions to words by gradients, and attention maps."""

from .attention import AttentionMap, attention_map
from .attribution import METHODS, explain
from .records import Explanation, WordValue

__all__ = ["METHODS", "AttentionMap", "Explanation", "WordValue", "attention_map", "explain"]
