"""Every part on the CPU, at sizes of a moment, and what is told of it."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertref.backends.cupy.kernels.tuning import Tuning
from bertref.train.parallel.torchrun import Gloo

from ..bench import small
from . import chip, losses, pairs, part, several, speed, suite, summary, sweep, verified
from .context import Context, PartFailed
from .parts import PARTS, Part
from .results import Results
from .runner import FAILED, NOT_RUN, PASSED, Outcome

ROOT = Path(__file__).parents[2]


SLOW = {"several": pytest.mark.slow}  # it starts processes


@pytest.mark.parametrize("each", [pytest.param(p, marks=SLOW.get(p.name, ()), id=p.name) for p in PARTS])
def test_a_part(each: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.race_here(monkeypatch)
    context = Context(each.name, tmp_path, dry=True, seconds=600)
    assert part.run(each.name, context) == 0, Results(tmp_path).of(each.name)
    records = Results(tmp_path).of(each.name)
    assert records
    told = import_module(f"tests.gpu.{each.module}").lines(records)
    assert told
    assert all("None" not in line for line in told if each.name != "chip"), told


def test_the_script_runs_a_part_in_a_process(tmp_path: Path) -> None:
    command = ["bash", str(ROOT / ".ci/run-gpu"), "--dry", "--only", "0", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHON": sys.executable, "GPU_WHEELS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("failed: none")
    assert "TFLOP/s in products" in done.stdout
    assert Results(tmp_path).of("chip")[-1]["outcome"] == PASSED


def test_what_is_wrong_fails_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is off, losses that go apart, a verdict, tests that fail: each is told in a line."""

    def ran(name: str) -> dict[str, Any]:
        assert part.run(name, Context(name, tmp_path, dry=True)) == 1
        return Results(tmp_path).of(name)[-1]

    monkeypatch.setattr(pairs, "DRY_NAMES", ("gather",))
    monkeypatch.setattr(pairs, "agrees", lambda *_: (_ for _ in ()).throw(AssertionError("off by 3\nand more")))
    assert ran("pairs") == {"part": "pairs", "error": "1 checks failed"}
    assert "gather, bfloat16, small: AssertionError: off by 3" in pairs.lines(Results(tmp_path).of("pairs"))
    monkeypatch.setattr(losses, "losses", lambda job, count: [2.0, 1.0 + 0.001 * (job.backend != "numpy")])
    assert "apart from NumPy's by {'torch:cpu': " in ran("losses")["error"]
    monkeypatch.setattr(verified, "verdict_of", lambda subject: ("diverges", "first wrong: logits"))
    assert ran("verified")["error"] == "torch:cpu float32: first wrong: logits"
    monkeypatch.setattr(several, "changed_bits", lambda *_: ["norm"])
    monkeypatch.setattr(several, "furthest", lambda *_: float("nan"))
    said = "torch:cpu, on its default stream: norm; two processes of torch:cpu are nan apart"
    assert ran("several")["error"].startswith(said)
    monkeypatch.setattr(suite, "tested", lambda *_: (1, ["FAILED tests/a.py", "1 failed"]))
    assert ran("suite")["error"] == "torch:cpu: 1 failed"
    monkeypatch.setattr(sweep, "timed", lambda *_: (_ for _ in ()).throw(ValueError("no such kernel")))
    assert "embedding, today 0: no such kernel" in ran("sweep")["error"]


