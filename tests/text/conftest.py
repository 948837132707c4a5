"""The vocabularies that the text tests share."""

from pathlib import Path

import pytest

from bertref.text import SPECIAL_TOKENS, Vocab, load_vocab

WORDS = str.split(
    "the quick brown fox jump ##s over lazy dog un ##want ##ed runn ##ing , . ' s here this is ##er a ##a b "
    "##b c ##c [ ] mask wor ##ld hello ! ( ) ? 's 博 推"
)


@pytest.fixture(scope="session")
def small_vocab() -> Vocab:
    """A few dozen pieces, specials first."""
    return Vocab((*SPECIAL_TOKENS, *WORDS), source="small")


@pytest.fixture(scope="session")
def bert_vocab(data_dir: Path) -> Vocab:
    """The published uncased vocabulary."""
    return load_vocab(data_dir / "data" / "vocab" / "uncased_from_llSiddharthll.txt")
