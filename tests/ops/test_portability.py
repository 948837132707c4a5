"""One code, several libraries: the bare standard gives NumPy's bits, torch gives NumPy's numbers."""

from typing import Any

import numpy as np
import pytest

from bertref.ops import OPS

from .checks import fixed_cases
from .edges import EDGES
from .harness import close, golden_cases, same_bits, solve

DTYPES = {"float64": 1e-12, "float32": 2e-5}
"""Sums of a few dozen terms in another order; float32 has 2^29 times fewer steps, and less cancellation allowed for."""


def assert_same_bits(op: str, got: tuple, expected: tuple) -> None:
    assert same_bits(got[0], expected[0]), f"{op}: the outputs differ"
    assert got[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert same_bits(got[1][name], gradient), f"{op}: the gradients of {name} differ"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
def test_bare_standard_gives_the_bits_of_numpy(op: str, dtype: str, strict_xp: Any, numpy_xp: Any) -> None:
    for golden in golden_cases(op, dtype):
        given = (golden.case, golden.upstream, dtype)
        assert_same_bits(op, solve(OPS[op], strict_xp, *given), solve(OPS[op], numpy_xp, *given))


@pytest.mark.parametrize("op", OPS)
def test_bare_standard_gives_the_edge_cases_of_numpy(op: str, strict_xp: Any, numpy_xp: Any) -> None:
    for edge in EDGES[op]:
        upstream = np.ones(np.shape(edge.output))
        with np.errstate(all="ignore"):
            strict, plain = (solve(OPS[op], xp, edge.case, upstream) for xp in (strict_xp, numpy_xp))
        assert_same_bits(op, strict, plain)


@pytest.mark.parametrize("op", OPS)
def test_bare_standard_takes_empty_batches(op: str, strict_xp: Any, numpy_xp: Any) -> None:
    case, upstream, _ = fixed_cases(op)[-1]
    strict, plain = (solve(OPS[op], xp, case, upstream) for xp in (strict_xp, numpy_xp))
    assert_same_bits(op, strict, plain)


def test_the_bare_standard_is_restricted(strict_xp: Any) -> None:
    x = strict_xp.from_numpy(np.arange(3.0))
    with pytest.raises(RuntimeError, match="boolean"):
        x[x > 1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
def test_torch_gives_the_numbers_of_numpy(op: str, dtype: str, torch_xp: Any, numpy_xp: Any) -> None:
    for case, upstream, _ in fixed_cases(op):
        expected_y, expected = solve(OPS[op], numpy_xp, case, upstream, dtype)
        y, gradients = solve(OPS[op], torch_xp, case, upstream, dtype)
        assert y.dtype == expected_y.dtype
        close(y, expected_y, DTYPES[dtype], f"{op}, {dtype}")
        assert gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            assert gradients[name].dtype == gradient.dtype
            close(gradients[name], gradient, DTYPES[dtype], f"{op}, {dtype}, gradient of {name}")
