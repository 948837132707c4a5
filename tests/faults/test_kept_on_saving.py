"""What a folder says beside its weights stays in what is saved of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import bertref

from .asking import bertref as command
from .folders import SIZES, add, make

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


def sentence_transformers(folder: Path, inside: str, length: str) -> None:
    """A folder as sentence-transformers writes it: the encoder in `inside`, two poolings, a dense layer, length 1; the
    longest text stands in its own file, or in the tokenizer's."""
    make(folder / inside, "BertModel")
    kinds = {inside: "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    add(folder / "1_Pooling/config.json", pooling_mode_cls_token=True, pooling_mode_max_tokens=True)
    add(folder / "2_Dense/config.json", in_features=32, out_features=5, bias=False,
        activation_function="torch.nn.modules.activation.Tanh")  # fmt: skip
    torch.save({"linear.weight": torch.randn(5, 32)}, folder / "2_Dense/pytorch_model.bin")
    add(folder / "config_sentence_transformers.json", prompts={"q": "a b "}, default_prompt_name="q")
    if length == "own file":
        add(folder / inside / "sentence_bert_config.json", max_seq_length=6, do_lower_case=True)
    else:
        add(folder / inside / "tokenizer_config.json", model_max_length=6)


@pytest.mark.parametrize("target", ["huggingface", "tensorflow"])
@pytest.mark.parametrize("length", ["own file", "tokenizer"])
@pytest.mark.parametrize("inside", ["", "0_Transformer"])
def test_a_converted_sentence_encoder_makes_the_same_vectors(
    inside: str, length: str, target: str, tmp_path: Path
) -> None:
    sentence_transformers(tmp_path / "model", inside, length)
    done = command("convert", tmp_path / "model", tmp_path / "new", "--to", target)
    assert done.returncode == 0, done.stderr
    texts = ["a", "c d e f g h", "1 2 3 4 5 6 7 8 9 0"]
    expected, found = (bertref.load(tmp_path / name).embed(texts) for name in ("model", "new"))
    assert expected.shape == (3, 5)
    assert np.array_equal(found, expected)


def test_a_converted_cross_encoder_keeps_its_activation(tmp_path: Path) -> None:
    make(tmp_path / "model", "BertForSequenceClassification", num_labels=1)
    add(tmp_path / "model/config.json", sbert_ce_default_activation_function="torch.nn.modules.activation.Tanh")
    for target in ("huggingface", "tensorflow"):
        done = command("convert", tmp_path / "model", tmp_path / target, "--to", target)
        assert done.returncode == 0, done.stderr
        expected, found = (bertref.load(tmp_path / name).classify("a b", "c") for name in ("model", target))
        assert found == expected


def test_info_finds_the_encoder_of_a_sentence_encoder(tmp_path: Path) -> None:
    sentence_transformers(tmp_path / "model", "0_Transformer", "tokenizer")
    done = command("info", tmp_path / "model", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["coverage"]["counts"]["read"] == 39
