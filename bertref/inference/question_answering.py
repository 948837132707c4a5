"""The stretch of a context that answers a question.

The sequence is [CLS] question [SEP] context [SEP]; a context that is too long is seen through overlapping windows. A
span's score is the logit of its start plus that of its end. As in the original

- a span lies in the context, ends where it starts or behind, and has at most `max_answer_length` pieces;
- it counts only in the window in which its start has most context, so each is judged once;
- probabilities are a softmax over the N_BEST candidates of different text;
- "no answer" is the span of [CLS] alone, in the window where it scores lowest (SQuAD 2.0).

Two things are done better: all spans are compared, not only those of the likeliest starts and ends; and an answer is
cut out of the original text by the places of its pieces, where the original aligns texts afterwards.

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
from ..tasks.windows import Window, best_window, windows
from ..text import Piece
from ..text.encoding import Encoding
from .loaded import Loaded, batches, encode, require

N_BEST = 20


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


class _Task(NamedTuple):
    """One question on one context: its pieces and the windows over the context."""

    question: list[int]
    context: str
    pieces: list[Piece]
    windows: list[Window]


def answer(
    loaded: Loaded, questions: Sequence[str], contexts: Sequence[str], options: AnswerOptions | None = None
) -> list[SpanAnswers]:
    """`SpanAnswers` for each question on the context at the same place.

    Raises `TextError` for questions and contexts without words, `InputError` for a window without room and a model
    without the head.
    """
    require(loaded, "question_answering")
    if len(questions) != len(contexts):
        raise InputError(f"{len(questions)} questions and {len(contexts)} contexts; every question has one")
    options = options or AnswerOptions()
    tasks = _tasks(loaded, questions, contexts, options)
    logits: list[list[npt.NDArray[np.float64]]] = [[] for _ in tasks]
    for some in batches([(i, window) for i, task in enumerate(tasks) for window in task.windows]):
        for (i, _), rows in zip(some, _logits(loaded, [(tasks[i], w) for i, w in some]), strict=True):
            logits[i].append(rows)
    return [_answers(task, found, options) for task, found in zip(tasks, logits, strict=True)]


def _tasks(
    loaded: Loaded, questions: Sequence[str], contexts: Sequence[str], options: AnswerOptions
) -> list[_Task]:
    limit = loaded.config.max_position_embeddings
    length = min(limit, 384 if options.max_seq_length is None else options.max_seq_length)
    tasks: list[_Task] = []
    reasons: dict[int, str] = {}
    for i, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        asked = [p.id for p in loaded.tokenizer.locate(question)][: options.max_query_length]
        pieces = loaded.tokenizer.locate(context)
        if asked and pieces:
            room = length - len(asked) - 3
            tasks.append(_Task(asked, context, pieces, windows(len(pieces), room, options.doc_stride)))
        else:
            name, text = ("context", context) if asked else ("question", question)
            reasons[i] = f"can't be answered: the {name} {text!r} has no words"
    if reasons:
        raise TextError(reasons)
    return tasks


def _logits(loaded: Loaded, some: Sequence[tuple[_Task, Window]]) -> list[npt.NDArray[np.float64]]:
    """One batch of windows -> for each the logits of [CLS] and of the window's pieces, (1 + pieces, 2)."""
    vocab, xp = loaded.tokenizer.vocab, loaded.ops.xp
    encodings = []
    for task, (start, end) in some:
        head = [vocab.cls, *task.question, vocab.sep]
        tail = [*(p.id for p in task.pieces[start:end]), vocab.sep]
        encodings.append(Encoding(head + tail, [0] * len(head) + [1] * len(tail)))
    encoded, x = encode(loaded, encodings)
    logits, _ = heads.question_answering_forward(loaded.ops, loaded.params, encoded.sequence)
    rectangle = xp.to_numpy(padded(xp, logits, x.layout)).astype(np.float64)
    found = []
    for (task, (start, end)), rows in zip(some, rectangle, strict=True):
        offset = len(task.question) + 2
        found.append(np.concatenate([rows[:1], rows[offset : offset + end - start]]))
    return found


def _answers(task: _Task, logits: list[npt.NDArray[np.float64]], options: AnswerOptions) -> SpanAnswers:
    found = _best_spans(task, logits, options.max_answer_length)
    null = min(float(rows[0].sum()) for rows in logits)
    gap = null - found[0][3]
    if options.null_threshold is not None:
        place = 0 if gap > options.null_threshold else 1 + sum(score >= null for *_, score in found[1:])
        found.insert(place, ("", 0, 0, null))
    scores = np.array([score for *_, score in found])
    weights = np.exp(scores - scores.max())
    probabilities = weights / weights.sum()
    best = [SpanAnswer(*entry, float(p)) for entry, p in zip(found, probabilities, strict=True)]
    return SpanAnswers(best[: options.top_k], gap)


def _best_spans(task: _Task, logits: list[npt.NDArray[np.float64]], longest: int) -> list[tuple[str, int, int, float]]:
    """The N_BEST spans of different text over all windows, best first: text, place, score."""
    chosen = best_window(len(task.pieces), task.windows)
    parts = [
        _spans(rows[1:, 0], rows[1:, 1], chosen[start:end] == number, longest, start)
        for number, ((start, end), rows) in enumerate(zip(task.windows, logits, strict=True))
    ]
    firsts, lasts, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    found: dict[str, tuple[str, int, int, float]] = {}
    for i in np.lexsort((lasts, firsts, -scores)):
        pieces = task.pieces[firsts[i] : lasts[i] + 1]
        start, end = pieces[0].start, max(piece.end for piece in pieces)
        text = task.context[start:end]
        found.setdefault(text, (text, start, end, float(scores[i])))
        if len(found) == N_BEST:
            break
    return list(found.values())


def _spans(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], counts: npt.NDArray[np.bool_], longest: int, at: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All spans of one window, whose pieces are counted from `at`: first pieces, last pieces, scores."""
    n = len(start)
    firsts, extra = np.meshgrid(np.arange(n), np.arange(min(longest, n)), indexing="ij")
    lasts = firsts + extra
    allowed = (lasts < n) & counts[:, None]
    firsts, lasts = firsts[allowed], lasts[allowed]
    return firsts + at, lasts + at, start[firsts] + end[lasts]
