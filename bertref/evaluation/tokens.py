"""What a model, or somebody else's file, says of every word of a part, beside the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from ..data.tasks.examples import Part
from ..inference.loaded import Loaded, probabilities, require
from ..inference.team import Team
from ..inference.token_classification import piece_logits
from ..tasks.labels import numbers_of
from ..tasks.tokens import TokenSettings, WordSequence, label_numbers, sentences_of, word_sequences

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Words = tuple[str, ...]


@dataclass(frozen=True)
class TokenAnswers:
    """N sentences of W words altogether, K labels; a label for every word.

    sentences     the words of each sentence
    predictions   the numbers of the words' labels, end to end (W,)
    targets       the same of the true labels, None where the part has none
    logits        (W, K), `scores` the probabilities that they give; None where not known
    """

    labels: Words
    sentences: Sequence[Words]
    predictions: Numbers
    targets: Numbers | None
    scores: Floats | None = None
    logits: Floats | None = None

    def __len__(self) -> int:
        return len(self.sentences)

    def by_sentence(self, numbers: Numbers) -> list[Words]:
        """Numbers of labels (W,) -> the labels of each sentence's words."""
        labels = iter([self.labels[number] for number in numbers])
        return [tuple(islice(labels, len(words))) for words in self.sentences]


def answer_tokens(
    loaded: Loaded, kind: str, part: Part, settings: TokenSettings, *, limit: int | None = None,
    team: Team | None = None,
) -> TokenAnswers:
    """Answers for the sentences of a part, the first `limit` of them, in their order.

    Raises `InputError` for a model without the head, and for a label that the model does not know, naming the place.
    """
    require(loaded, "token_classification")
    table = numbers_of(loaded.labels)
    sentences: list[Words] = []
    targets: list[Numbers | None] = []
    rows: list[Floats] = [np.zeros((0, len(loaded.labels)))]
    for some in sentences_of(islice(part.read(), limit)):
        targets += [label_numbers(example, table) for example in some]
        sentences += [example.words for example in some]
        rows += word_logits(loaded, word_sequences(loaded.tokenizer, [e.words for e in some], settings), team)
    logits = np.concatenate(rows)
    scores = probabilities(loaded, logits) if len(logits) else logits
    return TokenAnswers(
        loaded.labels, sentences, np.asarray(logits.argmax(axis=1), np.int64), _together(targets), scores, logits
    )


def _together(targets: Sequence[Numbers | None]) -> Numbers | None:
    """Those of all sentences; None if one of them has none."""
    known = [numbers for numbers in targets if numbers is not None]
    return np.concatenate([np.zeros(0, np.int64), *known]) if len(known) == len(targets) else None


def word_logits(
    loaded: Loaded, sequences: Sequence[Sequence[WordSequence]], team: Team | None = None
) -> list[Floats]:
    """The logits of each sentence's words (words, K), each word's from the sequence that it is judged in."""
    logits = iter(piece_logits(loaded, [each.encoding for each in chain.from_iterable(sequences)], team))
    found = []
    for some in sequences:
        rows = np.zeros((sum(len(each.words) for each in some), len(loaded.labels)))
        for each in some:
            rows[each.words] = next(logits)[each.columns]
        found.append(rows)
    return found
