"""The runner, with parts that hang, die, fail and leave children behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from . import runner
from .__main__ import main
from .parts import PARTS, Part, chosen
from .results import Results

LONG = "import time; time.sleep(600)"
CHILD = f"""
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", {LONG!r}], start_new_session=True)
pathlib.Path("PLACE").write_text(str(child.pid))
"""


def parts(*codes: str, seconds: float = 60) -> tuple[list[Part], Callable[[Part, float], Sequence[str]]]:
    """Parts that run Python, named a, b, c, ..., and their command."""
    made = [Part(i, "abcdef"[i], "chip", seconds, "a test") for i in range(len(codes))]
    return made, lambda part, seconds: [sys.executable, "-c", codes[part.number]]


def of(outcomes: Sequence[runner.Outcome]) -> dict[str, str]:
    return {outcome.part.name: outcome.outcome for outcome in outcomes}


def gone(pid: int) -> bool:
    """Whether the process has ended; its parent may not have asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_part_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    place = tmp_path / "child"
    code = CHILD.replace("PLACE", str(place)) + LONG
    made, command = parts(code, "print('next')", seconds=5)
    found = runner.run(made, tmp_path, 1, command)
    assert of(found) == {"a": "failed", "b": "passed"}
    assert found[0].why.startswith("killed after ")
    assert gone(int(place.read_text()))


def test_children_that_a_part_leaves_behind_are_killed_too(tmp_path: Path) -> None:
    place = tmp_path / "child"
    made, command = parts(CHILD.replace("PLACE", str(place)))
    assert of(runner.run(made, tmp_path, 1, command)) == {"a": "passed"}
    assert gone(int(place.read_text()))


def test_a_part_that_dies_or_fails_is_reported_and_the_next_one_runs(tmp_path: Path) -> None:
    dies = "import os, sys; print('last words', flush=True); os.kill(os.getpid(), 11)"
    fails = f"""
import sys, pathlib
from tests.gpu.results import Results
Results(pathlib.Path({str(tmp_path)!r})).add("b", error="two checks failed")
sys.exit(1)
"""
    made, command = parts(dies, fails, "raise SystemExit('no result')", "print('fine')")
    found = runner.run(made, tmp_path, 1, command)
    assert [o.outcome for o in found] == ["failed", "failed", "failed", "passed"]
    assert [o.why for o in found] == [
        "died of signal 11: last words", "two checks failed", "exit status 1: no result", "",
    ]  # fmt: skip
    assert Results(tmp_path).of("a")[-1]["why"] == "died of signal 11: last words"


def test_the_minutes_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LEAST", 0.5)
    made, command = parts(LONG, "print('late')")
    start = time.monotonic()
    found = runner.run(made, tmp_path, 2 / 60, command)
    assert time.monotonic() - start < 30
    assert of(found) == {"a": "failed", "b": "not run"}
    assert "minutes are over" in Results(tmp_path).of("b")[-1]["why"]


def test_results_are_on_the_disk_when_the_runner_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "second"
    second = f"import os, pathlib; pathlib.Path({str(place)!r}).write_text(str(os.getpid())); {LONG}"
    code = f"""
import sys
from pathlib import Path
from tests.gpu import runner
from tests.gpu.test_runner import parts
made, command = parts("print(1)", {second!r})
runner.run(made, Path({str(tmp_path)!r}), 5, command)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while not (place.exists() and place.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    os.kill(int(place.read_text()), signal.SIGKILL)
    assert Results(tmp_path).of("a")[-1]["outcome"] == "passed"
    assert Results(tmp_path).of("b") == []


def test_an_unfinished_line_is_left_out(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("a", x=1)
    with results.path.open("a", encoding="utf-8") as file:
        file.write('{"part": "a", "x"')
    assert results.of("a") == [{"part": "a", "x": 1}]


def test_parts_are_picked() -> None:
    assert [part.number for part in PARTS] == list(range(len(PARTS)))
    assert chosen(None) is PARTS
    assert [part.name for part in chosen("6,0")] == ["losses", "chip"]
    with pytest.raises(ValueError, match="there is no part 12; there are 0 to 10"):
        chosen("1,12")


def test_a_machine_without_a_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("tests.gpu.__main__.has_gpu", lambda: False)
    assert main(["--out", str(tmp_path)]) == 2
    assert "nvidia-smi shows no GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("outcome", "code"), [("failed", 1), ("passed", 0), ("not run", 0)])
def test_the_exit_status_and_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, outcome: str, code: int
) -> None:
    monkeypatch.setattr(runner, "run", lambda parts, *_: [runner.Outcome(part, outcome, 1.0, "why") for part in parts])
    assert main(["--dry", "--only", "2,7", "--out", str(tmp_path)]) == code
    last = capsys.readouterr().out.rstrip().split("\n")[-1]
    names = "2 pairs, 7 verified" if code else "none"
    assert last == f"failed: {names}" + ("; not run: 2, 7" if outcome == "not run" else "")


def test_a_line_is_json_that_is_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    Results(tmp_path).add("a", x=float("inf"))
    assert len(synced) == 1
    assert json.loads(Results(tmp_path).path.read_text())["part"] == "a"
