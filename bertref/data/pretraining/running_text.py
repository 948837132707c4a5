"""From documents to stretches of running text: the examples of masked language modelling without sentence pairs.

A stretch is as many whole sentences of one document as fit, one segment: [CLS] text [SEP]. Sentence pairs would be
wrong here: half of them join texts that have nothing to do with each other, and nobody would be asked whether they do.
A sentence that is longer than an instance is cut, and the next stretch begins where it was cut: in every pass each
token of a document is in exactly one stretch.

Source: Liu et al. 2019, section 4.2, DOC-SENTENCES; the shorter lengths are those of `instances`.
"""

import bisect
import random
from collections.abc import Iterator

from .instances import Offsets, PairingRules, PairSpans


def text_spans(
    document: int, document_offsets: Offsets, sentence_offsets: Offsets, rules: PairingRules, rng: random.Random
) -> Iterator[PairSpans]:
    """The stretches of a document, as pairs whose second segment is empty and not random; offsets as in `instances`."""
    first, last = (int(n) for n in document_offsets[document : document + 2])
    start, *ends = sentence_offsets[first : last + 1].tolist()
    target = rules.seq_len - 2
    if rng.random() < rules.short_seq_prob:
        target = rng.randint(2, target)
    while start < ends[-1]:
        whole = bisect.bisect_right(ends, start + target)
        stop = ends[whole - 1] if whole and ends[whole - 1] > start else start + target
        yield (start, stop, stop, stop, 0)
        start = stop
