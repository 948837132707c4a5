"""Pre-training data: from files of text to batches of masked sentence pairs."""

from .batch import Batch, from_labels, padded, validate
from .corpus import Corpus, is_corpus
from .pipeline import PretrainingData, split_documents
from .prefetch import Prefetch

__all__ = [
    "Batch",
    "Corpus",
    "Prefetch",
    "PretrainingData",
    "from_labels",
    "is_corpus",
    "padded",
    "split_documents",
    "validate",
]
