"""What a command says where something is missing: a reader, the optimiser's state, a config, texts, layers, words."""

import json
import time
from pathlib import Path

import bertref as package

from .asking import bertref
from .models import model
from .test_casing import prepare, run


def said(done: object) -> str:
    return " ".join(f"{done.stdout} {done.stderr}".split())  # type: ignore[attr-defined]


def test_a_proof_that_could_not_be_made_is_no_success(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", "BertForMaskedLM", ("a", "b", "c"))
    made = bertref("convert", folder, tmp_path / "tf", "--to", "tensorflow")
    assert made.returncode == 0, made.stderr
    done = bertref("convert", tmp_path / "tf", tmp_path / "again", "--to", "tensorflow", "--check")
    assert done.returncode == 2
    assert "nothing was proved: no independent reader of TensorFlow checkpoints is at hand" in said(done)
    assert (tmp_path / "again").is_dir()


def test_a_finished_run_names_its_last_checkpoint(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, "corpus")
    run(corpus, tmp_path / "m1")
    advice = f"{tmp_path / 'm1'}: holds no optimiser state"
    for asked in (
        bertref("convert", tmp_path / "m1", tmp_path / "m2", "--optimizer"),
        bertref("pretrain", corpus, "--init", tmp_path / "m1", "--init-optimizer", "--seq-len", "16", "--out",
                tmp_path / "m3"),
    ):  # fmt: skip
        assert asked.returncode == 2
        assert advice in said(asked)
        assert f"{tmp_path / 'm1' / 'checkpoint-3'} does" in said(asked)
    run(corpus, tmp_path / "m4", init=str(tmp_path / "m1/checkpoint-3"), init_optimizer=True, config=None, steps=5)
    assert package.load(tmp_path / "m4").heads


def test_info_on_a_checkpoint_of_tensorflow(tmp_path: Path) -> None:
    """It can be asked; its index alone can't, and neither can be read without a config."""
    folder = model(tmp_path / "model", "BertForMaskedLM", ("a", "b", "c"))
    bertref("convert", folder, tmp_path / "tf", "--to", "tensorflow")
    prefix = tmp_path / "tf" / "bert_model.ckpt"
    assert f"bertref predict --model {prefix}" in said(bertref("info", prefix))
    next((tmp_path / "tf").glob("*.data-*")).unlink()
    alone = bertref("info", prefix)
    assert alone.returncode == 0
    assert "bertref predict" not in said(alone)
    (tmp_path / "tf" / "bert_config.json").unlink()
    without = bertref("info", prefix)
    assert without.returncode == 2
    assert "bert_config.json: no such file" in said(without)
    assert "--config" in said(without)


def test_nothing_to_predict_is_said(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", "BertForMaskedLM", ("a", "b", "c"))
    done = bertref("predict", "--model", folder, "--file", "-", stdin="\n")
    assert done.returncode == 2
    assert "standard input: no texts in it" in said(done)


def test_more_layers_than_can_be_are_refused_at_once(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", "BertForMaskedLM", ("a", "b", "c"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 200_000}), encoding="utf-8")
    start = time.perf_counter()
    done = bertref("info", folder)
    assert done.returncode == 2
    assert "num_hidden_layers is 200000, but the file holds" in said(done)
    assert time.perf_counter() - start < 20


def test_a_short_vocabulary_is_mentioned(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", "BertForMaskedLM", ("a", "b", "c"))
    assert not package.load(folder).coverage.notes
    words = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    (folder / "vocab.txt").write_text("\n".join(words[:-2]) + "\n", encoding="utf-8")
    (note,) = package.load(folder).coverage.notes
    assert "the vocabulary has 7 tokens, the model's table 8 rows (vocab_size): the last 1 stand for no token" in note
