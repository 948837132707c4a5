"""How long real texts are: the mixes of lengths for ragged input.

The built-in mixes are the 41 quantiles (0, 2.5 %, ..., 100 %) of the number of word pieces, [CLS] and [SEP] counted, in
the uncased vocabulary of the original:

    imdb           6,000 IMDB reviews, cut at 512
    squad          the 10,570 questions of SQuAD 1.1's development set, without their contexts
    squad-windows  the 10,833 sequences that these questions become with their contexts: [CLS] question [SEP] window
                   [SEP], windows cut where a sequence has 384 tokens, each beginning 128 tokens after the one before

A sequence's length is drawn from them independently, as texts lie in a file: unsorted.
"""

from pathlib import Path

import numpy as np

from ..errors import InputError

MOST = 512
"""Tokens of a sequence, at most, in ragged input."""

LEAST = 5

MIXES: dict[str, tuple[int, ...]] = {
    "imdb": (
        24, 69, 87, 105, 122, 135, 143, 149, 154, 159, 164, 168, 173, 178, 184, 189, 195, 202, 208, 216, 223,
        231, 239, 249, 260, 270, 284, 300, 314, 332, 352, 374, 401, 432, 469, 512, 512, 512, 512, 512, 512,
    ),
    "squad": (
        6, 8, 9, 10, 10, 10, 11, 11, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15, 16,
        16, 16, 17, 17, 18, 18, 19, 19, 20, 21, 22, 24, 40,
    ),
    "squad-windows": (
        41, 71, 88, 101, 110, 116, 120, 124, 127, 130, 133, 136, 139, 142, 145, 147, 150, 153, 157, 160, 164,
        168, 172, 176, 179, 183, 188, 193, 198, 204, 210, 216, 223, 234, 247, 260, 272, 292, 320, 381, 384,
    ),
}  # fmt: skip


def ragged(source: str, count: int, longest: int, seed: int, vocab: str | None = None) -> tuple[int, ...]:
    """`count` lengths from a mix or from a file's texts (one a line, in its order, from the start again if it is
    short), each cut to `longest`.

    Raises `InputError` for a name that is neither, and for a file without text.
    """
    if source in MIXES:
        shares = np.random.default_rng(seed).random(count)
        drawn = np.interp(shares, np.linspace(0, 1, len(MIXES[source])), MIXES[source])
        found = [int(length) for length in np.rint(drawn)]
    else:
        lines = of_file(source, vocab)
        found = [lines[i % len(lines)] for i in range(count)]
    return tuple(min(max(length, LEAST), longest, MOST) for length in found)


def of_file(path: str, vocab: str | None = None) -> list[int]:
    """Tokens of every line of a text file, [CLS] and [SEP] counted: word pieces of `vocab`, else words."""
    from ..text import Tokenizer, load_vocab
    from ..text.basic import BasicTokenizer

    lines = lines_of(path)
    if vocab:
        return [len(ids) + 2 for ids in Tokenizer(load_vocab(vocab)).ids_batch(lines)]
    basic = BasicTokenizer()
    return [len(basic.tokenize(line)) + 2 for line in lines]


def lines_of(path: str) -> list[str]:
    """The lines of a text file that are not blank. Raises `InputError` if it can't be read or has none."""
    if not Path(path).is_file():
        raise InputError(f"--ragged {path}: neither a mix ({', '.join(MIXES)}) nor a file")
    try:
        lines = [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}); convert it first") from None
    if not lines:
        raise InputError(f"{path}: no text in it; a line is a text")
    return lines
