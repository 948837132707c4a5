"""A folder has one process at a time; a killed one leaves nothing that keeps others out."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertref.errors import InputError
from bertref.train import in_use as module
from bertref.train.in_use import in_use

pytestmark = pytest.mark.skipif(os.name != "posix", reason="flock is POSIX")

HOLDING = """
import sys, time
from pathlib import Path
from bertref.train.in_use import in_use
with in_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text("{}")
    return path


def test_another_process_is_named_and_leaves_nothing_when_it_is_killed(file: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        named = process.pid if module.SYSTEM_LOCKS.exists() else "another process"
        with pytest.raises(InputError, match=rf"^{file.parent}: is in use by .*{named}"), in_use(file):
            pass
        process.send_signal(signal.SIGKILL)
    with in_use(file) as alone:
        assert alone
    assert [path.name for path in file.parent.iterdir()] == ["run.json"]
    assert file.read_text() == "{}"


def test_without_the_systems_list_nobody_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SYSTEM_LOCKS", file.parent / "nowhere")
    with in_use(file), pytest.raises(InputError, match="is in use by another process; wait"), in_use(file):
        pass


def test_where_there_are_no_locks_nobody_is_kept_out(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(module.fcntl, "flock", refused)
    with in_use(file) as first, in_use(file) as second:
        assert (first, second) == (False, False)
