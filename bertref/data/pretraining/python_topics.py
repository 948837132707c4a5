"""English text that is on every machine: the language reference inside CPython (`pydoc_data.topics`, 460 kB).

It is what `help("assert")` prints: some eighty topics, each a document of hard-wrapped prose with a few tables and
grammar lines. Small, but real text; a tiny BERT learns from it in two minutes.
"""

import re
from collections.abc import Iterator

from ...errors import InputError
from .documents import Document
from .sentences import split_sentences

BLANK_LINES = re.compile(r"\n\s*\n")


def python_topics() -> Iterator[Document]:
    """Every topic in the order of their names. Raises `InputError` where Python lacks the module."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "this Python has no pydoc_data.topics, the text to learn from when none is given; name a text file instead"
        ) from None
    for name, text in sorted(topics.items()):
        paragraphs = (" ".join(paragraph.split()) for paragraph in BLANK_LINES.split(text))
        yield Document(
            name, [sentence for paragraph in paragraphs for sentence in split_sentences(paragraph)]
        )
