"""Batches addressed by their step, from a prepared corpus.

Batch number s is a function of the corpus, the options, the seed and s, and of nothing that happened before:
a resumed run reads what an uninterrupted one would have read. To that end every choice has an address in the
random streams (`rng.STREAMS`): the pairs of a document (pass, document), the masks of an instance (pass,
instance of the pass), the order of a pass.

A pass goes once through all documents. The pairs of one pass are computed together and held as five numbers
each; the tokens stay on the disk and masks are drawn when a batch is made. Examples are numbered through all
passes: n = step * batch_size + row.
"""

import bisect
import itertools
import threading
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...rng import StreamRandom, generator
from ...text import Encoding, Vocab
from .batch import PretrainingBatch, zeros
from .corpus import Corpus
from .instances import PairingRules, PairSpans, pair_spans, with_specials
from .masking import MaskedTokens, MaskingRules, mask_tokens
from .running_text import text_spans
from .sentence_order import ordered_spans

Masking = Literal["static", "dynamic"]
Pairs = bool | Literal["order"]
Spans = npt.NDArray[np.int64]
KEPT_PASSES = 2
"""A batch may straddle two passes."""


@dataclass(frozen=True)
class _Place:
    """Where an example comes from: a pass, and the instance's number in it before the pass is shuffled."""

    pass_number: int
    instance: int
    spans: PairSpans


