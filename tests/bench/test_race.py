"""Races, two of them in real processes, at sizes of a moment. Nothing here looks at how long anything took."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref.backends.numpy.blas import mkl
from bertref.backends.numpy.threads import count
from bertref.bench import Job, roofline
from bertref.bench import race as race_module
from bertref.bench import sweep as sweep_module
from bertref.bench.process import Process, environment
from bertref.bench.race import arena, race
from bertref.bench.worker import serve
from bertref.checkpoint import load_model, save_weights
from bertref.errors import BackendUnavailable, InputError
from tests.bench import small
from tests.cli_helpers import command

KEYS = {"schema", "command", "input", "machine", "ours", "peer", "ratio", "agreement", "roofline", "memory"}


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_module, "TURN", 0.0)


def test_a_race_with_transformers(tmp_path: Path) -> None:
    said: list[str] = []
    job = small.job(tmp_path)
    found = race(job, "transformers", repeat=2, with_memory=True, report=said.append)
    assert set(found) == KEYS
    assert found["schema"] == 1
    assert found["input"]["tokens"] == 36
    assert found["ours"]["name"] == "bertref"
    assert found["peer"]["attention"] == "sdpa"
    assert found["peer"]["optimizer"] in ("AdamW fused", "AdamW foreach")
    assert len(found["ours"]["times"]) == len(found["peer"]["times"]) == 2
    paired = [b / a for a, b in zip(found["ours"]["times"], found["peer"]["times"], strict=True)]
    assert found["ratio"] == {"median": sum(paired) / 2, "min": min(paired), "max": max(paired)}
    assert found["agreement"]["difference"] < 1e-4
    assert found["memory"]["measured"] < found["memory"]["peer"]
    assert found["memory"]["ratio"] == found["memory"]["measured"] / found["memory"]["peer"]
    assert found["machine"]["threads"] == 1
    assert said.index("do both compute the same?") < said.index("warming up") < said.index("round 1 of 2")
    json.dumps(found)


def test_processes_that_share_the_work_against_one(tmp_path: Path) -> None:
    job = small.job(tmp_path, "parallel", threads=2, processes=2, shard_optimizer=True)
    found = race(job, "alone", repeat=1, with_memory=True)
    assert set(found) == KEYS
    assert [found[side]["name"] for side in ("ours", "peer")] == ["2 processes", "1 process"]
    assert [found[side]["shard_optimizer"] for side in ("ours", "peer")] == [True, False]
    assert found["machine"]["threads"] == 2
    assert set(found["ratio"]) == {"median", "min", "max"}
    assert 0 < found["agreement"]["difference"] < 1e-4, "sums of two parts are rounded otherwise than those of one"
    assert found["memory"]["measured"] > found["memory"]["peer"]


def test_ours_alone_with_its_roofline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.race_here(monkeypatch)
    monkeypatch.setattr(race_module.roofline, "SIZE", 64)
    speeds = [1e9, 3e9, 7e9]
    measured = race_module.roofline.Roof.flops
    monkeypatch.setattr(race_module.roofline.Roof, "flops", lambda roof: measured(roof) and speeds.pop(0))
    found = race(small.job(tmp_path, "encode"), repeat=2, with_roofline=True)
    assert found["peer"] is found["ratio"] is found["agreement"] is found["memory"] is None
    roof = found["roofline"]
    assert roof["flops"] == 3e9
    assert set(roof["numpy"]) == {"blas", "threads"} | ({"mkl"} if mkl.library() is not None else set())
    assert min(roof["numpy"].values()) > 0
    around = (2e9, 5e9)
    shares = [roof["work"] / seconds / speed for seconds, speed in zip(found["ours"]["times"], around, strict=True)]
    assert roof["share"] == pytest.approx(sum(shares) / 2)
    assert (roof["share_min"], roof["share_max"]) == (pytest.approx(min(shares)), pytest.approx(max(shares)))


def test_a_side_with_other_weights_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second side to set itself up finds another model."""
    small.race_here(monkeypatch)
    job = small.job(tmp_path, "encode")
    name = "bert.encoder.layer.0.output.dense.weight"
    with arena(job) as folder:

        class Meddling(race_module._Contestant):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments)
                params = load_model(folder / "model").params
                save_weights(folder / "model", {**params, name: params[name] * np.float32(1.1)})

            def run(self, unit: str, times: int) -> float:
                raise AssertionError("was timed")

        monkeypatch.setattr(race_module, "_Contestant", Meddling)
        with pytest.raises(InputError, match="not timed: reference does not compute the same: vector of text"):
            race(job, "reference", folder=folder)


def test_a_sweep_ends_at_the_job_itself_and_races_no_point_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced: list[tuple[int, int, str]] = []

    def fake(job: Job, peer: str, **_: Any) -> dict[str, Any]:
        raced.append((job.batch_size, job.seq_len, peer))
        seconds = {"median": float(len(raced))}
        return {"ours": {"seconds": seconds}, "peer": {"seconds": seconds}}

    monkeypatch.setattr(sweep_module, "race", fake)
    job = small.job(tmp_path, "encode", batch_size=3, seq_len=20)
    found = sweep_module.sweep(job, ("torch", "reference"), repeat=1)
    assert sorted(raced) == sorted((*point, p) for point in [(1, 20), (2, 20), (3, 16), (3, 20)]
                                   for p in ("torch", "reference"))  # fmt: skip
    axes = {axis: [(row["batch_size"], row["seq_len"]) for row in rows] for axis, rows in found["sweep"].items()}
    assert axes == {"batch_size": [(1, 20), (2, 20), (3, 20)], "seq_len": [(3, 16), (3, 20)]}
    assert found["ours"] == {"seconds": {"median": 1.0}}
    last = found["sweep"]["seq_len"][-1]
    assert last["ours"] == last["torch"] < last["reference"]


