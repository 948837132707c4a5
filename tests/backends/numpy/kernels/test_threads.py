"""The pool: every piece once, errors and settings as without it, and no bit that depends on the number of threads."""

import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from bertref.backends.numpy import threads
from bertref.backends.numpy.blas import openblas
from bertref.golden.generate.op_inputs import INPUTS

from ....ops import checks
from ....ops.harness import solve
from .pairs import KERNELS, XP, as_op, in_pieces
from .test_twins import SIZES


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("pieces", [0, 1, 7, 200])
def test_every_piece_runs_once(workers: int, pieces: int) -> None:
    done: list[int] = []
    with threads.using(workers):
        threads.run(done.append, pieces)
    assert sorted(done) == list(range(pieces))


@pytest.mark.skipif(not openblas.can_be_limited(), reason="this NumPy's BLAS can't be held to one thread")
def test_pieces_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=60)
    with threads.using(2):
        threads.run(lambda _: both.wait() and None, 2)


def test_an_error_comes_out() -> None:
    def piece(i: int) -> None:
        if i == 5:
            raise ArithmeticError("piece 5")

    for workers in (1, 3):
        with threads.using(workers), pytest.raises(ArithmeticError, match="piece 5"):
            threads.run(piece, 9)
    done: list[int] = []
    with threads.using(3):
        threads.run(done.append, 9)
    assert len(done) == 9


def test_a_piece_of_a_piece_runs_where_it_stands() -> None:
    where: list[tuple[int, int]] = []

    def outer(i: int) -> None:
        threads.run(lambda j: where.append((i, threading.get_ident())), 3)

    with threads.using(2):
        threads.run(outer, 4)
    assert len(where) == 12
    for i in range(4):
        assert len({thread for number, thread in where if number == i}) == 1


def test_floating_point_settings_reach_the_threads() -> None:
    found: list[str] = []
    with threads.using(3), np.errstate(over="raise"):
        threads.run(lambda _: found.append(np.geterr()["over"]), 20)
    assert set(found) == {"raise"}


def test_products_stay_on_their_thread() -> None:
    if not openblas.can_be_limited():
        pytest.skip("this NumPy's BLAS can't be held to one thread")
    before = openblas.threads()
    with threads.using(2):
        assert openblas.threads() == 2
        found: list[int | None] = []
        threads.run(lambda _: found.append(openblas.threads()), 8)
        assert set(found) == {1}
        assert openblas.threads() == 2
        with pytest.raises(ZeroDivisionError):
            threads.run(lambda _: 1 // 0, 2)
        assert openblas.threads() == 2
    assert openblas.threads() == before


def test_two_callers_at_once_leave_what_they_found() -> None:
    """The first to finish must not let the other's products loose."""
    if not openblas.can_be_limited():
        pytest.skip("this NumPy's BLAS can't be held to one thread")
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen: list[int | None] = []

    def first() -> None:
        with openblas.one_thread():
            first_is_in.set()
            second_is_in.wait(60)
        first_is_out.set()

    with threads.using(2):
        thread = threading.Thread(target=first)
        thread.start()
        first_is_in.wait(60)
        with openblas.one_thread():
            second_is_in.set()
            first_is_out.wait(60)
            seen.append(openblas.threads())
        thread.join()
        seen.append(openblas.threads())
    assert seen == [1, 2]


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    cores = threads.count()
    assert cores >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.count() == 3
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert threads.count() == 2
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "many")
    assert threads.count() == 3
    with threads.using(5):
        assert threads.count() == 5
    with pytest.raises(ValueError, match="0 threads can't do any work"):
        threads.use(0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_the_number_of_threads_changes_no_bit(name: str, dtype: str) -> None:
    """Nor does chance: the same blocks, shared out among one, two and five threads, several times."""
    case, upstream, _ = checks.random_case(name, 3, SIZES[name])
    results = []
    for workers in (1, 2, 5, 5, 5):
        with in_pieces(workers), np.errstate(all="ignore"):
            y, gradients = solve(as_op(KERNELS[name]), XP, case, upstream, dtype)
        results.append([a.tobytes() for a in (y, *gradients.values())])
    assert all(result == results[0] for result in results)


LARGE = {
    "attention": {"B": 5, "S": 40, "A": 2, "D": 16},
    "bias_activation": {"B": 4, "S": 70, "I": 600},
    "dense": {"B": 9, "S": 300, "I": 70, "O": 800},
    "dropout_add_norm": {"B": 4, "S": 90, "H": 300},
}


@pytest.mark.parametrize("name", LARGE)
def test_nor_at_sizes_that_are_cut_of_themselves(name: str) -> None:
    rng = np.random.default_rng(5)
    case = INPUTS[name].sampler(rng, **LARGE[name])
    upstream = rng.normal(size=np.shape(KERNELS[name].forward(XP, **_single(case.inputs), **case.options)[0]))
    results = []
    for workers in (1, 2, 3):
        with threads.using(workers):
            y, gradients = solve(as_op(KERNELS[name]), XP, case, upstream, "float32")
        results.append([a.tobytes() for a in (y, *gradients.values())])
    assert results[0] == results[1] == results[2]


def test_nor_within_a_part_of_a_larger_piece_of_work() -> None:
    """A dense layer for which nobody shares the work is one product, however many threads have a part."""
    rng = np.random.default_rng(5)
    x, weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 1400, 70), (90, 70), (90,)))
    results = []
    for workers in (1, 2, 3):
        found: dict[int, np.ndarray] = {}

        def part(i: int, found: dict[int, np.ndarray] = found) -> None:
            assert threads.inside()
            found[i], _ = KERNELS["dense"].forward(XP, x[i], weight, bias, gradients=False)

        with threads.using(workers):
            threads.run(part, 2)
        results.append(found[0].tobytes() + found[1].tobytes())
        np.testing.assert_allclose(found[1], x[1] @ weight.T + bias, rtol=1e-5, atol=1e-5)
    assert not threads.inside()
    assert results[0] == results[1] == results[2]


def _single(inputs: dict[str, Any]) -> dict[str, Any]:
    return {n: a.astype(np.float32) if getattr(a, "dtype", None) == np.float64 else a for n, a in inputs.items()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_makes_its_own_threads() -> None:
    code = """
import os, warnings
warnings.simplefilter("ignore")
from bertref.backends.numpy import threads
threads.use(2)
threads.run(lambda i: None, 4)
child = os.fork()
if child == 0:
    done = []
    threads.run(done.append, 4)
    os._exit(0 if sorted(done) == [0, 1, 2, 3] else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
