"""Pre-training data: from files of text to batches of masked sentence pairs."""

from .batch import Batch, from_labels, padded, validate
from .corpus import Corpus, is_corpus
from .documents import Document, read_documents
from .original import original_batches
from .pipeline import PretrainingData, split_documents
from .prefetch import Prefetch
from .shards import prepare
from .tfrecord_data import TFRecordData, write_tfrecords

__all__ = [
    "Batch",
    "Corpus",
    "Document",
    "Prefetch",
    "PretrainingData",
    "TFRecordData",
    "from_labels",
    "is_corpus",
    "original_batches",
    "padded",
    "prepare",
    "read_documents",
    "split_documents",
    "validate",
    "write_tfrecords",
]
