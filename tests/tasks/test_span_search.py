"""The best spans against plain loops over all of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.tasks import span_search
from bertref.tasks.span_search import N_BEST, search
from bertref.tasks.spans import Framed, Passage
from bertref.tasks.windows import best_window, windows


def framed_of(text: str, room: int, stride: int) -> Framed:
    """Each letter of the text is a piece."""
    places = np.arange(len(text))
    return Framed([7], Passage(text, [9] * len(text), places, places + 1), windows(len(text), room, stride), 3)


def by_loops(framed: Framed, logits: list[Any], longest: int) -> list[tuple[float, int, int, str]]:
    """(-score, first, last, text) of the best spans of different text."""
    chosen = best_window(len(framed.passage.ids), framed.windows)
    spans = []
    for number, (window, rows) in enumerate(zip(framed.windows, logits, strict=True)):
        for first in range(window.start, window.end):
            for last in range(first, min(first + longest, window.end)):
                if chosen[first] == number:
                    score = rows[1 + first - window.start, 0] + rows[1 + last - window.start, 1]
                    spans.append((-float(score), first, last, framed.passage.text[first : last + 1]))
    found: dict[str, tuple[float, int, int, str]] = {}
    for span in sorted(spans):
        found.setdefault(span[3], span)
    return list(found.values())[:N_BEST]


@pytest.mark.parametrize("selected", [1, 4, 256])
@given(st.data())
def test_the_best_spans_are_those_of_plain_loops(selected: int, data: Any) -> None:
    text = data.draw(st.text("ab", min_size=1, max_size=40))
    framed = framed_of(text, data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50)))
    longest = data.draw(st.integers(1, 45))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ties = data.draw(st.booleans())
    logits = [rng.integers(0, 3, (1 + w.end - w.start, 2)) + (0.0 if ties else rng.random()) for w in framed.windows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_search, "SELECTED", selected)
        found = search(framed, logits, longest)
    wanted = by_loops(framed, logits, longest)
    assert [(-c.score, c.start, c.end - 1, c.text) for c in found.spans] == wanted
    null = min(float(rows[0].sum()) for rows in logits)
    assert (found.null.text, found.null.start, found.null.end, found.null.score) == ("", 0, 0, null)
    assert found.null_odds == null - found.spans[0].score


def test_a_model_that_diverged_has_answers() -> None:
    framed = framed_of("abcdefgh" * 40, 400, 128)
    for value in (np.nan, -np.inf):
        found = search(framed, [np.full((321, 2), value)], 30)
        assert len(found.spans) == N_BEST
