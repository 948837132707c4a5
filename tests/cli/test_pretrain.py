"""`bertref pretrain`: killed, interrupted and out of disk space in real processes; what it says and refuses."""

import json
import random
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import small_run
from tests.cli_helpers import command, environment, in_process


def arguments(folder: Path, out: str, steps: int = 60, **options: object) -> list[str]:
    corpus, config = small_run.write(folder)
    fixed = {"config": config, "out": folder / out, "steps": steps, "save-every": 5, "batch-size": 4, "seq-len": 24,
             "vocab-size": 100, "log-every": 5, "learning-rate": 0.01, **options}  # fmt: skip
    return ["pretrain", corpus, *(str(part) for name, value in fixed.items() for part in (f"--{name}", value))]


def start(args: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*args), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def kill_when(process: subprocess.Popen[str], moment: object) -> bool:
    """Kills with SIGKILL once `moment()` is true; False if the process ended before."""
    while process.poll() is None:
        if moment():  # type: ignore[operator]
            process.kill()
            process.communicate()
            return True
        time.sleep(0.0005)
    process.communicate()
    return False


@pytest.mark.parametrize("kills", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_at_different_moments_it_ends_bit_equal(tmp_path: Path, kills: int) -> None:
    done = in_process(*arguments(tmp_path, "whole"))
    assert done.returncode == 0, done.stderr
    out = tmp_path / "killed"
    rng = random.Random(11)
    killed = {"before the first save": 0, "during a save": 0, "elsewhere": 0}

    def has_checkpoint(step: int) -> bool:
        return (out / f"checkpoint-{step}").is_dir()

    def before_first() -> bool:
        return (out / "data").is_dir() and not has_checkpoint(5)

    def saving() -> bool:
        return any(p.name.endswith(("checkpoint-20", "checkpoint-25", "checkpoint-30")) for p in out.glob(".tmp-*"))

    wait = [rng.uniform(0.0, 0.05) for _ in range(3)]
    moments = [
        ("before the first save", before_first),
        ("elsewhere", lambda: has_checkpoint(10) and not time.sleep(wait[0])),
        ("during a save", saving),
        ("elsewhere", lambda: has_checkpoint(35) and not time.sleep(wait[1])),
        ("elsewhere", lambda: has_checkpoint(45) and not time.sleep(wait[2])),
    ]
    for number, (name, moment) in enumerate(moments[:kills]):
        resume = ["--resume"] if number else []
        if kill_when(start([*arguments(tmp_path, "killed"), *resume]), moment):
            killed[name] += 1
    last = in_process(*arguments(tmp_path, "killed"), "--resume")
    assert last.returncode == 0, last.stderr
    assert killed["before the first save"] == 1
    assert killed["during a save"] == 1
    assert sum(killed.values()) == kills, killed
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    assert not list(out.glob(".tmp-*"))


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_saves_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    process = start(arguments(tmp_path, "out", steps=5000))
    while not (tmp_path / "out" / "checkpoint-5").is_dir():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "saved" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors


def test_what_it_says(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    done = in_process(
        *arguments(tmp_path, "out", steps=20), "--json", "--log-json", str(log),
        "--plot", str(tmp_path / "out" / "loss.png"), "--tensorboard", str(tmp_path / "board"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"start", "step", "eval", "saved", "done"} <= {e["event"] for e in events}
    assert all(e["schema"] == 1 for e in events)
    last = [e for e in events if e["event"] == "eval"][-1]
    assert {"masked_lm_loss", "masked_lm_accuracy", "next_sentence_loss", "next_sentence_accuracy"} <= set(last)
    assert log.read_text().splitlines()[-1] == done.stdout.splitlines()[-1]
    assert (tmp_path / "out" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "board").iterdir())


def test_the_last_line_predicts(tmp_path: Path) -> None:
    done = in_process(*arguments(tmp_path, "out", steps=10))
    line = done.stdout.strip().splitlines()[-1]
    assert line.startswith("bertref predict --model ")
    result = in_process(*shlex.split(line)[1:], "--json", "--top-k", "3")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["task"] == "fill-mask"
    assert [len(mask["top"]) for mask in found["masks"]] == [3, 3]
    texts = ["The wind answers the sea .", "--pair", "A letter ."]
    pair = in_process("predict", "--model", str(tmp_path / "out"), *texts, "--json")
    assert 0 <= json.loads(pair.stdout)["is_next"] <= 1


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: both make write() fail in the middle of a save."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "from bertref.cli import main; main()"
    )
    first = start(arguments(tmp_path, "out"))
    assert kill_when(first, lambda: (tmp_path / "out" / "checkpoint-10").is_dir())
    run = [command()[0], "-c", script, *arguments(tmp_path, "out"), "--resume"]
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "checkpoint-10").is_dir()
    assert not list((tmp_path / "out").glob(".tmp-*"))
    last = in_process(*arguments(tmp_path, "out"), "--resume")
    assert last.returncode == 0, last.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty|no text"),
        (b"\n\n \n", "empty|no text"),
        (b"abc\x00def" * 50, "binary"),
        ("Gr\xfc\xdfe .\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_bad_text(tmp_path: Path, content: bytes, message: str) -> None:
    args = arguments(tmp_path, "out")
    (tmp_path / "text.txt").write_bytes(content)
    done = in_process(*args)
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert "text.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_vocabulary_without_mask(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nriver\n")
    done = in_process(*arguments(tmp_path, "out"), "--vocab", str(path))
    assert done.returncode == 2
    assert "[MASK]" in done.stderr
    assert "vocab.txt" in done.stderr


def test_cupy_without_a_device_says_why(tmp_path: Path) -> None:
    from bertref import backends
    from bertref.errors import BackendUnavailable

    try:
        backends.get("cupy")
    except BackendUnavailable:
        done = in_process(*arguments(tmp_path, "out"), "--backend", "cupy")
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) <= 2
        assert "cupy" in done.stderr.lower()
