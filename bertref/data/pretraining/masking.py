"""Which tokens of an instance are hidden, and by what: 80 % [MASK], 10 % themselves, 10 % a random token.

The algorithm of google-research/bert, `create_pretraining_data.py`, `create_masked_lm_predictions` (Devlin et
al. 2019, section 3.1 "Masked LM"), with its order of draws. Three of its habits are easily lost and kept on
purpose:

- [CLS] and [SEP] are never hidden, but they count when 15 % of the tokens is worked out;
- at least one token is asked for, however short the text (whole words may still give none);
- the random token is any of the vocabulary, so it may be a special token, or the very token it replaces.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import InputError
from ...text import Vocab


@dataclass(frozen=True)
class MaskingRules:
    """How tokens are chosen, and the ids that the choice needs.

    probability      share of all tokens of the instance that is predicted
    max_predictions  the most predictions in one instance
    whole_word       hide all pieces of a word or none. A word with more pieces than there are predictions left is
                     passed over. As in the original a word is a run "x", "##y", ... of the instance, so a second
                     segment that was cut in the middle of a word lends its first pieces to the last word before it.
    """

    probability: float
    max_predictions: int
    whole_word: bool
    cls: int
    sep: int
    mask: int
    vocab_size: int
    is_subword: tuple[bool, ...]

    @classmethod
    def of(
        cls,
        vocab: Vocab,
        *,
        probability: float = 0.15,
        max_predictions: int = 20,
        whole_word: bool = False,
    ) -> "MaskingRules":
        """The rules for a vocabulary; `InputError` for a number out of range or a missing special token."""
        if not 0 < probability <= 1:
            raise InputError(f"masked_lm_prob is {probability}; a share above 0, at most 1, is needed")
        if max_predictions < 1:
            raise InputError(f"max_predictions is {max_predictions}; at least 1 is needed")
        flags = tuple(vocab.is_subword.tolist()) if whole_word else ()
        return cls(
            probability, max_predictions, whole_word, vocab.cls, vocab.sep, vocab.mask, vocab.size, flags
        )


class MaskedTokens(NamedTuple):
    """The predictions of one instance, by rising position: where, what stood there, what stands there now."""

    positions: list[int]
    labels: list[int]
    replacements: list[int]


def mask_tokens(ids: Sequence[int], rules: MaskingRules, rng: random.Random) -> MaskedTokens:
    """Chooses the predictions of [CLS] A [SEP] B [SEP]; `ids` is not changed."""
    wanted = min(rules.max_predictions, max(1, round(len(ids) * rules.probability)))
    words = _words(ids, rules) if rules.whole_word else _single_tokens(ids, rules)
    rng.shuffle(words)
    chosen: list[tuple[int, int]] = []
    for word in words:
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(word) > wanted:
            continue
        for position in word:
            chosen.append((position, _replacement(ids[position], rules, rng)))
    chosen.sort()
    positions = [position for position, _ in chosen]
    return MaskedTokens(positions, [ids[p] for p in positions], [replacement for _, replacement in chosen])


def _replacement(token: int, rules: MaskingRules, rng: random.Random) -> int:
    """[MASK] is drawn for first, then keeping: another order would be another sequence of draws."""
    if rng.random() < 0.8:
        return rules.mask
    if rng.random() < 0.5:
        return token
    return rng.randint(0, rules.vocab_size - 1)


def _single_tokens(ids: Sequence[int], rules: MaskingRules) -> list[tuple[int, ...]]:
    return [(position,) for position, token in enumerate(ids) if token != rules.cls and token != rules.sep]


def _words(ids: Sequence[int], rules: MaskingRules) -> list[tuple[int, ...]]:
    """The positions of each word's pieces."""
    words: list[tuple[int, ...]] = []
    for (position,) in _single_tokens(ids, rules):
        if words and rules.is_subword[ids[position]]:
            words[-1] = (*words[-1], position)
        else:
            words.append((position,))
    return words
