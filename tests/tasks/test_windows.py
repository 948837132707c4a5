"""Windows over long texts, and which of them a token is judged in, against the original's formula."""

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from bertref.errors import InputError
from bertref.tasks.windows import Window, best_window, windows


def test_windows_by_hand() -> None:
    assert windows(5, 10, 3) == [Window(0, 5)]
    assert windows(10, 4, 3) == [Window(0, 4), Window(3, 7), Window(6, 10)]
    assert windows(10, 4, 9) == [Window(0, 4), Window(4, 8), Window(8, 10)]
    assert windows(0, 4, 2) == [Window(0, 0)]


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 30))
def test_every_token_is_seen_and_no_window_is_superfluous(count: int, room: int, stride: int) -> None:
    found = windows(count, room, stride)
    assert {i for start, end in found for i in range(start, end)} == set(range(count))
    assert all(end - start <= room for start, end in found)
    assert all(end < count for _, end in found[:-1])
    assert found[-1].end == count


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 30))
@example(400, 384, 300)  # the last window is so much shorter that this outweighs some context
def test_the_best_window_is_the_originals(count: int, room: int, stride: int) -> None:
    found = windows(count, room, stride)
    for position, number in enumerate(best_window(count, found)):
        best_score, best = None, None
        for i, (start, end) in enumerate(found):
            if start <= position <= end - 1:
                score = min(position - start, end - 1 - position) + 0.01 * (end - start)
                if best_score is None or score > best_score:
                    best_score, best = score, i
        assert number == best


def test_no_room_and_no_stride_are_refused() -> None:
    with pytest.raises(InputError, match="0 tokens are left"):
        windows(5, 0, 1)
    with pytest.raises(InputError, match="stride is 0"):
        windows(5, 3, 0)