class PretrainingData:
    """Masked sentence pairs, or stretches of running text, of a corpus, batch by batch.

    corpus            where the tokens are
    vocab             its vocabulary; has to have [CLS], [SEP] and [MASK]
    seq_len           S, and the most tokens of an instance
    max_predictions   P, and the most predictions of an instance
    masked_lm_prob    share of the tokens that is predicted
    short_seq_prob    share of the documents that is cut into shorter instances, anew in every pass
    masking           "dynamic": every pass has new pairs and masks (Liu et al. 2019, section 4.1);
                      "static": pass p has those of pass p modulo dupe_factor, in a new order
    dupe_factor       how many different passes there are with static masking
    whole_word        hide whole words
    pairs             True: sentence pairs, half of them random; "order": neighbours, half of them in the wrong order
                      (`sentence_order`); False: running text in one segment (`running_text`)
    seed              of all choices
    documents         numbers of the documents to use, by default all; random second segments come from them, too
    pass_counts       what an earlier object's `pass_counts` said: a resumed run then need not count the passes that
                      are over

    Raises `InputError` for an option out of its range, and if there is no document. May be shared by threads.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocab: Vocab | None = None,
        *,
        seq_len: int = 128,
        max_predictions: int = 20,
        masked_lm_prob: float = 0.15,
        short_seq_prob: float = 0.1,
        masking: Masking = "dynamic",
        dupe_factor: int = 10,
        whole_word: bool = False,
        pairs: Pairs = True,
        seed: int = 0,
        documents: Sequence[int] | npt.NDArray[np.int64] | None = None,
        pass_counts: Sequence[int] = (),
    ) -> None:
        if masking not in ("static", "dynamic"):
            raise InputError(f'masking is {masking!r}; it must be "static" or "dynamic"')
        if dupe_factor < 1:
            raise InputError(f"dupe_factor is {dupe_factor}; it must be at least 1")
        self.corpus = corpus
        self.seq_len, self.max_predictions, self.seed = seq_len, max_predictions, seed
        self._vocab, self._in_pairs = vocab or corpus.vocab, pairs
        self._pairing = PairingRules(seq_len, short_seq_prob, self._vocab.notation.frame_tokens(pair=True))
        self._masking = MaskingRules.of(
            self._vocab,
            probability=masked_lm_prob,
            max_predictions=max_predictions,
            whole_word=whole_word,
        )
        self._different_passes = dupe_factor if masking == "static" else None
        self.documents = np.arange(corpus.documents) if documents is None else np.asarray(documents, np.int64)
        if not self.documents.size:
            raise InputError("pre-training data: no document to take text from")
        if self.documents.min() < 0 or self.documents.max() >= corpus.documents:
            raise InputError(f"pre-training data: a document's number is not in 0 to {corpus.documents - 1}")
        self._starts = [0, *itertools.accumulate(pass_counts)]  # number of each pass's first example
        self._spans: dict[int, Spans] = {}
        self._orders: dict[int, npt.NDArray[np.int64]] = {}
        self._lock = threading.RLock()

    @property
    def pass_counts(self) -> list[int]:
        """The numbers of instances of the passes counted so far, from pass 0."""
        return [end - start for start, end in itertools.pairwise(self._starts)]

    @property
    def tokens(self) -> int:
        """How many tokens the documents have."""
        return int(self.corpus.document_lengths()[self.documents].sum())

    def instances(self, pass_number: int) -> Spans:
        """(N, 5) int64: the pairs of a pass in the order of the documents, as `instances.PairSpans`."""
        source = self._source(pass_number)
        with self._lock:
            if source not in self._spans:
                _make_room(self._spans)
                self._spans[source] = self._make_instances(source)
            spans = self._spans[source]
        if pass_number < len(self._starts) - 1 and self._count(pass_number) != len(spans):
            raise InputError(
                f"pre-training data: pass {pass_number} has {len(spans)} instances, not the "
                f"{self._count(pass_number)} of the resumed run; the corpus or the options have changed"
            )
        return spans

    def batch(self, step: int, batch_size: int) -> PretrainingBatch:
        """Batch number `step`, always of B = batch_size, S = seq_len and P = max_predictions."""
        if step < 0 or batch_size < 1:
            raise InputError(
                f"step {step} of batches of {batch_size}: steps count from 0, batches have at least 1 example"
            )
        numbers = range(step * batch_size, (step + 1) * batch_size)
        with self._lock:
            places = [self._locate(number) for number in numbers]
        return self._assemble(places, numbers)

    def in_order(self, batch_size: int, *, pass_number: int = 0) -> Iterator[PretrainingBatch]:
        """One pass in the order of the documents, for evaluation; the last batch may be smaller.

        `example` is the number of the instance in the pass. Pairs are made as they are needed and not kept.
        """
        source = self._source(pass_number)
        places = (_Place(source, number, spans) for number, spans in enumerate(self._pairs(source)))
        while some := list(itertools.islice(places, batch_size)):
            yield self._assemble(some, [place.instance for place in some])

    def _source(self, pass_number: int) -> int:
        """The pass whose pairs and masks a pass has."""
        return pass_number % self._different_passes if self._different_passes else pass_number

    def _locate(self, number: int) -> _Place:
        """Which instance of which pass example `number` of the run is."""
        self._count_passes(number)
        pass_number = bisect.bisect_right(self._starts, number) - 1
        spans = self.instances(pass_number)
        if pass_number not in self._orders:
            _make_room(self._orders)
            self._orders[pass_number] = generator(self.seed, "data_order", pass_number).permutation(
                len(spans)
            )
        instance = int(self._orders[pass_number][number - self._starts[pass_number]])
        a_start, a_end, b_start, b_end, is_random_next = spans[instance].tolist()
        return _Place(self._source(pass_number), instance, (a_start, a_end, b_start, b_end, is_random_next))

    def _count_passes(self, number: int) -> None:
        """Extends `_starts` until it holds the end of the pass that example `number` is in."""
        while self._starts[-1] <= number:
            pass_number = len(self._starts) - 1
            source = self._source(pass_number)
            known = source < pass_number
            count = self._count(source) if known else len(self.instances(pass_number))
            self._starts.append(self._starts[-1] + count)

    def _count(self, pass_number: int) -> int:
        return self._starts[pass_number + 1] - self._starts[pass_number]

    def _pairs(self, source: int) -> Iterator[PairSpans]:
        offsets = self.corpus.document_offsets, self.corpus.sentence_offsets
        for position, document in enumerate(self.documents.tolist()):
            rng = StreamRandom(self.seed, "sentence_pairing", source, document)
            if self._in_pairs == "order":
                yield from ordered_spans(document, *offsets, self._pairing, rng)
            elif self._in_pairs:
                yield from pair_spans(position, self.documents, *offsets, self._pairing, rng)
            else:
                yield from text_spans(document, *offsets, self._pairing, rng)

    def _make_instances(self, source: int) -> Spans:
        numbers = array("q")
        for spans in self._pairs(source):
            numbers.extend(spans)
        return np.frombuffer(numbers, np.int64).reshape(-1, 5)

    def _assemble(self, places: Sequence[_Place], numbers: Sequence[int]) -> PretrainingBatch:
        batch = zeros(len(places), self.seq_len, self.max_predictions)
        batch.example[:] = numbers
        for row, place in enumerate(places):
            encoding = with_specials(place.spans, self.corpus.tokens, self._vocab)
            rng = StreamRandom(self.seed, "masking", place.pass_number, place.instance)
            masked = mask_tokens(encoding.input_ids, self._masking, rng)
            fill_row(batch, row, encoding, place.spans[4], masked, self._vocab)
        return batch


def fill_row(
    batch: PretrainingBatch, row: int, encoding: Encoding, is_random_next: int, masked: MaskedTokens, vocab: Vocab
) -> None:
    """Writes one instance into a row of a batch of zeros; a vocabulary without a token for padding is padded with 0."""
    length = len(encoding.input_ids)
    batch.input_ids[row, :length] = encoding.input_ids
    batch.input_ids[row, length:] = vocab.ids.get(vocab.notation.pad, 0)
    batch.input_ids[row, masked.positions] = masked.replacements
    batch.attention_mask[row, :length] = 1
    batch.token_type_ids[row, :length] = encoding.token_type_ids
    count = len(masked.positions)
    batch.masked_lm_positions[row, :count] = masked.positions
    batch.masked_lm_ids[row, :count] = masked.labels
    batch.masked_lm_weights[row, :count] = 1
    batch.next_sentence_label[row] = is_random_next


def _make_room(cache: dict[int, Any]) -> None:
    """Forgets the pass that was computed first."""
    while len(cache) >= KEPT_PASSES:
        del cache[next(iter(cache))]


def split_documents(
    corpus: Corpus, fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(train, held out): rising numbers of whole documents, so that no text is on both sides.

    Documents are looked at in a random order and held out while that brings the held-out share of the tokens
    closer to `fraction`. With at least two documents and a fraction above 0, each side has at least one; with
    one document nothing is held out. Raises `InputError` if `fraction` is not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise InputError(f"the held-out share is {fraction}; it must be at least 0 and below 1")
    lengths = corpus.document_lengths()
    aim = fraction * float(lengths.sum())
    held_out: list[int] = []
    taken = 0
    for document in generator(seed, "held_out").permutation(len(lengths)).tolist():
        with_it = taken + int(lengths[document])
        if abs(with_it - aim) < abs(taken - aim) and len(held_out) < len(lengths) - 1:
            held_out.append(document)
            taken = with_it
    if not held_out and fraction and len(lengths) > 1:
        held_out = [int(lengths.argmin())]
    mask = np.zeros(len(lengths), bool)
    mask[held_out] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)
