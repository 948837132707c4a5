"""`--objective mlm` from the text to the file: no pooler, no next sentences, running text."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import transformers

from bertref.data.pretraining.batch import zeros
from bertref.data.pretraining.tfrecord_data import write_tfrecords
from bertref.errors import InputError

from .running import equal, run, weights


def test_a_run_learns_masked_words_alone(tmp_path: Path) -> None:
    log = run(tmp_path, objective="mlm", steps=60)
    steps = log.of("step")
    assert steps[-1]["loss"] < steps[0]["loss"] - 1
    assert steps[0]["loss"] == steps[0]["mlm_loss"]
    for event in (*steps, *log.of("eval"), *log.of("done")):
        assert not [name for name in event if "nsp" in name or "next" in name]
    assert log.of("start")[0]["objective"] == "mlm"
    assert log.of("done")[0]["masked_lm_loss"] < steps[0]["loss"]


def test_its_file_is_hugging_face_s(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It opens without a warning, with nothing missing or left over, and holds neither pooler nor the other head."""
    run(tmp_path, objective="mlm")
    out = tmp_path / "out"
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    assert not [name for name in weights(out) if "pooler" in name or "seq_relationship" in name]
    transformers.logging.enable_propagation()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    transformers.logging.disable_propagation()
    assert type(model).__name__ == "BertForMaskedLM"
    assert not any(info.values()), info
    assert not caplog.records


def test_resuming_is_bit_equal(tmp_path: Path) -> None:
    run(tmp_path, "whole", objective="mlm")
    run(tmp_path, "parts", 5, objective="mlm")
    run(tmp_path, "parts", objective="mlm", resume=True)
    assert equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    with pytest.raises(InputError, match=r"--objective was 'mlm' and is 'mlm\+nsp'"):
        run(tmp_path, "parts", resume=True)


def test_both_objectives_start_from_the_same_weights(tmp_path: Path) -> None:
    """A rate of 0 leaves the initial weights."""
    for name, objective in (("both", "mlm+nsp"), ("alone", "mlm")):
        run(tmp_path, name, objective=objective, learning_rate=0.0, steps=1)
    both, alone = weights(tmp_path / "both"), weights(tmp_path / "alone")
    assert set(both) - set(alone) == {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "cls.seq_relationship.weight", "cls.seq_relationship.bias"
    }  # fmt: skip
    assert equal(alone, {name: both[name] for name in alone})


def test_records_hold_pairs_which_is_said_once(tmp_path: Path) -> None:
    run(tmp_path, "first")  # for its vocabulary
    batch = zeros(8, 24, 5)
    batch.input_ids[:], batch.attention_mask[:] = np.arange(24) % 20 + 5, 1
    batch.masked_lm_positions[:], batch.masked_lm_weights[:] = [3, 5, 7, 9, 11], 1
    (tmp_path / "records").mkdir()
    write_tfrecords([tmp_path / "records" / "one.tfrecord"], [batch])
    (tmp_path / "records" / "vocab.txt").write_bytes((tmp_path / "first" / "vocab.txt").read_bytes())
    changes = {"corpus": (str(tmp_path / "records"),), "max_predictions": 5, "eval_on": "train"}
    log = run(tmp_path, objective="mlm", **changes)
    said = [message["text"] for message in log.of("message") if "sentence pairs" in message["text"]]
    assert len(said) == 1
    assert log.of("done")[0]["status"] == "finished"
    assert not run(tmp_path, "pairs", **changes).of("message")
