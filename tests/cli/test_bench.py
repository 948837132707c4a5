"""`bertref bench`: what it prints, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertref.cli import render_bench
from tests.bench import small
from tests.cli_helpers import in_process


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    small.race_here(monkeypatch)


def arguments(tmp_path: Path, command: str, *more: str) -> list[str]:
    return ["bench", command, "--config", small.config(tmp_path), "--batch-size", "2", "--seq-len", "12", "--repeat",
            "2", "--threads", "1", *more]  # fmt: skip


def test_json_is_one_object(tmp_path: Path) -> None:
    done = in_process(*arguments(tmp_path, "encode", "--peer", "reference", "--memory", "--json"))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["schema"] == 1
    assert {"ours", "peer", "ratio", "roofline", "memory", "machine"} <= set(found)
    assert set(found["ratio"]) == {"median", "min", "max"}
    assert found["memory"]["predicted"] > 0
    assert done.stderr == ""


def test_a_person_reads_a_table(tmp_path: Path) -> None:
    done = in_process(*arguments(tmp_path, "pretrain", "--peer", "reference", "--memory", "--masked", "2")
    )
    assert done.returncode == 0, done.stderr
    for part in ("pretrain: ", "2 x 12, 2 masked, dropout 0.1", "bertref", "tokens/s", "times as fast", "in 2 rounds",
                 "figures of both sides agree", "peak memory: predicted"):  # fmt: skip
        assert part in done.stdout, part


def test_fine_tuning_says_its_task(tmp_path: Path, capsys: Any) -> None:
    given = arguments(tmp_path, "finetune", "--ragged", "squad", "--peer", "reference", "--memory")
    done = in_process(*given, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ratio"]["median"] > 0
    assert min(found["memory"][name] for name in ("predicted", "measured", "peer")) > 0
    assert (found["input"]["task"], found["input"]["dropout"]) == ("question-answering", 0.1)
    render_bench.result(found)
    drawn = capsys.readouterr().out
    assert ", question-answering, 8 sequences of " in drawn
    assert "peak memory: predicted" in drawn


def test_ops_ragged_input_and_the_roofline_are_drawn(capsys: Any) -> None:
    one = {"median": 1.5, "min": 0.0015, "max": 1.5e-6}
    side = {"name": "torch", "version": "2", "seconds": one, "times": [1.0, 2.0], "optimizer": "AdamW fused"}
    row = {"op": "decoder_cross_entropy", "ours": one, "peer": one, "ratio": one}
    render_bench.result(
        {
            "command": "ops", "ours": {**side, "name": "bertref"}, "peer": side, "ratio": one, "ops": [row],
            "machine": {"cpu": "a CPU", "threads": 1, "cores": 2, "load": 5.0},
            "input": {"config": "mini", "batch_size": 2, "seq_len": 64, "ragged": "squad", "sequences": 8, "task": None,
                      "shortest": 6, "longest": 40, "masked_positions": None, "dropout": 0.1},
            "agreement": {"limit": 0.001, "figures": 7, "difference": 1e-7, "worst": "loss"},
            "roofline": {"flops": 2e11, "size": 2048, "dtype": "bfloat16", "torch": 1e11, "share": 0.625,
                         "share_min": 0.6, "share_max": 0.65, "peer_share": 0.25, "work": 3e9},
            "memory": {"where": "host", "predicted": 1 << 30, "measured": 1 << 29, "peer": 1 << 30, "ratio": 0.5},
        }
    )  # fmt: skip
    drawn, said = capsys.readouterr()
    for part in ("8 sequences of 6 to 40 tokens (squad), 2 at a time", "decoder_cross_entropy", "1.50 s", "1.5 ms",
                 "2 µs", "1.50 times as fast", "AdamW fused", "200 GFLOP/s (bfloat16, 2048 square)", "torch's 100",
                 "reached: 62% of it",
                 "the peer 25%", "predicted 1,024 MiB, measured 512 MiB, the peer 1,024 MiB, 0.50 of it"):  # fmt: skip
        assert part in drawn, part
    assert "busy (load 5.0 on 2 cores)" in said


def test_text_is_raced_on_a_given_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "text.txt"
    corpus.write_text("A small fire carries a letter.\n" * 50, encoding="utf-8")
    given = ["bench", "tokenize", "--corpus", str(corpus), "--repeat", "1", "--threads", "1", "--peer", "reference"]
    done = in_process(*given)
    assert done.returncode == 0, done.stderr
    assert "readable" in done.stdout


def test_a_plot_is_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "speed.png"
    more = ["--peer", "reference", "--plot", str(picture), "--json", "--repeat", "1", "--batch-size", "1"]
    done = in_process(*arguments(tmp_path, "encode", *more))
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert set(json.loads(done.stdout)["sweep"]) == {"batch_size", "seq_len"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["pretrain", "--peer", "onnxruntime"], "pretrain has no peer onnxruntime; there are transformers, torch, ref"),
        (["encode", "--peer", "torch", "--peer", "reference"], "several go with --plot"),
        (["tokenize", "--ragged", "imdb"], "--ragged goes with pretrain, finetune, encode and predict"),
        (["ops", "--plot", "a.png"], "--plot goes with pretrain"),
        (["encode", "--plot", "a.png", "--ragged", "imdb"], "leave out --ragged"),
        (["encode", "--plot", "nowhere/a.png"], "nowhere/a.png: its folder does not exist"),
        (["encode", "--config", "huge"], "neither a preset"),
        (["encode", "--seq-len", "1000"], "longer than the 512 positions"),
        (["pretrain", "--dropout", "1.5"], "--dropout is 1.5"),
        (["encode", "--ragged", "none.txt"], "none.txt: neither a mix"),
        (["encode", "--threads", "0"], "--threads"),
        (["encode", "--peer", "reference", "--peer-dtype", "bfloat16"], "goes with --peer transformers"),
        (["parallel", "--threads", "2", "--processes", "3"], "3 processes (--processes) need a thread (--threads 2)"),
        (["parallel", "--threads", "8", "--processes", "4", "--batch-size", "3"], "an example (--batch-size 3) each"),
        (["parallel", "--threads", "2", "--plot", "a.png"], "--plot goes with pretrain"),
        (["parallel", "--threads", "2", "--peer", "torch"], "parallel has no peer torch; there are alone"),
        (["encode", "--threads", "2", "--processes", "2"], "--processes goes with parallel, not with encode"),
        (["pretrain", "--shard-optimizer"], "--shard-optimizer goes with parallel, not with pretrain"),
        (["dance"], "dance"),
    ],
)
def test_wrong_use_is_one_or_two_lines(more: list[str], message: str) -> None:
    done = in_process("bench", *more)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "Usage:" in done.stderr or len(done.stderr.splitlines()) <= 2
