"""What a tokenizer asks of the part that cuts texts into pieces."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .offsets import Piece
from .vocab import Vocab

Text = str | bytes
IdsArrays = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]
"""All ids end to end, (N,), and bounds, (texts + 1,): text i has ids[bounds[i]:bounds[i + 1]]."""


class Segmenter(Protocol):
    """Cuts texts into pieces of its vocabulary. May be shared by threads and pickled.

    With `specials`, the special tokens in a text (such as "[MASK]") are tokens; without, characters like any others.
    """

    @property
    def vocab(self) -> Vocab: ...

    @property
    def options(self) -> dict[str, Any]:
        """What it was given beside the vocabulary, as JSON has it; two of one vocabulary and equal options give equal
        ids."""
        ...

    def ids_arrays(self, texts: Iterable[Text], *, specials: bool) -> IdsArrays: ...

    def locate(self, text: Text, *, specials: bool) -> list[Piece]:
        """The pieces of a text with their places in it."""
        ...

    def forget_words(self) -> None:
        """Lets go of what it remembers of the words that it has cut."""
        ...

    def save(self, folder: Path, max_length: int | None) -> None:
        """Writes the files from which transformers opens a tokenizer that gives the same ids."""
        ...
