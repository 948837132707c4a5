"""The original script's output for a prepared corpus: the same instances, in the same order, draw for draw.

`create_pretraining_data.py` of google-research/bert draws everything from one `random.Random(random_seed)`; its
defaults are the defaults here. All instances are in memory, as there: `pipeline.PretrainingData` is the way for more.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from .batch import PretrainingBatch, zeros
from .corpus import Corpus
from .instances import PairingRules, create_instances, with_specials
from .masking import MaskingRules
from .pipeline import fill_row


def original_batches(
    corpus: Corpus,
    batch_size: int = 32,
    *,
    seq_len: int = 128,
    max_predictions: int = 20,
    masked_lm_prob: float = 0.15,
    short_seq_prob: float = 0.1,
    dupe_factor: int = 10,
    whole_word: bool = False,
    random_seed: int = 12345,
    documents: Sequence[int] | npt.NDArray[np.int64] | None = None,
) -> Iterator[PretrainingBatch]:
    """The instances as batches, the last of which may be smaller; `example` counts them.

    `documents` are the numbers of those to use, by default all; random second segments come from them, too.
    Raises `InputError` for an option out of its range.
    """
    vocab = corpus.vocab
    pairing = PairingRules(seq_len, short_seq_prob, vocab.notation.frame_tokens(pair=True))
    masking = MaskingRules.of(
        vocab, probability=masked_lm_prob, max_predictions=max_predictions, whole_word=whole_word
    )
    instances = create_instances(
        corpus.document_offsets,
        corpus.sentence_offsets,
        corpus.tokens,
        pairing,
        masking,
        vocab,
        random.Random(random_seed),
        dupe_factor,
        None if documents is None else np.asarray(documents).tolist(),
    )
    for start in range(0, len(instances), batch_size):
        some = instances[start : start + batch_size]
        batch = zeros(len(some), seq_len, max_predictions)
        batch.example[:] = range(start, start + len(some))
        for row, instance in enumerate(some):
            encoding = with_specials(instance.spans, corpus.tokens, vocab)
            fill_row(batch, row, encoding, instance.spans[4], instance.masked, vocab)
        yield batch