class Fake:
    """A side without a process; `order` is shared by both."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order, self.units, self.group = name, order, ["a", "b"], self

    def run(self, unit: str, times: int) -> float:
        self.order.append(f"{self.name} {unit} {times}")
        return 0.25

    def ask(self, do: str) -> None:
        self.order.append(f"{self.name} {do}")


def test_the_turns_alternate_after_two_times_to_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_module, "TURN", 0.6)
    order: list[str] = []
    sides: Any = [Fake("x", order), Fake("y", order)]
    found, _ = race_module._rounds(sides, 3, race_module.silent)
    assert found == [{"a": [0.25] * 3, "b": [0.25] * 3}] * 2
    warm = ["x a 1", "x a 1", "y a 1", "y a 1", "x forget_peak", "y forget_peak"]
    rounds = ["x a 3", "y a 3", "y a 3", "x a 3", "x a 3", "y a 3"]
    assert order[:12] == warm + rounds
    assert [line.replace(" b ", " a ") for line in order[12:]] == warm + rounds


def test_a_row_for_every_op() -> None:
    ours, peer = {"dense": [1.0, 2.0], "gelu": [4.0, 4.0]}, {"dense": [2.0, 2.0], "gelu": [2.0, 4.0]}
    first, second = race_module._by_op([ours, peer])
    assert first["ratio"] == {"median": 1.5, "min": 1.0, "max": 2.0}
    assert second == {"op": "gelu", "ours": {"median": 4.0, "min": 4.0, "max": 4.0},
                      "peer": {"median": 3.0, "min": 2.0, "max": 4.0},
                      "ratio": {"median": 0.75, "min": 0.5, "max": 1.0}}  # fmt: skip
    assert race_module._totals(ours) == [5.0, 6.0]
    assert race_module._by_op([ours])[0]["ratio"] is None


def test_threads_are_said_to_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment(3)
    assert {found[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "5")
    assert count() == 5
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert count() == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert count() >= 1


def test_every_thread_makes_a_product_of_its_own() -> None:
    _, count = roofline._product_each(16, 3)
    assert count == 3
    found = roofline.products("threads", 16, 2)
    assert found["flops"] == pytest.approx(2 * 2 * 16**3 / found["seconds"])


@pytest.mark.parametrize(("shared", "asked", "count"), [(True, [3], 1), (False, [1, 1, 1], 3)])
def test_mkls_products_take_all_threads_or_each_one(
    monkeypatch: pytest.MonkeyPatch, shared: bool, asked: list[int], count: int
) -> None:
    found: list[int] = []
    monkeypatch.setattr(mkl, "shares_products", lambda: shared)
    monkeypatch.setattr(roofline, "multiply", lambda a, b, out, threads: found.append(threads))
    call, made = roofline._mkl_product(16, 3)
    call()
    assert (found, made) == (asked, count)


def test_the_protocol_answers_every_line() -> None:
    requests = [{"do": "memory"}, {"do": "set_up", "job": Job("encode").to_json()}, {"do": "dance"}, {"do": "run"}]
    answers = io.StringIO()
    serve(io.StringIO("".join(json.dumps(r) + "\n" for r in requests)), answers)
    found = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert found[0]["peak"] >= found[0]["now"] > 0
    assert [set(answer) for answer in found[1:]] == [{"error", "kind"}] * 3
    assert all(answer["error"].count("\n") < 2 for answer in found[1:]), "no traceback"


def test_what_a_library_prints_does_not_disturb_the_protocol() -> None:
    code = "import os; from bertref.bench import worker; main = worker.main; "
    code += "serve = worker.serve; worker.serve = lambda a, b: (print('noise', flush=True), serve(a, b)); main()"
    done = subprocess.run(
        [sys.executable, "-c", code], input='{"do": "memory"}\n', capture_output=True, text=True, timeout=60
    )
    assert set(json.loads(done.stdout)) == {"peak", "now"}
    assert "noise" in done.stderr


def test_a_process_that_dies_is_reported() -> None:
    with Process("ours", environment(1)) as process:
        process.ask("memory")
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(BackendUnavailable, match=r"ours: its process ended, killed by signal 9 \(out of memory"):
            process.ask("memory")


def test_an_error_of_the_worker_ends_it_too() -> None:
    with pytest.raises(InputError, match="ours: "), Process("ours", environment(1)) as process:
        process.ask("set_up", job=Job("encode", config="nothing").to_json())
    assert gone(process.pid)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_an_interrupted_race_leaves_nothing_behind(tmp_path: Path, number: int, code: int) -> None:
    """Neither a process nor a folder, whatever the race was doing."""
    import psutil

    config = small.config(tmp_path)
    place = tmp_path / "tmp"
    place.mkdir()
    rest = ["--seq-len", "12", "--repeat", "100000", "--peer", "reference"]
    process = subprocess.Popen(
        command("bench", "pretrain", "--config", config, *rest),
        env={**os.environ, "TMPDIR": str(place)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children: list[Any] = []
    for _ in range(600):
        children = psutil.Process(process.pid).children(recursive=True)
        if len(children) == 2 and any(place.iterdir()):
            break
        time.sleep(0.1)
    assert len(children) == 2
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert list(place.iterdir()) == []
