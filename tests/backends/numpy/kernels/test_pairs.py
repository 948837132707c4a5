"""Every kernel does what its reference pair does: the ops' own checks, the error bound, layouts, and repetition."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from ....ops import checks
from ....ops.harness import arguments, close, same_bits
from ....ops.strategies import options, sizes
from .pairs import KERNELS, XP, as_op, check_error, in_pieces, rounded


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("side", ["forward", "backward"])
def test_the_checks_of_the_op(name: str, side: str) -> None:
    """Goldens, fixed cases against torch, slopes along random directions, and the edge cases of the docstring."""
    check = checks.check_forward if side == "forward" else checks.check_backward
    with np.errstate(all="ignore"):
        check(as_op(KERNELS[name]), XP)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if "gradients" in kernel.hints])
@given(data=st.data())
def test_who_needs_no_gradients_gets_the_same_output(name: str, dtype: str, data: st.DataObject) -> None:
    """To the bit, but for products, which BLAS then divides in its own way, and attention's quotients."""
    case, _, _ = checks.random_case(name, data.draw(st.integers(0, 2**32 - 1)), data.draw(sizes(name)))
    given_ = arguments(XP, rounded(case, dtype), dtype)
    if not KERNELS[name].serves(**given_):
        return
    for workers in (1, 3):
        with in_pieces(workers):
            y, _ = KERNELS[name].forward(XP, **given_)
            alone, _ = KERNELS[name].forward(XP, **given_, gradients=False)
        if name in ("attention", "dense"):
            close(alone, y, 8 * float(np.finfo(dtype).eps), name)
        else:
            assert same_bits(alone, y)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if "given" in kernel.hints])
@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 2)
def test_what_is_given_away_changes_no_bit(name: str, gradients: bool, data: st.DataObject) -> None:
    """An array that is written over, and one that can't be: it is a view of every other column, or read-only."""
    case, upstream, _ = checks.random_case(name, data.draw(st.integers(0, 2**32 - 1)), data.draw(sizes(name)))
    case = rounded(case, "float32")
    dy = np.asarray(upstream, np.float32)

    def solve(x: np.ndarray, **hints: bool) -> list[np.ndarray]:
        given_ = {**arguments(XP, case, "float32"), "x": x}
        y, cache = KERNELS[name].forward(XP, **given_, **hints, gradients=gradients)
        return [y, *(g for g in KERNELS[name].backward(XP, dy, cache) if g is not None)] if gradients else [y]

    x = np.asarray(case.inputs["x"], np.float32)
    wide = np.repeat(x, 2, axis=-1)
    fixed = x.copy()
    fixed.flags.writeable = False
    expected = solve(x.copy())
    for other in (x.copy(), wide[..., ::2], fixed):
        before = other.copy()
        found = solve(other, given=True)
        assert all(same_bits(a, b) for a, b in zip(found, expected, strict=True))
        free = other.flags.c_contiguous and other.flags.writeable
        assert free or same_bits(other, before)
        assert gradients or not other.size or np.shares_memory(found[0], other) == free


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 2)  # of which each is solved by both pairs, twice
def test_the_error_is_of_the_size_of_the_references_own(name: str, dtype: str, data: st.DataObject) -> None:
    shape = data.draw(sizes(name))
    case, upstream, _ = checks.random_case(
        name, data.draw(st.integers(0, 2**32 - 1)), shape, **data.draw(options(name))
    )
    check_error(KERNELS[name], case, upstream, dtype)
    with in_pieces(workers=3):
        check_error(KERNELS[name], case, upstream, dtype)
