"""English text that is on every machine: the language reference inside CPython (`pydoc_data.topics`, 460 kB).

It is what `help("assert")` prints: some eighty topics, each a document of hard-wrapped prose with a few tables and grammar lines.
Small, but real text; a tiny BERT learns from it in two minutes.
"""

from collections.abc import Iterator

from ..errors import InputError


def python_topics() -> Iterator[tuple[str, str]]:
    """(name, text) of every topic in the order of their names. Raises `InputError` where Python lacks the module."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "this Python has no pydoc_data.topics, the text to learn from when none is given; name a text file instead"
        ) from None
    yield from sorted(topics.items())
