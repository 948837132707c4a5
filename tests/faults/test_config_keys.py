"""Configs as people have them: what can't change a number is noted, everything else is still refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import bertref

from .asking import bertref as command
from .folders import SIZES, TEXT, add, inputs, make

HARMLESS: dict[str, Any] = {
    "generation": {"max_length": 20, "num_beams": 1, "do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0,
                   "repetition_penalty": 1.0, "bad_words_ids": None, "num_return_sequences": 1},
    "training": {"learning_rate": 5e-5, "num_train_epochs": 3, "mlm_probability": 0.15, "padding": "max_length"},
    "names": {"auto_map": {"AutoModel": "own.Model"}, "name_or_path": "x", "xla_device": True},
    "old": {"_num_labels": 2, "output_past": True, "torchscript": False, "pruned_heads": {}, "adapters": {}},
    "adapters": {"adapters": {"adapters": {}, "config_map": {}}, "adapter_fusion_models": []},
    "nulls": {"rope_scaling": None, "nobody_knows": None, "quantization_config": None, "is_decoder": None},
    "tinybert": {"cell": {}, "emb_size": 16, "pre_trained": "", "structure": [], "training": ""},
}  # fmt: skip
SILENT = {"output_past", "torchscript", "pruned_heads", "is_decoder"}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_cannot_change_a_number_opens_with_a_note(kind: str, tmp_path: Path) -> None:
    make(tmp_path / "model", "BertForMaskedLM")
    plain = bertref.load(tmp_path / "model").encode([TEXT])
    add(tmp_path / "model/config.json", **HARMLESS[kind])
    model = bertref.load(tmp_path / "model")
    assert np.array_equal(model.encode([TEXT]), plain)
    assert model.coverage is not None
    (note,) = model.coverage.notes
    assert "config.json" in note
    named = note.replace(",", "").split()
    assert {name for name in HARMLESS[kind] if name in named} == set(HARMLESS[kind]) - SILENT


def test_the_note_is_one_line_of_what_commands_say(tmp_path: Path) -> None:
    make(tmp_path / "model", "BertForMaskedLM")
    add(tmp_path / "model/config.json", max_length=20, num_beams=1)
    for arguments in (["predict", "--model", tmp_path / "model", "a [MASK] b"], ["info", tmp_path / "model"],
                      ["convert", tmp_path / "model", tmp_path / "new"]):  # fmt: skip
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        said = (done.stdout + done.stderr).splitlines()
        assert len([line for line in said if "max_length, num_beams" in line]) == 1


def test_old_labels_are_those_of_transformers(tmp_path: Path) -> None:
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    network = make(tmp_path / "model", "BertForTokenClassification", id2label=labels)
    add(tmp_path / "model/config.json", _num_labels=3, finetuning_task=None, directionality="bidi", max_length=20)
    done = command("predict", "--model", tmp_path / "model", "--aggregation", "tokens", TEXT, "--json")
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        best = network(**inputs(TEXT)).logits[0].argmax(-1).tolist()[1:-1]
    found = [span["label"] for span in json.loads(done.stdout)["spans"]]
    assert found == [labels[i] for i in best]


def test_labels_without_names_are_numbered(tmp_path: Path) -> None:
    """As in the configs of transformers 2: a number of labels, and no names."""
    make(tmp_path / "model", "BertForSequenceClassification", num_labels=3)
    values = json.loads((tmp_path / "model/config.json").read_text(encoding="utf-8"))
    values = {key: value for key, value in values.items() if key not in ("id2label", "label2id")}
    (tmp_path / "model/config.json").write_text(json.dumps({**values, "_num_labels": 3}), encoding="utf-8")
    found = bertref.load(tmp_path / "model").classify(TEXT)
    assert sorted(score.label for score in found) == ["LABEL_0", "LABEL_1", "LABEL_2"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quantization_config": {"bits": 8}}, "quantization_config"),
    ({"adapters": {"adapters": {"x": {}, "y": [1]}}}, "adapters"),
    ({"emb_size": 8}, "emb_size"),
    ({"tie_encoder_decoder": True}, "tie_encoder_decoder"),
    ({"use_special_pooling": True}, "unknown key use_special_pooling"),
    ({"sentence_transformers": "x"}, "sentence_transformers"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_the_rest_is_refused_beside_what_is_harmless(keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    """The message names what is to be corrected, and none of the harmless keys around it."""
    make(tmp_path / "model", "BertForSequenceClassification")
    add(tmp_path / "model/config.json", max_length=20, **keys)
    with pytest.raises(bertref.InputError, match=message) as caught:
        bertref.load(tmp_path / "model")
    assert "max_length" not in str(caught.value)


def verify(model: Any) -> Any:
    from bertref import verify as verifier

    return verifier.check(model, only="forward", repeat=False)


@pytest.mark.parametrize("own", [{"use_special_pooling": False}, {"chunk_size_feed_forward": 8}])
def test_a_live_model_opens_with_a_note(own: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = transformers.BertForPreTraining(transformers.BertConfig(**SIZES)).eval()
    for key, value in own.items():
        setattr(model.config, key, value)
    report = verify(model)
    assert report.verdict == "right"
    (note,) = [note for note in report.notes if next(iter(own)) in note]
    assert "the verdict shows whether that matters" in note


def test_a_setting_that_matters_shows_in_the_verdict() -> None:
    config = transformers.BertConfig(**SIZES, is_decoder=True, attn_implementation="eager")
    report = verify(transformers.BertForPreTraining(config).eval())
    assert report.verdict == "diverges"
    assert report.first == "layer.0.probs"
    assert any("is_decoder = True" in note for note in report.notes)
