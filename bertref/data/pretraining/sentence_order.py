"""From documents to pairs of neighbours in either order: the examples of masked language modelling and sentence order.

Two segments follow each other in one document; half of the pairs are shown the other way round, and that is what is to
be told. Both segments are of one topic, so that telling them apart takes more than knowing the topic. A chunk that is
a single sentence is cut inside it; one of a single token makes no pair.

Source: Lan et al. 2020, section 3.1 and appendix; google-research/albert, `create_pretraining_data.py`, which takes a
random second segment where the chunk is a single sentence.
"""

import random
from collections.abc import Iterator

from .instances import Offsets, PairingRules, PairSpans, truncate_pair


def ordered_spans(
    document: int, document_offsets: Offsets, sentence_offsets: Offsets, rules: PairingRules, rng: random.Random
) -> Iterator[PairSpans]:
    """The pairs of a document; the last number is 1 where the two have changed places. Offsets as in `instances`."""
    first, last = (int(n) for n in document_offsets[document : document + 2])
    starts = sentence_offsets[first : last + 1].tolist()
    count, max_tokens = last - first, rules.seq_len - 3
    target = max_tokens
    if rng.random() < rules.short_seq_prob:
        target = rng.randint(2, max_tokens)
    chunk = 0
    while chunk < count:
        end = chunk + 1
        while end < count and starts[end] - starts[chunk] < target:
            end += 1
        cut = _cut(starts, chunk, end, rng)
        if cut is not None:
            a_start, a_end, b_start, b_end = truncate_pair(starts[chunk], cut, cut, starts[end], max_tokens, rng)
            if rng.random() < 0.5:
                yield (b_start, b_end, a_start, a_end, 1)
            else:
                yield (a_start, a_end, b_start, b_end, 0)
        chunk = end


def _cut(starts: list[int], chunk: int, end: int, rng: random.Random) -> int | None:
    """Where the second segment of the sentences chunk..end begins; None: there is but one token."""
    if end - chunk > 1:
        return starts[rng.randint(chunk + 1, end - 1)]
    length = starts[end] - starts[chunk]
    return starts[chunk] + rng.randint(1, length - 1) if length > 1 else None
