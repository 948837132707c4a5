"""Commands: run on the case, heard when they fail, stopped when they hang."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bertref.errors import InputError
from bertref.verify.subjects.command import CommandSubject

from .folders import case, right

ECHO = """
import json, pathlib, sys
case, out = map(pathlib.Path, sys.argv[1:3])
index = json.loads((case / "index.json").read_text())
assert out.is_dir() and not list(out.iterdir())
bias = next(t for t in index["tensors"] if t["name"] == "bert.pooler.dense.bias")
data = (case / bias["file"]).read_bytes()[bias["offset"]:][: bias["nbytes"]]
(out / "x.bin").write_bytes(data * index["sizes"]["B"])
entry = {"name": "pooled", "dtype": "float32", "shape": [index["sizes"]["B"], index["sizes"]["H"]], "file": "x.bin"}
answers = {"format": "bertref-answers", "version": 1, "case": index["case"], "precision": "float32", "tensors": [entry]}
(out / "index.json").write_text(json.dumps(answers))
print(case, file=open(pathlib.Path(__file__).with_suffix(".log"), "a"))
"""


def script(folder: Path, text: str, name: str = "a program.py") -> str:
    """A command that runs a Python program in a folder whose name has a space."""
    path = folder / "my folder" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"'{sys.executable}' '{path}' {{case}} {{out}}"


@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize("formats", [("bin",), ("npy",)], ids=["bin", "npy"])
def test_a_command_reads_the_case_and_answers(tmp_path: Path, shell: bool, formats: tuple[str, ...]) -> None:
    subject = CommandSubject(script(tmp_path, ECHO), shell=shell, formats=formats)
    assert subject.live
    assert subject.precision is None
    first, second = subject.answer(case()).values, subject.answer(case(), ["pooled"]).values
    assert subject.precision == "float32"
    wanted = np.tile(case().params["bert.pooler.dense.bias"].astype(np.float32), (5, 1))
    assert np.array_equal(first["pooled"], wanted)
    assert np.array_equal(second["pooled"], wanted)
    assert subject.answer(case(), ["loss.total"]).values == {}
    log = (tmp_path / "my folder" / "a program.log").read_text(encoding="utf-8").splitlines()
    assert len(log) == 3
    assert len(set(log)) == 1, "the case is written once"
    del subject
    assert not Path(log[0]).exists()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    subject = CommandSubject(script(tmp_path, "import sys; sys.exit(3)"))
    with pytest.raises(InputError, match="ended with exit code 3; it printed nothing"):
        subject.answer(case())
    del subject
    assert not list((tmp_path / "tmp").iterdir())


FAILURES = {
    "an exception": ("for i in range(50): print('line', i)\nraise SystemExit('no such layer')",
                     r"ended with exit code 1; its last lines:(\n  line 4[1-9]){9}\n  no such layer$"),
    "bytes": (r"import sys, os; os.write(2, b'\xff\xfe'); sys.exit(2)", "exit code 2; its last lines:\n  ��"),
    "no answers": ("", "it ran, but .* holds neither index.json nor index.tsv"),
    "another format": ("import sys; open(sys.argv[2] + '/index.tsv', 'w').write('#bertref version=9 seed=7')",
                       "it ran, but .*format version 9"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_a_command_that_fails_is_quoted(tmp_path: Path, name: str) -> None:
    text, message = FAILURES[name]
    with pytest.raises(InputError, match=message):
        CommandSubject(script(tmp_path, text)).answer(case())


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_signal_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was ended by signal 11"):
        CommandSubject(script(tmp_path, "import os; os.kill(os.getpid(), 11)")).answer(case())


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
def test_a_command_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    child = f"import time, pathlib; time.sleep(3); pathlib.Path({str(tmp_path / 'alive')!r}).touch()"
    text = f"import subprocess, sys; print('working', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.monotonic()
    with pytest.raises(InputError, match=r"took longer than 1 s and was stopped.*\n  working"):
        CommandSubject(script(tmp_path, text), timeout=1).answer(case())
    assert time.monotonic() - start < 2.5
    time.sleep(start + 4.5 - time.monotonic())
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("./my_bert {case}", r"\{out\} does not occur"),
        ("./my_bert {out}", r"\{case\} does not occur"),
        ("./my_bert '{case} {out}", "close the quotes"),
    ],
)
def test_a_command_that_can_not_work_is_refused_at_once(command: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CommandSubject(command)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"can't be started.*is the path right"):
        CommandSubject(f"{tmp_path}/nothing {{case}} {{out}}").answer(case())


def test_a_mapping_applies(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text('[tensors]\n"p" = "pooled"\n', encoding="utf-8")
    text = ECHO.replace('"pooled"', '"p"')
    found = CommandSubject(script(tmp_path, text), mapping=tmp_path / "map.toml").answer(case()).values
    assert found["pooled"].shape == right()["pooled"].shape
