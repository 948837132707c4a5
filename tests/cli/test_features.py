"""`bertref features`: what it writes, and where; what it refuses."""

import io
import json
import re
import select
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import bertref as library
from bertref.cli import render
from tests.cli_helpers import bertref, beside_the_load, command, environment, in_process
from tests.inference.saved import make

TEXTS = ["It rained. ||| He went in.", "", "Ada Lovelace lived in London, in 1852.", "x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("features")
    make(path / "m", "BertModel")
    (path / "texts.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def test_jsonl_and_npz_hold_the_same(folder: Path, tmp_path: Path) -> None:
    base = ["features", "--model", str(folder / "m"), "--file", str(folder / "texts.txt"), "--layers", "-1,-2"]
    whole = ["--pooling", "mean,pooled,embedding", "--dtype", "float64"]
    outputs = {form: tmp_path / f"new folder/f.{form}" for form in ("jsonl", "npz")}
    for form, path in outputs.items():
        done = in_process(*base, *whole, "--format", form, "--out", str(path))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert beside_the_load(done.stderr) == f"{path}: 4 texts"
    printed = bertref(*base, *whole)
    assert printed.stdout == outputs["jsonl"].read_text(encoding="utf-8")
    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    with np.load(outputs["npz"]) as arrays:
        got = dict(arrays)
    for i, line in enumerate(lines):
        assert line["linex_index"] == i
        n = int(got["attention_mask"][i].sum())
        assert len(line["features"]) == n
        for t, feature in enumerate(line["features"]):
            for layer in feature["layers"]:
                np.testing.assert_allclose(layer["values"], got[f"layer_{layer['index']}"][i, t], rtol=0, atol=5.1e-7)
        for name in ("mean", "pooled", "embedding"):
            np.testing.assert_allclose(line[name], got[name][i], rtol=1e-12)
    model = library.load(folder / "m", dtype="float64")
    np.testing.assert_allclose(got["embedding"][2], model.embed([TEXTS[2]])[0], rtol=1e-11)


def test_what_is_written_by_default(folder: Path) -> None:
    done = in_process("features", "--model", str(folder / "m"), "It rained.", "x")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [layer["index"] for layer in found[0]["features"][0]["layers"]] == [-1, -2]  # as many as there are
    done = in_process("features", "--model", str(folder / "m"), "--pooling", "cls", "--normalize", "It rained.")
    (line,) = (json.loads(line) for line in done.stdout.splitlines())
    assert set(line) == {"linex_index", "cls"}
    assert np.linalg.norm(line["cls"]) == pytest.approx(1, rel=1e-6)


def test_a_cut_is_said_on_standard_error(folder: Path) -> None:
    args = ["features", "--model", str(folder / "m"), "--file", str(folder / "texts.txt"), "--max-seq-length", "6"]
    done = in_process(*args)
    assert beside_the_load(done.stderr) == "2 texts were cut to 6 tokens; --max-seq-length raises that up to 48"
    assert max(len(json.loads(line)["features"]) for line in done.stdout.splitlines()) == 6


def test_standard_input_is_a_stream(folder: Path) -> None:
    """The first vectors come out while the last texts have not gone in."""
    process = subprocess.Popen(
        command("features", "--model", str(folder / "m"), "--file", "-", "--pooling", "mean"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment(PYTHONUNBUFFERED="1"),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"It rained.\n" * 70)
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 120)
        assert ready
        assert json.loads(process.stdout.readline())["linex_index"] == 0
        assert process.poll() is None
        rest, _ = process.communicate(b"x\n", timeout=120)
        assert len(rest.splitlines()) == 70
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("total", [500, None])
def test_a_bar_is_drawn_after_two_seconds_in_a_terminal(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.9, 2.5, 10.0])
    monkeypatch.setattr(render.time, "monotonic", lambda: next(clock, 10.0))
    for terminal in (True, False):
        screen = io.StringIO()
        monkeypatch.setattr(render, "err", Console(file=screen, force_terminal=terminal, width=100))
        with render.progress("texts", lambda: total) as advance:
            if not terminal:
                advance(1)
                continue
            advance(100)
            advance(100)
            assert screen.getvalue() == ""
            advance(100)
            advance(100)
        assert ("400/500 texts" if total else "400 texts") in screen.getvalue() or not terminal
        assert ("40 texts/s" in screen.getvalue()) == terminal
        assert bool(screen.getvalue()) == terminal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "-3", "x"], "there is no layer -3; the model has 2"),
        (["--layers", "a", "x"], "--layers is 'a'; give numbers"),
        (["--pooling", "median", "x"], "no pooling 'median'; there are cls, max, mean"),
        (["--format", "npz", "x"], "npz needs --out"),
        (["--max-seq-length", "49", "x"], "must be 3 to 48"),
        (["--file", "nothing.txt"], "nothing.txt: no such file"),
        (["--file", "{texts}", "--out", "{texts}"], "--out would replace --file"),
        (["--file", "-"], "-: no texts in it"),
        ([], "give either texts or --file"),
        (["x", "--out", "{texts}/f.jsonl"], "can't be written"),
    ],
)
def test_wrong_use_is_one_or_two_lines(
    folder: Path, arguments: list[str], message: str
) -> None:
    filled = [part.format(texts=folder / "texts.txt") for part in arguments]
    done = in_process("features", "--model", str(folder / "m"), *filled)
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert len(beside_the_load(done.stderr).splitlines()) <= 2
    assert (folder / "texts.txt").read_text(encoding="utf-8") == "\n".join(TEXTS) + "\n"
