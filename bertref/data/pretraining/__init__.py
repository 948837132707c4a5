"""Pre-training data: from files of text to batches of masked sentence pairs."""

from .corpus import Corpus, is_corpus
from .documents import Document, read_documents
from .original import original_batches
from .pipeline import PretrainingData, split_documents
from .shards import prepare
from .tfrecord_data import TFRecordData, write_tfrecords

__all__ = [
    "Corpus",
    "Document",
    "PretrainingData",
    "TFRecordData",
    "is_corpus",
    "original_batches",
    "prepare",
    "read_documents",
    "split_documents",
    "write_tfrecords",
]
