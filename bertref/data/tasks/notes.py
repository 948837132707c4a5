"""What a reader has to say of a file without refusing it: so many lines were left out, an answer stood elsewhere."""

from collections.abc import Callable
from typing import TypeAlias

Notes: TypeAlias = Callable[[str], None]
"""Told one sentence that names the file."""


def once(notes: Notes | None) -> Notes:
    """Passes each sentence on only the first time: a part is read anew in every epoch. None: to nobody."""
    said: set[str] = set()

    def tell(sentence: str) -> None:
        if notes and sentence not in said:
            said.add(sentence)
            notes(sentence)

    return tell
