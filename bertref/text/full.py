"""The readable tokenizer: words, then pieces, as the original's `FullTokenizer` puts them together.

Source: google-research/bert, `tokenization.py`. This is the definition; `Tokenizer` gives the same results
faster.
"""

from collections.abc import Sequence
from pathlib import Path

from .added import AddedTokens
from .basic import BasicTokenizer, Control, split_on_punctuation, to_unicode
from .encoding import Encoding, Truncate, frame, tokens_of
from .vocab import Vocab, load_vocab
from .wordpiece import WordpieceTokenizer


class FullTokenizer:
    """Text to pieces and ids; the options are those of `BasicTokenizer` and `WordpieceTokenizer`.

    `vocab` may be a path. Raises `InputError` if the vocabulary lacks [UNK].
    """

    def __init__(
        self,
        vocab: Vocab | str | Path,
        lower_case: bool = True,
        *,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        control: Control = "Cc+Cf",
        max_chars_per_word: int = 200,
    ) -> None:
        self.vocab = vocab if isinstance(vocab, Vocab) else load_vocab(vocab)
        self.vocab.id_of("[UNK]")
        self.basic = BasicTokenizer(
            lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            control=control,
        )
        self.wordpiece = WordpieceTokenizer(self.vocab.pieces, max_chars_per_word=max_chars_per_word)
        self.added = {
            specials: AddedTokens(self.vocab.found_whole(specials=specials), self.basic.normalize)
            for specials in (False, True)
        }

    def tokenize(self, text: str | bytes, *, specials: bool = False) -> list[str]:
        """The pieces of a text; tokens that were added to the vocabulary are kept whole.

        With `specials`, "[MASK]" and its like in the text are the tokens; without, as in the original, they
        are characters like any other: "[", "mask", "]".
        """
        text, added = to_unicode(text), self.added[specials]
        pieces: list[str] = []
        for start, end, number in added.raw.split(text):
            if number is not None:
                pieces.append(self.vocab.tokens[number])
            else:
                pieces += self._pieces(self.basic.normalize(text[start:end]), added)
        return pieces

    def _pieces(self, text: str, added: AddedTokens) -> list[str]:
        """The pieces of a normalised text."""
        pieces: list[str] = []
        for start, end, number in added.normalized.split(text):
            if number is not None:
                pieces.append(self.vocab.tokens[number])
            else:
                for word in split_on_punctuation(text[start:end]):
                    pieces += self.wordpiece.pieces(word)
        return pieces

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """The ids of tokens; raises `InputError` naming the first that the vocabulary does not have."""
        return [self.vocab.id_of(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The tokens of ids; raises `InputError` naming the first id that is out of range."""
        return tokens_of(self.vocab, ids)

    def encode(
        self,
        text: str | bytes,
        pair: str | bytes | None = None,
        max_length: int | None = None,
        *,
        specials: bool = True,
        truncate: Truncate = "head",
    ) -> Encoding:
        """One text or a pair with [CLS] and [SEP], cut to `max_length` (see `encoding.frame`)."""
        first = self.convert_tokens_to_ids(self.tokenize(text, specials=specials))
        second = None if pair is None else self.convert_tokens_to_ids(self.tokenize(pair, specials=specials))
        return frame(self.vocab, first, second, max_length, truncate)
