"""From documents to pairs of neighbours in either order: the examples of masked language modelling and sentence order.

Two segments follow each other in one document; half of the pairs are shown the other way round, and that is what is to
be told. Both segments are of one topic, so that telling them apart takes more than knowing the topic. A chunk that is
a single sentence is cut inside it; one of a single token makes no pair.

Source: Lan et al. 2020, section 3.1 and appendix; google-research/albert, `create_pretraining_data.py`, which takes a
random second segment where the chunk is a single sentence.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator

from .instances import Offsets, PairingRules, PairSpans, truncate_pair


def ordered_spans(
    document: int, document_offsets: Offsets, sentence_offsets: Offsets, rules: PairingRules, rng: random.Random
) -> Iterator[PairSpans]:
    """The pairs of a document; the last number is 1 where the two have changed places. Offsets as in `instances`."""
    first, last = (int(n) for n in document_offsets[document : document + 2])
    starts = sentence_offsets[first : last + 1].tolist()
    chunk, target = 0, rules.target(rng)
    while chunk < last - first:
        end = min(bisect_left(starts, starts[chunk] + target, chunk + 1), last - first)
        if (cut := _cut(starts, chunk, end, rng)) is not None:
            spans = truncate_pair(starts[chunk], cut, cut, starts[end], rules.max_tokens, rng)
            yield (*spans[2:], *spans[:2], 1) if rng.random() < 0.5 else (*spans, 0)
        chunk = end


def _cut(starts: list[int], chunk: int, end: int, rng: random.Random) -> int | None:
    """Where the second segment of the sentences chunk..end begins; None: there is but one token."""
    if end - chunk > 1:
        return starts[rng.randint(chunk + 1, end - 1)]
    length = starts[end] - starts[chunk]
    return starts[chunk] + rng.randint(1, length - 1) if length > 1 else None
