"""Learning a vocabulary from text.

The published vocabularies came from an unpublished tool at Google; what everybody uses since is the trainer
of the `tokenizers` library: pieces begin as single characters, and the pair that stands side by side most
often becomes a piece, until the vocabulary is full (byte-pair merging, Sennrich et al. 2016, with WordPiece's
"##").

By itself that trainer gives another vocabulary on every run: it numbers the pieces "##a", "##b", ... in the
order of a hash table, and equally frequent pairs are taken in the order of these numbers. Here the words are
counted first and the alphabet handed over in a fixed order, which leaves nothing to chance: same texts, same
vocabulary, on any number of threads.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from ..errors import InputError
from .basic import is_chinese_char, is_punctuation, to_unicode
from .bulk import SEPARATOR, Words, blocks
from .notation import CONTINUES
from .vocab import SPECIAL_TOKENS, Vocab, has_surrogate

MOST_WORDS = 3_000_000
"""Different words that are counted; with more, the rarest are forgotten (300 MB)."""
LONGEST_WORD = 200
"""Longer words are never read by the tokenizer."""


def train_vocab(
    texts: Iterable[str | bytes],
    size: int,
    *,
    lower_case: bool = True,
    min_frequency: int = 2,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    alphabet: int = 1000,
) -> Vocab:
    """A vocabulary of at most `size` tokens: the special ones, characters, then pieces as they were found.

    `texts` are read once. A pair seen less than `min_frequency` times makes no piece, so little text gives a
    smaller vocabulary. Only the `alphabet` most frequent characters become pieces, fewer if `size` is too
    small for them; words with others will be [UNK]. Raises `InputError` if there is no text, or `size` too
    small for any character.
    """
    least = len(SPECIAL_TOKENS) + 2
    if size < least:
        raise InputError(
            f"a vocabulary of {size} tokens is too small; the special tokens and one character take {least}"
        )
    if min_frequency < 1 or alphabet < 1:
        raise InputError(f"min_frequency {min_frequency} and alphabet {alphabet} must be at least 1")
    splitter = Words(
        lower_case=lower_case,
        strip_accents=strip_accents,
        tokenize_chinese_chars=tokenize_chinese_chars,
        control="Cc+Cf",
    )
    counts = count_words(texts, splitter)
    if not counts:
        raise InputError("there is no text to learn a vocabulary from")
    pieces = _character_pieces(counts, alphabet, size - len(SPECIAL_TOKENS), tokenize_chinese_chars)
    return _merge(counts, pieces, size, min_frequency)


def count_words(texts: Iterable[str | bytes], splitter: Words) -> Counter[str]:
    """How often each word occurs."""
    counts: Counter[str] = Counter()
    rare = 0
    for block in blocks(to_unicode(text) for text in texts):
        counts.update(splitter.split(block))
        if len(counts) > MOST_WORDS:
            rare += 1
            counts = Counter({word: count for word, count in counts.items() if count > rare})
    del counts[SEPARATOR]
    unreadable = [word for word in counts if len(word) > LONGEST_WORD or has_surrogate(word)]
    for word in unreadable:
        del counts[word]
    return counts


def _character_pieces(counts: Counter[str], most: int, room: int, chinese_alone: bool) -> list[str]:
    """The pieces of the most frequent characters that fit into `room` tokens, in code-point order.

    What always stands alone, punctuation and ideographs, never continues a word and needs only one piece.
    """
    frequency: Counter[str] = Counter()
    for word, count in counts.items():
        for char in word:
            frequency[char] += count
    whole: list[str] = []
    inside: list[str] = []
    for char in sorted(frequency, key=lambda char: (-frequency[char], char))[:most]:
        alone = is_punctuation(char) or (chinese_alone and is_chinese_char(char))
        if len(whole) + len(inside) + 2 - alone > room:
            break
        whole.append(char)
        if not alone:
            inside.append(CONTINUES + char)
    return sorted(whole) + sorted(inside)


def _merge(counts: Counter[str], pieces: list[str], size: int, min_frequency: int) -> Vocab:
    import tokenizers

    model = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        show_progress=False,
        # The alphabet goes in as fixed tokens, so that its numbers are ours; no word has another character.
        special_tokens=[*SPECIAL_TOKENS, *pieces],
    )
    model.train_from_iterator(_repeat(counts, frozenset(pieces)), trainer)
    ids = model.get_vocab(with_added_tokens=False)
    return Vocab(tuple(sorted(ids, key=ids.__getitem__)), source="trained vocabulary")


def _repeat(counts: Counter[str], characters: frozenset[str], most: int = 1000) -> Iterator[str]:
    """Each word as often as it was counted, which is how the library takes counts.

    Words of one character have no pairs, and those with a character outside of the alphabet can't be spelt.
    """
    for word, count in counts.items():
        if len(word) > 1 and characters.issuperset(word):
            for start in range(0, count, most):
                yield " ".join([word] * min(most, count - start))
