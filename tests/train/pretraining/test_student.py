"""Shallow students of deep models: with which weights they begin, what they learn, and how such a run goes on."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import save_file

from bertref import backends, model
from bertref.checkpoint import load_model
from bertref.errors import InputError
from bertref.layers import Settings
from bertref.layout import inputs
from bertref.opset import OpSet
from bertref.train import PretrainOptions
from bertref.train.pretraining.student import begun_from, guessing
from tests import small_run
from tests.cli_helpers import in_process

from .running import Log, equal, run, weights

NUMPY = OpSet(backends.get("numpy"))
DEEP = {**small_run.CONFIG, "num_hidden_layers": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STUDENT = {
    "model_type": "distilbert", "vocab_size": 200, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32,
    "max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `teacher`, a BERT of three layers far from its beginning, and configs of students."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "deep.json").write_text(json.dumps(DEEP))
    (folder / "student.json").write_text(json.dumps(STUDENT))
    (folder / "whole.json").write_text(json.dumps({**STUDENT, "n_layers": 3}))
    run(folder, "teacher", config=str(folder / "deep.json"), steps=60)
    return folder


def learn(given: Path, folder: Path, out: str, stop_after: int = 10**6, **changes: Any) -> Log:
    options: dict[str, Any] = {
        "config": str(given / "student.json"), "init": str(given / "teacher"), "init_layers": "0,2",
        "teacher": str(given / "teacher"), "objective": "mlm", "vocab": None,
    }  # fmt: skip
    return run(folder, out, stop_after, **{**options, **changes})


def options(given: Path, config: str | None, layers: str) -> PretrainOptions:
    named = str(given / config) if config else None
    return PretrainOptions(config=named, init=str(given / "teacher"), init_layers=layers, objective="mlm")


def vectors(params: Any, settings: Settings) -> np.ndarray:
    random = np.random.default_rng(3)
    ids = random.integers(5, 60, (3, 20))
    mask = np.arange(20) < np.array([[20], [7], [13]])
    found, _ = model.forward(NUMPY, params, inputs(NUMPY.xp, ids, mask), settings)
    return np.asarray(found.sequence)[mask.reshape(-1)]


def test_with_all_layers_the_student_is_its_teacher(given: Path) -> None:
    teacher = load_model(given / "teacher")
    for config in ("whole.json", None):
        student = begun_from(teacher, options(given, config, "0,1,2"))
        found, want = (
            vectors({n: a.astype(np.float64) for n, a in each.params.items()}, Settings(each.config, each.numerics))
            for each in (student, teacher)
        )
        assert np.abs(found - want).max() < (1e-5 if config else 1e-15)  # types are added to positions in float32


def test_the_layers_that_are_named_are_the_student_s(given: Path) -> None:
    teacher = load_model(given / "teacher")
    student = begun_from(teacher, options(given, "student.json", "2,0"))
    for new, old in enumerate((2, 0)):
        for name, array in student.params.items():
            if name.startswith(start := f"bert.encoder.layer.{new}."):
                assert array is teacher.params[name.replace(start, f"bert.encoder.layer.{old}.")]
    assert not any(name.startswith("bert.encoder.layer.2.") for name in student.params)
    assert (student.config.model_type, student.config.num_hidden_layers) == ("distilbert", 2)
    shallow = begun_from(teacher, options(given, None, "1"))
    assert (shallow.config.model_type, shallow.config.num_hidden_layers) == ("bert", 1)
    assert shallow.config == replace(teacher.config, num_hidden_layers=1)


def test_a_student_learns_and_is_resumed(given: Path, tmp_path: Path) -> None:
    log = learn(given, tmp_path, "whole")
    losses = [values["loss"] for values in log.of("step")]
    assert losses[-1] < losses[0]
    assert {"mlm_loss", "soft_loss", "hidden_loss"} <= log.of("step")[0].keys()
    first = log.of("step")[0]
    assert first["loss"] == pytest.approx(
        2 / 7 * first["mlm_loss"] + 5 / 7 * first["soft_loss"] + 1 / 7 * first["hidden_loss"], rel=1e-5
    )
    learn(given, tmp_path, "parts", 5)
    learn(given, tmp_path, "parts", resume=True)
    assert equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    network, loading = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not any(loading.values())
    assert type(network).__name__ == "DistilBertForMaskedLM"


def test_the_command_line_teaches(given: Path, tmp_path: Path) -> None:
    done = in_process(
        "pretrain", given / "text.txt", "--config", given / "student.json", "--init", given / "teacher",
        "--init-layers", "0,2", "--teacher", given / "teacher", "--objective", "mlm", "--temperature", "3",
        "--hard-weight", "0.5", "--hidden-weight", "0.25", "--seq-len", "24", "--steps", "1", "--batch-size", "4",
        "--log-json", tmp_path / "log", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (step,) = [e for e in map(json.loads, (tmp_path / "log").read_text().split("\n")[:-1]) if e["event"] == "step"]
    parts = 0.5 * step["mlm_loss"] + 0.5 * step["soft_loss"] + 0.25 * step["hidden_loss"]
    assert step["loss"] == pytest.approx(parts, rel=1e-5)


def test_what_it_begins_with_is_worth_something(given: Path, tmp_path: Path) -> None:
    """Evaluated before its first step, it knows more than a model that is new."""
    begun = learn(given, tmp_path, "begun", steps=1, learning_rate=0.0).of("eval")[-1]["masked_lm_loss"]
    new = run(tmp_path, "new", config=str(given / "student.json"), objective="mlm", steps=1, learning_rate=0.0)
    assert begun < new.of("eval")[-1]["masked_lm_loss"] - 0.2


def test_the_evaluation_asks_no_teacher(given: Path, tmp_path: Path) -> None:
    log = learn(given, tmp_path, "out", steps=2)
    network = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    assert isinstance(network, torch.nn.Module)
    assert set(log.of("eval")[-1]) == {"step", "on", "unigram_loss", "masked_lm_accuracy", "masked_lm_loss"}


def test_a_loss_of_guessing_is_no_divergence() -> None:
    words = math.log(1000)
    taught = PretrainOptions(teacher="t", objective="mlm", temperature=3.0, hard_weight=0.25, hidden_weight=0.5)
    assert guessing(taught, words) == pytest.approx(words * (0.25 + 0.75 * 9) + 0.5)


def test_a_teacher_that_has_changed_is_refused(given: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(given / "teacher", tmp_path / "teacher"))
    learn(given, tmp_path, "out", 3, teacher=str(path))
    learn(given, tmp_path, "out", 1, teacher=str(path), resume=True)
    changed = weights(path)
    changed["cls.predictions.bias"] = changed["cls.predictions.bias"] + np.float32(0.25)
    save_file(changed, path / "model.safetensors")
    with pytest.raises(InputError, match=r"the weights of .*teacher have changed since the run began; start again"):
        learn(given, tmp_path, "out", teacher=str(path), resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_layers": "0,3"}, "there is no layer 3; the model of --init has 0 to 2"),
        ({"init_layers": "first"}, "give numbers of layers, counted from 0: 0,2,4"),
        ({"init_layers": "0,1,2"}, "student.json: has 2 layers, but --init-layers names 3"),
        ({"init": None}, "names layers of the model of --init; add --init"),
        ({"init_optimizer": True}, "without --init-optimizer"),
        ({"objective": "mlm+nsp"}, "teaches masked words alone; add --objective mlm"),
        ({"teacher": None, "temperature": 3.0}, "are about a teacher; add --teacher"),
        ({"temperature": -1.0}, "the temperature is -1.0; it must be above 0"),
        ({"hard_weight": 1.5}, "the soft loss's share is -0.5"),
        ({"config": {**STUDENT, "dim": 8}}, "hidden_size is 8, in the model of --init 16"),
        ({"config": {**small_run.CONFIG, "model_type": "roberta"}}, "is a RoBERTa, which layers of a BERT don't make"),
        ({"teacher": "encoder"}, "has no head for masked words"),
        ({"teacher": "other"}, "its vocabulary is another, and a teacher reads the student's ids; give --vocab"),
        ({"teacher": "narrow", "init": None, "init_layers": None}, "the teacher's vectors are 8 wide, the student's"),
    ],
)
def test_what_can_t_be_is_refused(given: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    given_values = dict(changes)
    if isinstance(config := changes.get("config"), dict):
        (tmp_path / "c.json").write_text(json.dumps(config))
        given_values["config"] = str(tmp_path / "c.json")
    if (kind := changes.get("teacher")) is not None:
        given_values["teacher"] = str(teacher_of(given, tmp_path, kind))
        given_values["vocab"] = str(given / "teacher") if changes.get("init", "") is None else None
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        learn(given, tmp_path, "out", **given_values)


def teacher_of(given: Path, folder: Path, kind: str) -> Path:
    """A teacher that can't teach."""
    if kind == "other":
        run(folder, "teacher", steps=1, vocab_size=60)
    if kind == "narrow":
        (folder / "narrow.json").write_text(json.dumps({**DEEP, "hidden_size": 8}))
        run(folder, "teacher", config=str(folder / "narrow.json"), steps=1, vocab=str(given / "teacher"))
    if kind == "encoder":
        config = transformers.BertConfig.from_pretrained(given / "teacher")
        transformers.BertModel(config).save_pretrained(folder / "teacher")
        (folder / "teacher" / "vocab.txt").write_bytes((given / "teacher" / "vocab.txt").read_bytes())
    return folder / "teacher"
