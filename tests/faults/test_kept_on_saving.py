"""What a folder says beside its weights stays in what is saved of it."""

import json
from pathlib import Path

import pytest

import bertref

from .asking import bertref as command
from .folders import SIZES, make

TEXT = "a b c d .\n\nd c b a .\n"


@pytest.mark.parametrize(("target", "name"), [("huggingface", "config.json"), ("tensorflow", "bert_config.json")])
def test_the_classifiers_dropout_is_kept(target: str, name: str, tmp_path: Path) -> None:
    make(tmp_path / "model", "BertForSequenceClassification", classifier_dropout=0.25)
    done = command("convert", tmp_path / "model", tmp_path / "new", "--to", target)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "new" / name).read_text(encoding="utf-8"))["classifier_dropout"] == 0.25
    info = command("info", tmp_path / "new", "--json")
    assert json.loads(info.stdout)["config"]["classifier_dropout"] == 0.25
    assert bertref.load(tmp_path / "new").config.classifier_dropout == 0.25


def test_pre_training_keeps_the_configs_dropout(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 9, encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({**SIZES, "classifier_dropout": 0.25}), encoding="utf-8")
    options = bertref.PretrainOptions(
        corpus=(str(tmp_path / "text.txt"),), out=str(tmp_path / "out"), config=str(tmp_path / "config.json"),
        vocab_size=40, steps=1, batch_size=2, seq_len=16, eval_on="none", sentences="line",
    )  # fmt: skip
    bertref.pretrain(options)
    assert json.loads((tmp_path / "out/config.json").read_text(encoding="utf-8"))["classifier_dropout"] == 0.25
