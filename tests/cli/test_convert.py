"""`bertref convert` and `bertref info`: what they write, prove, show and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoint.test_folder import make
from tests.checkpoint.test_load import change, drop, edit_config
from tests.cli_helpers import bertref, in_process
from tests.variant_cases import network_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "model", dtype="float32")
    return tmp_path / "model"


def test_a_conversion_shows_its_coverage_and_proofs(folder: Path, tmp_path: Path) -> None:
    done = in_process("convert", str(folder), str(tmp_path / "m.onnx"), "--check")
    assert done.returncode == 0, done.stderr
    assert "62 tensors read; 0 missing, 0 unused" in done.stdout
    assert f"transformers reads {folder}: right" in done.stdout
    assert f"onnxruntime reads {tmp_path / 'm.onnx'}: right" in done.stdout
    assert "times the rounding of float32" in done.stdout
    assert (tmp_path / "m.onnx").is_file()


def test_json_holds_every_tensor(folder: Path, tmp_path: Path) -> None:
    done = bertref("convert", str(folder), str(tmp_path / "tf"), "--to", "tensorflow", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert found["format"] == "tensorflow"
    assert len(found["coverage"]["tensors"]) == found["coverage"]["counts"]["read"] == 62
    back = in_process("info", str(tmp_path / "tf" / "bert_model.ckpt"), "--json")
    counts = json.loads(back.stdout)["coverage"]["counts"]
    assert counts == {"read": 62, "renamed": 62, "transposed": 20}


def test_what_is_missing_has_to_be_allowed(folder: Path, tmp_path: Path) -> None:
    change(folder, drop("seq_relationship"))
    refused = in_process("convert", str(folder), str(tmp_path / "out"))
    assert refused.returncode == 2
    assert "2 missing" in refused.stderr
    assert "--allow 'cls.seq_relationship.*'" in refused.stderr
    assert len(refused.stderr.splitlines()) == 2
    assert not (tmp_path / "out").exists()
    done = in_process("convert", str(folder), str(tmp_path / "out"), "--allow", "cls.seq_relationship.*")
    assert done.returncode == 0, done.stderr
    assert "missing, allowed" in done.stdout
    card = json.loads(in_process("info", str(tmp_path / "out"), "--json").stdout)
    assert card["heads"] == ["masked_lm"]
    assert card["architectures"] == ["BertForMaskedLM"]


def test_a_proof_that_fails_is_exit_code_1(folder: Path, tmp_path: Path) -> None:
    """A folder that says tanh where its reader is told erf: the same weights, other numbers."""
    edit_config(folder, hidden_act="gelu_new")
    done = in_process("convert", str(folder), str(tmp_path / "out"), "--check", "--dialect", "huggingface")
    assert done.returncode == 1
    assert f"transformers reads {folder}: WRONG" in done.stdout
    assert f"transformers reads {tmp_path / 'out'}: right" in done.stdout


def test_info_is_a_card(folder: Path) -> None:
    done = in_process("info", str(folder))
    assert done.returncode == 0, done.stderr
    for part in ("3 layers, hidden 24, 4 heads", "huggingface: gelu (erf)", "masked_lm, next_sentence", "10 tokens",
                 "bertref predict", "bertref features"):  # fmt: skip
        assert part in done.stdout, part
    listed = in_process("info", str(folder), "--tensors").stdout
    assert "bert.encoder.layer.2.attention.self.query.weight" in listed
    assert "24 x 24" in listed


def test_info_names_the_head_s_own_dropout(tmp_path: Path) -> None:
    network = network_of("distilbert", "ForQuestionAnswering")
    network.config.qa_dropout, network.config.seq_classif_dropout = 0.125, 0.25
    network.save_pretrained(tmp_path)
    assert "0.125 in front of the classifier" in in_process("info", str(tmp_path)).stdout


def test_info_shows_what_does_not_fit_and_refuses_nothing_that_can_be_shown(folder: Path) -> None:
    change(folder, lambda arrays: arrays.update({"ema.decay": np.zeros(3, np.float32)}))
    change(folder, drop("cls.seq_relationship.bias"))
    done = in_process("info", str(folder))
    assert done.returncode == 0, done.stderr
    assert "ema.decay" in done.stdout
    assert "61 tensors read; 1 missing, 1 unused" in done.stdout
    assert "bertref predict" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nowhere"], "nowhere: no such folder or file"),
        (["convert", "nowhere", "out"], "nowhere: no such folder or file"),
        (["convert", "model", "model"], "model: exists already"),
        (["convert", "model", "m.onnx", "--optimizer"], "holds no optimiser state"),
        (["info", "model", "--config", "none.json"], "none.json: no such file"),
    ],
)
def test_wrong_use_is_one_line(folder: Path, arguments: list[str], message: str) -> None:
    done = in_process(*arguments, cwd=folder.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr
