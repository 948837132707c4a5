"""The other commands: what they write and refuse, alone and one after the other."""

import json
import re
from pathlib import Path

import pytest

from tests import small_run
from tests.checkpoint.test_folder import make
from tests.cli_helpers import bertref, beside_the_load, in_process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "model"
    make(path, dtype="float32")
    return path


def test_help_shows_an_example_for_every_command() -> None:
    listed = in_process("--help").stdout
    for name in ("doctor", "predict", "prepare", "pretrain", "tokenize", "vocab"):
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        assert f"bertref {name}" in in_process(name, "--help").stdout


def test_predict_reads_arguments_files_and_standard_input(folder: Path, tmp_path: Path) -> None:
    texts = ["one [MASK]", "[MASK] two [MASK]"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    model = ["--model", str(folder), "--json"]
    outputs = [
        in_process("predict", *model, *texts),
        in_process("predict", *model, "--file", str(tmp_path / "texts.txt")),
        bertref("predict", *model, "--file", "-", stdin="\n".join(texts)),
        in_process("predict", "--json", *texts, BERTREF_MODEL=str(folder)),
    ]
    assert len({done.stdout for done in outputs}) == 1
    lines = [json.loads(line) for line in outputs[0].stdout.splitlines()]
    assert [line["text"] for line in lines] == texts
    assert [[mask["position"] for mask in line["masks"]] for line in lines] == [[2], [1, 3]]
    assert set(lines[0]["masks"][0]["top"][0]) == {"token", "id", "probability"}


def test_predict_draws_for_people(folder: Path) -> None:
    done = in_process("predict", "--model", str(folder), "--top-k", "2", "one [MASK]")
    assert done.returncode == 0
    assert "one [MASK]" in done.stdout
    assert done.stdout.count("%") == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["predict", "one", "--task", "question-answering"], "question-answering"),
        (["predict", "--model", "nowhere", "one [MASK]"], "nowhere: no such folder"),
        (["predict", "--model", "{model}", "one"], r"no \[MASK\]"),
        (["predict", "--model", "{model}"], "--file"),
        (["predict", "--model", "{model}", "--file", "nothing.txt"], "nothing.txt: no such file"),
        (["predict", "--model", "{model}", "--backend", "jax", "[MASK]"], "jax"),
        (["tokenize", "--vocab", "nothing.txt", "text"], "nothing.txt"),
        (["prepare", "nothing.txt", "--vocab", "{model}/vocab.txt", "--out", "{out}"], "nothing.txt"),
        (["vocab", "nothing.txt", "--out", "{out}"], "nothing.txt"),
    ],
)
def test_wrong_use_is_one_or_two_lines(folder: Path, tmp_path: Path, args: list[str], message: str) -> None:
    filled = [part.format(model=folder, out=tmp_path / "out") for part in args]
    done = in_process(*filled, BERTREF_MODEL="")
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert len(beside_the_load(done.stderr).splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_tokenize(folder: Path) -> None:
    done = in_process("tokenize", "--model", str(folder), "One TWOs? [MASK] zebra", "--json")
    found = json.loads(done.stdout)
    assert found["tokens"] == ["one", "two", "##s", "?", "[MASK]", "[UNK]"]
    assert found["ids"] == [5, 6, 8, 9, 4, 1]
    assert in_process("tokenize", "--model", str(folder), "--ids", "one").stdout.strip() == "5"


def test_vocab_then_prepare_then_pretrain(tmp_path: Path) -> None:
    corpus, config = small_run.write(tmp_path)
    vocab, tokens = tmp_path / "vocab.txt", tmp_path / "tokens"
    done = in_process("vocab", corpus, "--size", "90", "--out", str(vocab), "--json")
    assert done.returncode == 0, done.stderr
    size = json.loads(done.stdout)["size"]
    assert size == len(vocab.read_text(encoding="utf-8").splitlines()) <= 90
    assert in_process("vocab", corpus, "--out", str(vocab)).returncode == 2
    done = in_process("prepare", corpus, "--vocab", str(vocab), "--out", str(tokens), "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["documents"] == 8
    assert counts["tokens"] > 0
    assert counts["tokens_per_second"] > 0
    run = ["--config", config, "--steps", "3", "--seq-len", "24", "--batch-size", "4", "--out", str(tmp_path / "model")]
    done = in_process("pretrain", str(tokens), *run)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(bertref("doctor", "--json").stdout)
    assert {"numpy", "torch", "cupy"} <= set(found["backends"])
    monkeypatch.setattr("bertref.backends.report.report", lambda: found)
    assert in_process("doctor").returncode == 0


def test_tfrecords_are_written_and_learnt_from(tmp_path: Path) -> None:
    corpus, config = small_run.write(tmp_path)
    vocab, records = tmp_path / "vocab.txt", tmp_path / "records"
    assert in_process("vocab", corpus, "--size", "90", "--out", str(vocab)).returncode == 0
    form = ["--format", "tfrecord", "--files", "2", "--seq-len", "24", "--max-predictions", "4", "--dupe-factor", "2"]
    done = in_process("prepare", corpus, "--vocab", str(vocab), "--out", str(records), *form, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["examples"] > 10
    assert len(list(records.glob("*.tfrecord"))) == 2
    run = ["--config", config, "--steps", "3", "--batch-size", "4", "--out", str(tmp_path / "model"), "--json"]
    wrong = in_process("pretrain", str(records), *run, "--seq-len", "30")
    assert wrong.returncode == 2
    assert "--seq-len 24" in wrong.stderr
    done = in_process("pretrain", str(records), *run[:-3], "--out", str(tmp_path / "other"), "--seq-len", "24")
    assert done.returncode == 0, done.stderr
