"""From documents to sentence pairs: the examples of masked language modelling and next-sentence prediction.

This is the algorithm of google-research/bert, `create_pretraining_data.py` (Devlin et al. 2019, section 3.1
and appendix A.2), down to the order in which it draws random numbers: given `random.Random(12345)`,
`create_instances` makes the instances of the original script.

The one difference is how a pair is held. The sentences of a document are neighbours in the token array, and
the original only ever joins neighbouring sentences and cuts tokens off at the ends; so a segment is always a
span of that array. A pair is therefore five numbers, whatever the length of its text:

    (a_start, a_end, b_start, b_end, is_random_next)      a_start..a_end: token numbers of the first segment

Documents are given by two arrays of offsets: the sentences of document d are `document_offsets[d]` up to, not
including, `document_offsets[d + 1]`; the tokens of sentence s are `sentence_offsets[s]` up to
`sentence_offsets[s + 1]`. No sentence and no document is empty.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...text import Encoding, Vocab
from ...text.encoding import frame
from .masking import MaskedTokens, MaskingRules, mask_tokens

Offsets = npt.NDArray[np.int64]
PairSpans = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class PairingRules:
    """How documents are cut.

    seq_len         the most tokens of an instance, [CLS] and both [SEP] included
    short_seq_prob  how often a document is cut into instances of a random shorter length, so that the model
                    also sees the lengths of fine-tuning
    frame_tokens    how many special tokens a pair has
    """

    seq_len: int = 128
    short_seq_prob: float = 0.1
    frame_tokens: int = 3

    @property
    def max_tokens(self) -> int:
        """The most tokens of an instance beside the special ones."""
        return self.seq_len - self.frame_tokens

    def target(self, rng: random.Random) -> int:
        """How many of them a document's instances are to have."""
        return rng.randint(2, self.max_tokens) if rng.random() < self.short_seq_prob else self.max_tokens

    def __post_init__(self) -> None:
        if self.seq_len < self.frame_tokens + 2:
            raise InputError(f"seq_len is {self.seq_len}; [CLS] A [SEP] B [SEP] needs at least {self.frame_tokens + 2}")
        if not 0 <= self.short_seq_prob <= 1:
            raise InputError(f"short_seq_prob is {self.short_seq_prob}; a probability is from 0 to 1")


def pair_spans(
    position: int,
    documents: Sequence[int] | Offsets,
    document_offsets: Offsets,
    sentence_offsets: Offsets,
    rules: PairingRules,
    rng: random.Random,
) -> Iterator[PairSpans]:
    """The pairs of document `documents[position]`; second segments are drawn from all `documents`.

    Yields a pair as soon as its last number is drawn: a caller that masks it with the same `rng` before it
    asks for the next one draws in the original's order (`create_instances_from_document`).
    """
    first, last = (int(n) for n in document_offsets[documents[position] : documents[position] + 2])
    starts = sentence_offsets[first : last + 1].tolist()  # of this document's sentences, and the end
    count, target = last - first, rules.target(rng)

    chunk, sentence = 0, 0  # the chunk is the sentences chunk..sentence
    while sentence < count:
        if sentence < count - 1 and starts[sentence + 1] - starts[chunk] < target:
            sentence += 1
            continue
        in_chunk = sentence + 1 - chunk
        b_chunk = chunk + (rng.randint(1, in_chunk - 1) if in_chunk > 1 else 1)
        a_start, a_end = starts[chunk], starts[b_chunk]
        is_random_next = in_chunk == 1 or rng.random() < 0.5
        if is_random_next:
            wanted = target - (a_end - a_start)
            b_start, b_end = _random_segment(
                position, documents, document_offsets, sentence_offsets, wanted, rng
            )
            sentence = b_chunk - 1  # the rest of the chunk was not used: the next chunk starts with it
        else:
            b_start, b_end = a_end, starts[sentence + 1]
        yield (*truncate_pair(a_start, a_end, b_start, b_end, rules.max_tokens, rng), int(is_random_next))
        sentence += 1
        chunk = sentence


def _random_segment(
    position: int,
    documents: Sequence[int] | Offsets,
    document_offsets: Offsets,
    sentence_offsets: Offsets,
    wanted: int,
    rng: random.Random,
) -> tuple[int, int]:
    """Whole sentences of another document from a random one on, up to `wanted` tokens or the document's end.

    After ten tries the document may be the same one: in a corpus of one document it has to be.
    """
    for _ in range(10):
        other = rng.randint(0, len(documents) - 1)
        if other != position:
            break
    first, last = (int(n) for n in document_offsets[documents[other] : documents[other] + 2])
    start = first + rng.randint(0, last - first - 1)
    begin = int(sentence_offsets[start])
    enough = int(np.searchsorted(sentence_offsets[start + 1 : last + 1], begin + wanted))
    return begin, int(sentence_offsets[min(start + 1 + enough, last)])


def truncate_pair(
    a_start: int, a_end: int, b_start: int, b_end: int, max_tokens: int, rng: random.Random
) -> tuple[int, int, int, int]:
    """Takes tokens off the longer segment, at its front or back by a coin, until both have `max_tokens`.

    The original's `truncate_seq_pair`; at equal lengths the second segment loses the token.
    """
    a_length, b_length = a_end - a_start, b_end - b_start
    while a_length + b_length > max_tokens:
        front = rng.random() < 0.5
        if a_length > b_length:
            a_length -= 1
            a_start += front
        else:
            b_length -= 1
            b_start += front
    return a_start, a_start + a_length, b_start, b_start + b_length


@dataclass(frozen=True)
class Instance:
    """One example: a pair of segments and its masked tokens (positions count from [CLS] at 0)."""

    spans: PairSpans
    masked: MaskedTokens


TokensOf = Callable[[int, int], npt.NDArray[np.integer]]
"""(start, end) -> the ids of those tokens of the corpus."""


def with_specials(spans: PairSpans, tokens: TokensOf, vocab: Vocab) -> Encoding:
    """[CLS] A [SEP] B [SEP], before masking; [CLS] A [SEP] if B is empty."""
    a_start, a_end, b_start, b_end, _ = spans
    second = tokens(b_start, b_end).tolist() if b_end > b_start else None
    return frame(vocab, tokens(a_start, a_end).tolist(), second, None)


def create_instances(
    document_offsets: Offsets,
    sentence_offsets: Offsets,
    tokens: TokensOf,
    pairing: PairingRules,
    masking: MaskingRules,
    vocab: Vocab,
    rng: random.Random,
    dupe_factor: int = 10,
    chosen: Sequence[int] | None = None,
) -> list[Instance]:
    """Every instance of the original's `create_training_instances`, in its order, from one sequence of draws.

    The `chosen` documents (by default all) are shuffled, gone through `dupe_factor` times, and the instances
    shuffled; all of them are in memory, as in the original. (`pipeline.PretrainingData` draws from addressed streams
    instead and keeps only spans.)
    """
    documents = list(range(len(document_offsets) - 1) if chosen is None else chosen)
    rng.shuffle(documents)
    instances = []
    for _ in range(dupe_factor):
        for position in range(len(documents)):
            for spans in pair_spans(position, documents, document_offsets, sentence_offsets, pairing, rng):
                ids = with_specials(spans, tokens, vocab).input_ids
                instances.append(Instance(spans, mask_tokens(ids, masking, rng)))
    rng.shuffle(instances)
    return instances
