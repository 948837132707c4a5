"""What a model answers to every question of a part: the text, the candidates, how much it likes "no answer"."""

from dataclasses import dataclass
from itertools import islice

from ..data.tasks.examples import Part, SpanExample
from ..errors import InputError
from ..inference.loaded import Loaded, require
from ..inference.question_answering import candidates
from ..inference.team import Team
from ..tasks.span_search import Candidates
from ..tasks.spans import Framed, Framing, SpanSettings

BLOCK = 64
"""Questions that go through the model together: their logits and windows are all that is held at a time."""


@dataclass(frozen=True)
class SpanAnswersOfPart:
    """Answers by the questions' ids, in the order of the part.

    candidates  spans, best first, and "no answer"
    golds       the texts that people gave, () for a question without an answer; None unless all are known
    threshold   `SpanSettings.null_threshold`; None: every question is answered (SQuAD 1.1)
    """

    candidates: dict[str, Candidates]
    golds: dict[str, tuple[str, ...]] | None
    threshold: float | None

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def texts(self) -> dict[str, str]:
        """The best span of each question, whether or not "no answer" is preferred to it."""
        return {name: found.spans[0].text for name, found in self.candidates.items()}

    @property
    def null_odds(self) -> dict[str, float]:
        """By how much "no answer" scores higher than the best span."""
        return {name: found.null_odds for name, found in self.candidates.items()}

    @property
    def predictions(self) -> dict[str, str]:
        """The answer to each question; "" where the null odds are above the threshold."""
        return {name: self.prediction_of(name) for name in self.candidates}

    def prediction_of(self, name: str) -> str:
        """The answer to one question."""
        found = self.candidates[name]
        limit = float("inf") if self.threshold is None else self.threshold
        return "" if found.null_odds > limit else found.spans[0].text


def answer_spans(
    loaded: Loaded, kind: str, part: Part, settings: SpanSettings, *, limit: int | None = None,
    team: Team | None = None,
) -> SpanAnswersOfPart:
    """Answers to the questions of a part, the first `limit` of them.

    Raises `InputError` for a model without the head and, naming its place, for a question without words.
    """
    require(loaded, "question_answering")
    framing = Framing(loaded.tokenizer, settings)
    found: dict[str, Candidates] = {}
    golds: dict[str, tuple[str, ...]] = {}
    known, stream = True, islice(part.read(), limit)
    while some := list(islice(stream, BLOCK)):
        framed = [_framed(framing, example) for example in some]
        best = candidates(loaded, framed, settings.max_answer_length, team)
        found |= zip((e.place for e in some), best, strict=True)
        golds |= {example.place: tuple(answer.text for answer in example.answers) for example in some}
        known = known and all(example.answerable is not None for example in some)
    return SpanAnswersOfPart(found, golds if known else None, settings.null_threshold)


def _framed(framing: Framing, example: SpanExample) -> Framed:
    framed = framing.framed(example.question, example.context)
    if isinstance(framed, str):
        raise InputError(f"{example.place}: {framed}")
    return framed
