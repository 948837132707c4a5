"""What a model, or somebody else's file, says of every word of a part, beside the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded, probabilities, require
from ..inference.token_classification import piece_logits
from ..tasks.labels import numbers_of
from ..tasks.tokens import TokenSettings, WordSequence, label_numbers, sentences_of, word_sequences

Floats = npt.NDArray[np.float64]
Words = tuple[str, ...]


@dataclass(frozen=True)
class TokenAnswers:
    """N sentences of W words altogether, K labels; a label for every word.

    sentences     the words of each
    predictions   their labels; `targets` the true ones, None where the part has none
    logits        (W, K), `scores` the probabilities that they give; None where not known
    """

    labels: Words
    sentences: Sequence[Words]
    predictions: Sequence[Words]
    targets: Sequence[Words] | None
    scores: Floats | None = None
    logits: Floats | None = None

    def __len__(self) -> int:
        return len(self.sentences)


def answer_tokens(
    loaded: Loaded, kind: str, part: Part, settings: TokenSettings, *, limit: int | None = None
) -> TokenAnswers:
    """Answers for the sentences of a part, the first `limit` of them, in their order.

    Raises `InputError` for a model without the head, and for a label that the model does not know, naming the place.
    """
    require(loaded, "token_classification")
    table = numbers_of(loaded.labels)
    sentences: list[Words] = []
    targets: list[Words | None] = []
    rows: list[Floats] = []
    for some in sentences_of(islice(part.read(), limit)):
        for example in some:
            label_numbers(example, table)
        sequences = word_sequences(loaded.tokenizer, [example.words for example in some], settings)
        rows += word_logits(loaded, sequences)
        sentences += [example.words for example in some]
        targets += [example.labels for example in some]
    logits = np.concatenate(rows) if rows else np.zeros((0, len(loaded.labels)))
    scores = probabilities(loaded, logits) if len(logits) else logits
    found = iter([loaded.labels[number] for number in logits.argmax(axis=1)])
    predictions = [tuple(islice(found, len(words))) for words in sentences]
    known = [labels for labels in targets if labels is not None]
    return TokenAnswers(
        loaded.labels, sentences, predictions, known if len(known) == len(targets) else None, scores, logits
    )


def word_logits(loaded: Loaded, sequences: Sequence[Sequence[WordSequence]]) -> list[Floats]:
    """The logits of each sentence's words (words, K), each word's from the sequence that it is judged in."""
    logits = iter(piece_logits(loaded, [each.encoding for each in chain.from_iterable(sequences)]))
    found = []
    for some in sequences:
        rows = np.zeros((sum(len(each.words) for each in some), len(loaded.labels)))
        for each in some:
            rows[each.words] = next(logits)[each.columns]
        found.append(rows)
    return found
