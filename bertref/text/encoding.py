"""From pieces to what a model reads, and back to text.

    [CLS] first segment [SEP]                       token types 0 0 ... 0
    [CLS] first segment [SEP] second segment [SEP]  token types 0 ... 0 1 ... 1

So BERT and ALBERT; `notation` says what RoBERTa and its like put in place of it.

Source: Devlin et al. 2019, section 3 and figure 2; google-research/bert, `run_classifier.py`,
`convert_single_example` and `_truncate_seq_pair`.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

from ..errors import InputError
from .byte_level import spelling
from .notation import BERT, CONTINUES, Notation
from .vocab import Vocab

NO_SPACE = (
    (re.compile(r" ([.,?!;:)\]}])"), r"\1"),
    (re.compile(r"([(\[{]) "), r"\1"),
    (re.compile(r"(?<=\w) ' (?=\w)"), "'"),
)
"""Where English puts no space: only at punctuation, where the tokenizer splits anyhow, so that tokenising the
joined text gives the same pieces again."""


Truncate = Literal["head", "tail", "head+tail"]
"""What is kept of a segment that is too long: its first tokens, its last ones, or both ends of it."""
HEAD, BOTH = 128, 510
"""Of 510 tokens "head+tail" keeps the first 128 and the last 382, of another number the same share (Sun et al. 2019,
"How to Fine-Tune BERT for Text Classification?", section 5.3.1)."""


class Encoding(NamedTuple):
    """One sequence: S ids, and S token types (0 up to the second segment, in it what the notation says)."""

    input_ids: list[int]
    token_type_ids: list[int]


def check_texts(*several: Sequence[Any] | None) -> None:
    """Raises `InputError` where a text stands in place of a sequence of texts: its letters would be taken for them."""
    for texts in several:
        if isinstance(texts, str | bytes):
            raise InputError(f"{texts[:40]!r} is one text; give a sequence of texts, (text,)")


def frame(
    vocab: Vocab,
    first: Sequence[int],
    second: Sequence[int] | None,
    max_length: int | None,
    truncate: Truncate = "head",
) -> Encoding:
    """Puts [CLS] and [SEP] around one or two segments of ids, shortened so that all fit into `max_length`.

    As in the original, the longer segment gives up a token until both fit; of two equally long ones, the second
    does. `truncate` says which part of a segment is kept. Raises `InputError` if `max_length` has no room for a token
    beside [CLS] and [SEP].
    """
    check_truncate(truncate)
    notation = vocab.notation
    first = list(first)
    rest = None if second is None else list(second)
    if max_length is not None:
        room = max_length - notation.frame_tokens(pair=rest is not None)
        if room < 1:
            raise InputError(f"max_length is {max_length}; {notation.cls} and {notation.sep} leave no room for text")
        first, rest = shorten(first, rest, room, truncate)
    if rest is None:
        head = [vocab.cls, *first, vocab.sep]
        return Encoding(head, [0] * len(head))
    head = [vocab.cls, *first, *[vocab.sep] * notation.separators]
    return Encoding([*head, *rest, vocab.sep], [0] * len(head) + [notation.second_type] * (len(rest) + 1))


def check_truncate(truncate: str) -> None:
    """Raises `InputError` for a way of cutting that does not exist."""
    if truncate not in get_args(Truncate):
        raise InputError(f"truncate is {truncate!r}; it must be one of {', '.join(get_args(Truncate))}")


def shorten(
    first: list[int], second: list[int] | None, room: int, truncate: Truncate = "head"
) -> tuple[list[int], list[int] | None]:
    """The segments cut to `room` tokens together; see `frame`."""
    if second is None:
        return cut(first, room, truncate), None
    a, b = len(first), len(second)
    if a + b > room:
        # Popping from the longer one until they fit, in one step: first to the other's length, then by turns.
        shorter = min(a, b)
        kept = max(room - shorter, (room + 1) // 2)
        a, b = min(a, kept), min(b, kept)
        b -= a + b - room
    return cut(first, a, truncate), cut(second, b, truncate)


def cut(ids: list[int], room: int, truncate: Truncate) -> list[int]:
    """The part of a segment that is kept where there is room for `room` tokens."""
    if len(ids) <= room:
        return ids
    head = {"head": room, "tail": 0, "head+tail": (room * HEAD + BOTH // 2) // BOTH}[truncate]
    return ids[:head] + ids[len(ids) - (room - head) :]


def tokens_of(vocab: Vocab, ids: Sequence[int]) -> list[str]:
    """The tokens of ids; raises `InputError` naming the first that is outside of the vocabulary."""
    for position, number in enumerate(ids):
        if not 0 <= number < len(vocab):
            raise InputError(
                f"id {number} at position {position} is outside of the vocabulary's 0 to {len(vocab) - 1}"
            )
    return [vocab.tokens[number] for number in ids]


def join(tokens: Sequence[str], *, keep_special: bool = False, notation: Notation = BERT) -> str:
    """Readable text from pieces; the tokens for padding, begin and end are left out.

    Word pieces: "##" joins, punctuation closes up; spaces and letter case that the tokenizer took away don't come back.
    Others hold their spaces, all but the first of a unigram model's.
    """
    if not keep_special:
        tokens = [token for token in tokens if token not in (notation.pad, notation.cls, notation.sep)]
    if notation.style == "wordpiece":
        return _join_word_pieces(tokens)
    text = spelling(tokens, notation.style)
    return text.removeprefix(" ") if notation.style == "unigram" else text


def _join_word_pieces(tokens: Sequence[str]) -> str:
    words: list[str] = []
    for token in tokens:
        if token.startswith(CONTINUES) and words:
            words[-1] += token.removeprefix(CONTINUES)
        else:
            words.append(token)
    text = " ".join(words)
    for pattern, replacement in NO_SPACE:
        text = pattern.sub(replacement, text)
    return text
