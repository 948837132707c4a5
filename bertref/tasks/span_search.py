"""From the logits of a question's windows to the stretches of its context that answer it.

A span's score is the logit of its start plus that of its end. As in the original

- a span lies in the context, ends where it starts or behind, and has at most so many pieces;
- it counts only in the window in which its start has most context, so each is judged once;
- of spans with the same text the best one counts;
- "no answer" is the span of [CLS] alone, in the window where it scores lowest (SQuAD 2.0).

All spans are compared, where the original compares those of the likeliest starts and ends.

Source: google-research/bert, `run_squad.py`, `write_predictions`.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .spans import Framed, Integers
from .windows import best_window

N_BEST = 20
"""Candidates of different text."""
SELECTED = 256
"""So many of the best spans are sorted: enough for `N_BEST` different texts, almost always."""

Floats = npt.NDArray[np.float64]


class Candidate(NamedTuple):
    """A span: `text` = context[start:end]; "" with start = end = 0 for "no answer"."""

    text: str
    start: int
    end: int
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        return self.start_logit + self.end_logit


class Candidates(NamedTuple):
    """Up to `N_BEST` spans of different text, best first, and "no answer"."""

    spans: list[Candidate]
    null: Candidate

    @property
    def null_odds(self) -> float:
        """How much more the model likes "no answer" than the best span."""
        return self.null.score - self.spans[0].score


class _Tables(NamedTuple):
    """Of n pieces, in the window in which each has most context: its logit as a start (n,), the logits of it and the
    pieces behind as ends (n, L), and where the window stops (n,); behind that the ends are -inf."""

    starts: Floats
    ends: Floats
    stops: Integers


def search(framed: Framed, logits: Sequence[Floats], longest: int) -> Candidates:
    """Candidates of up to `longest` pieces. `logits` of each window: those of [CLS] and of its pieces, (1 + n, 2)."""
    null = min((rows[0] for rows in logits), key=lambda row: float(row.sum()))
    return Candidates(_best(framed, _tables(framed, logits, longest)), Candidate("", 0, 0, *map(float, null)))


def _tables(framed: Framed, logits: Sequence[Floats], longest: int) -> _Tables:
    n = len(framed.passage.ids)
    longest = min(longest, n)
    chosen = best_window(n, framed.windows)
    starts, ends = np.empty(n), np.empty((n, longest))
    for number, (window, rows) in enumerate(zip(framed.windows, logits, strict=True)):
        mine = np.flatnonzero(chosen[window.start : window.end] == number)
        behind = np.concatenate([rows[1:, 1], np.full(longest - 1, -np.inf)])
        starts[window.start + mine] = rows[1 + mine, 0]
        ends[window.start + mine] = np.lib.stride_tricks.sliding_window_view(behind, longest)[mine]
    return _Tables(starts, ends, np.array([window.end for window in framed.windows])[chosen])


def _best(framed: Framed, tables: _Tables) -> list[Candidate]:
    """The `N_BEST` spans of different text, best first; of equal scores the one that begins, then ends, earlier."""
    starts, ends, stops = tables
    passage = framed.passage
    found: dict[str, Candidate] = {}
    for number in _descending((starts[:, None] + ends).reshape(-1)):
        first, extra = divmod(int(number), ends.shape[1])
        if first + extra >= stops[first]:
            continue
        start, end = passage.characters_of(first, first + extra)
        text = passage.text[start:end]
        if text not in found:
            found[text] = Candidate(text, start, end, float(starts[first]), float(ends[first, extra]))
            if len(found) == N_BEST:
                break
    return list(found.values())


def _descending(scores: Floats) -> Iterator[np.int64]:
    """The places of the scores, the largest first, equal ones in order. Sorts `SELECTED` of them, and all only if more
    are asked for."""
    told = 0
    if len(scores) > SELECTED:
        least = np.partition(scores, -SELECTED)[-SELECTED]
        chosen = np.flatnonzero(scores >= least)
        yield from chosen[np.argsort(-scores[chosen], kind="stable")]
        told = len(chosen)
    yield from np.argsort(-scores, kind="stable")[told:]
