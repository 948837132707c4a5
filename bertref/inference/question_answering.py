"""The stretch of a context that answers a question.

A context that is too long is seen through overlapping windows (`tasks.spans`); `tasks.span_search` says which spans
are compared. As in the original, probabilities are a softmax over the candidates. An answer is cut out of the original
text by the places of its pieces, where the original aligns texts afterwards.

Source: Devlin et al. 2019, sections 4.2 and 4.3; google-research/bert, `run_squad.py`, `write_predictions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import heads
from ..errors import InputError, TextError
from ..probes import padded
from ..tasks.span_search import N_BEST, Candidates, search
from ..tasks.spans import Framed, Framing, SpanSettings
from ..text.encoding import Encoding, check_texts
from .loaded import Loaded, encode, require
from .team import Team, answered


class SpanAnswer(NamedTuple):
    """`text` = context[start:end]; empty, with start = end = 0, for "no answer"."""

    text: str
    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True)
class SpanAnswers:
    """Candidates, best first. `no_answer_score`: how much more the model likes "no answer" than the best span."""

    best: list[SpanAnswer]
    no_answer_score: float


@dataclass(frozen=True)
class AnswerOptions:
    """Defaults are the original's.

    top_k              answers returned
    max_answer_length  in word pieces
    max_seq_length     of a window with its question; None: 384, or less where the model reads less
    doc_stride         how far apart windows begin
    max_query_length   pieces of the question that are kept
    null_threshold     "no answer" is a candidate, and the first one if `no_answer_score` is above this; None: never
    """

    top_k: int = 5
    max_answer_length: int = 30
    max_seq_length: int | None = None
    doc_stride: int = 128
    max_query_length: int = 64
    null_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_length", "doc_stride", "max_query_length"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.top_k > N_BEST:
            raise InputError(f"top_k is {self.top_k}; at most {N_BEST} answers are kept")

    def settings(self, positions: int) -> SpanSettings:
        """What a model that reads so many positions makes of these options."""
        length = min(positions, 384 if self.max_seq_length is None else self.max_seq_length)
        return SpanSettings(
            length, self.doc_stride, self.max_query_length, self.max_answer_length, self.null_threshold
        )


def answer(
    loaded: Loaded, questions: Sequence[str], contexts: Sequence[str], options: AnswerOptions | None = None
) -> list[SpanAnswers]:
    """`SpanAnswers` for each question on the context at the same place.

    Raises `TextError` for questions and contexts without words, `InputError` for a window without room and a model
    without the head.
    """
    require(loaded, "question_answering")
    check_texts(questions, contexts)
    if len(questions) != len(contexts):
        raise InputError(f"{len(questions)} questions and {len(contexts)} contexts; every question has one")
    options = options or AnswerOptions()
    framing = Framing(loaded.tokenizer, options.settings(loaded.config.max_length))
    made = [framing.framed(question, context) for question, context in zip(questions, contexts, strict=True)]
    reasons = {i: each for i, each in enumerate(made) if isinstance(each, str)}
    if reasons:
        raise TextError(reasons)
    framed = [each for each in made if not isinstance(each, str)]
    return [_answers(found, options) for found in candidates(loaded, framed, options.max_answer_length)]


def candidates(
    loaded: Loaded, framed: Sequence[Framed], longest: int, team: Team | None = None
) -> list[Candidates]:
    """For each framed question the best spans of up to `longest` pieces, and "no answer"; a team shares the batches."""
    pairs = [(each, window) for each in framed for window in each.windows]
    encodings = [each.encoding(loaded.tokenizer.vocab, window) for each, window in pairs]
    logits = answered(encodings, lambda some: _logits(loaded, some), team)
    of_pairs = zip(pairs, logits, strict=True)
    stream = iter(
        np.concatenate([rows[:1], rows[each.offset : each.offset + end - start]])
        for (each, (start, end)), rows in of_pairs
    )
    return [search(each, [next(stream) for _ in each.windows], longest) for each in framed]


def _logits(loaded: Loaded, some: Sequence[Encoding]) -> list[npt.NDArray[np.float64]]:
    """The logits (S, 2) of each sequence of a batch, on the host."""
    xp = loaded.ops.xp
    encoded, x = encode(loaded, some)
    logits, _ = heads.question_answering_forward(loaded.ops, loaded.params, encoded.sequence)
    rectangle = np.asarray(xp.to_numpy(padded(xp, logits, x.layout)), np.float64)
    return [rows[: len(encoding.input_ids)] for encoding, rows in zip(some, rectangle, strict=True)]


def _answers(found: Candidates, options: AnswerOptions) -> SpanAnswers:
    listed = list(found.spans)
    if options.null_threshold is not None:
        better = 1 + sum(span.score >= found.null.score for span in listed[1:])
        listed.insert(0 if found.null_odds > options.null_threshold else better, found.null)
    probabilities = softmax([candidate.score for candidate in listed])
    best = [SpanAnswer(*c[:3], c.score, float(p)) for c, p in zip(listed, probabilities, strict=True)]
    return SpanAnswers(best[: options.top_k], found.null_odds)


def softmax(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    """Probabilities (N,) of candidates with these scores."""
    weights = np.exp(np.array(scores) - max(scores))
    return np.asarray(weights / weights.sum())