@pytest.mark.parametrize(("call", "wrong"), [
    ("all_reduce", ["sums", "norm", "losses"]), ("reduce_scatter", ["parts"]), ("all_gather", ["parts"]), (None, []),
])  # fmt: skip
def test_a_bit_that_changes_on_its_way_is_seen(
    call: str | None, wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if call is not None:
        right = getattr(Gloo, call)

        def off(world: Gloo, *arrays: Any) -> Any:
            right(world, *arrays).wait()
            arrays[-1][-1] *= 1.0000002
            return SimpleNamespace(wait=lambda: None)

        monkeypatch.setattr(Gloo, call, off)
    with several.one_process() as world:
        assert several.changed_bits(world, "torch:cpu", several.DRY_LENGTHS) == wrong
        monkeypatch.setattr(Gloo, "takes", lambda world, array: False)
        assert several.changed_bits(world, "torch:cpu", several.DRY_LENGTHS) == ["arrays are not taken"]


def test_a_race_that_can_not_be_run_leaves_our_own_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertref.errors import InputError

    def race(job: Any, peer: str | None, **_: Any) -> dict[str, Any]:
        if peer:
            raise InputError("not timed: they differ")
        side = {"name": "bertref", "dtype": "float32", "tokens_per_second": 5e4}
        return {"ours": side, "peer": None, "ratio": None, "memory": {"measured": 2**30, "peer": None}}

    monkeypatch.setattr(speed, "race", race)
    assert part.run("base", Context("base", tmp_path, dry=True)) == 1
    told = speed.lines(Results(tmp_path).of("base"))
    assert told == [
        "tiny.json 4 x 16 against torch: not timed: they differ",
        "tiny.json 4 x 16: bertref float32 50,000 tokens/s 1.0 GiB",
    ]


def test_what_failed_is_named_even_if_the_time_was_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["[gw1] [  5%] PASSED tests/a.py::b", "[gw0] [  6%] FAILED tests/a.py::c[1] ", "tests/d.py::e ERROR  [ 7%]",
            "FAILED tests/a.py::c[1] - AssertionError: 3"]  # fmt: skip
    assert suite.wrong(said) == ["FAILED tests/a.py::c[1] - AssertionError: 3", "tests/d.py::e ERROR  [ 7%]"]
    context = Context("suite", tmp_path, dry=True, seconds=0)
    code, words = suite.tested(context, "torch:cpu")
    assert (code, len(words)) == (None, 1)
    monkeypatch.setattr(suite, "tested", lambda *_: (None, words))
    suite.run(context)
    monkeypatch.setattr(suite, "tested", lambda *_: (None, ["FAILED tests/a.py::c", "half of them"]))
    with pytest.raises(PartFailed, match="torch:cpu: half of them"):
        suite.run(context)


def test_limits_are_the_best_that_were_found() -> None:
    records = [{"what": "chip"}, {"what": "copies", "gb_s": 3000.0}, {"what": "copies", "gb_s": 3100.0},
               {"what": "products", "dtype": "bfloat16", "tflop_s": 700.0}]  # fmt: skip
    assert chip.limits(records) == {"copies": 3100.0, "bfloat16": 700.0}


def test_a_summary_is_short_and_ends_with_what_failed(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for i in range(300):
        results.add("pairs", kernel=f"k{i}", dtype="float32", sizes="small", error_of_kernel="off " * 100)
        results.add("suite", backend="cupy", code=1, said=[f"FAILED {i}", "all failed"])
    kinds = [PASSED, FAILED, NOT_RUN]
    told = summary.lines([Outcome(each, kinds[each.number % 3], 1.0, "why") for each in PARTS], tmp_path)
    assert len(told) <= 100
    assert max(map(len, told)) <= summary.WIDTH
    assert told[-1] == "failed: 1 compiled, 4 trace, 7 verified, 10 suite; not run: 2, 5, 8"
    assert told.index("-- suite") < told.index("-- pairs") < told.index("-- parts")


def test_the_tests_of_the_last_part_exist() -> None:
    for name in (*suite.TESTS, *suite.DRY_TESTS):
        assert (ROOT / name.removeprefix("--ignore=")).exists(), name


def test_every_case_of_the_sweep_is_a_field_and_dry_where_it_can() -> None:
    assert set(sweep.CANDIDATES) == set(sweep.CASES)
    for case in sweep.CASES:
        assert next(sweep.candidates(case, dry=False)) == ("today", 0, Tuning())
