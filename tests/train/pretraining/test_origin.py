"""Going on from models of every kind, and resuming such a run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bertref import load
from bertref.checkpoint.folder import describe_tensorflow, save_tensorflow
from bertref.data.pretraining.documents import Document
from bertref.data.pretraining.shards import prepare
from bertref.errors import BertrefError, InputError
from bertref.text import Tokenizer, load_vocab, train_vocab

from .running import Log, equal, run, weights

DECODER = "cls.predictions.decoder.weight"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model `first`."""
    folder = tmp_path_factory.mktemp("given")
    run(folder, "first", steps=2)
    return folder


def go_on(folder: Path, out: str, init: str | Path = "first", stop_after: int = 10**6, **changes: object) -> Log:
    """A run from a model of the folder, without a config of its own."""
    return run(folder, out, stop_after, **{"init": str(folder / init), "config": None, "steps": 6, **changes})


def said(log: Log) -> str:
    return "\n".join(message["text"] for message in log.of("message"))


def copied(folder: Path, name: str) -> Path:
    path = folder / name
    shutil.copytree(folder / "first", path)
    return path


def test_the_dialect_is_the_model_s(tmp_path: Path) -> None:
    run(tmp_path, "google", dialect="google", config=None, steps=1)
    log = go_on(tmp_path, "on", "google", steps=1)
    assert log.of("start")[0]["optimizer"] == "google"
    assert log.of("start")[0]["config"] == "tiny"
    one, other = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("google", "on"))
    assert one == other
    go_on(tmp_path, "said", "google", steps=1, dialect="google", config="tiny")  # saying the same is no contradiction


def test_the_text_is_read_as_the_model_reads(tmp_path: Path) -> None:
    run(tmp_path, "cased", lower_case=False, steps=1)
    go_on(tmp_path, "on", "cased", steps=1)
    assert not load(tmp_path / "on").tokenizer.options["lower_case"]
    assert (tmp_path / "on" / "vocab.txt").read_bytes() == (tmp_path / "cased" / "vocab.txt").read_bytes()


def test_a_decoder_of_its_own_is_learnt_saved_and_resumed(given: Path) -> None:
    path = copied(given, "untied")
    stored = load_file(path / "model.safetensors")
    stored[DECODER] = stored["bert.embeddings.word_embeddings.weight"] + np.float32(0.01)
    stored["cls.predictions.decoder.bias"] = stored["cls.predictions.bias"]
    save_file(stored, path / "model.safetensors")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    go_on(given, "untied-whole", "untied")
    go_on(given, "untied-parts", "untied", 3)
    go_on(given, "untied-parts", "untied", resume=True)
    assert equal(weights(given / "untied-whole"), weights(given / "untied-parts"))
    assert not np.array_equal(weights(given / "untied-whole")[DECODER], stored[DECODER])
    assert json.loads((given / "untied-whole" / "config.json").read_text())["tie_word_embeddings"] is False
    load(given / "untied-whole")


def test_what_the_objective_has_no_use_for_is_left_out_and_named(given: Path) -> None:
    assert "its pooler and next-sentence head are left out: --objective mlm." in said(
        go_on(given, "words", objective="mlm", steps=0)
    )
    assert not [name for name in weights(given / "words") if "pooler" in name or "seq_relationship" in name]


def test_an_encoder_alone_gets_both_heads(given: Path) -> None:
    path = copied(given, "encoder")
    encoder = {n.removeprefix("bert."): a for n, a in weights(path).items() if n.startswith("bert.")}
    save_file({n: a for n, a in encoder.items() if not n.startswith("pooler")}, path / "model.safetensors")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    log = go_on(given, "from-encoder", "encoder", steps=1)
    assert "has no pooler and no masked-word head and no next-sentence head; newly made." in said(log)


def test_a_checkpoint_of_tensorflow(given: Path) -> None:
    model = load(given / "first", freeze=False)
    path = given / "tensorflow"
    path.mkdir()
    describe_tensorflow(path, model.config, model.numerics, model.tokenizer)
    save_tensorflow(path, model.params)
    go_on(given, "from-tensorflow", "tensorflow", steps=0)
    assert equal(weights(given / "from-tensorflow"), weights(given / "first"))


def test_wider_weights_are_rounded_with_a_word(given: Path) -> None:
    path = copied(given, "wide")
    wide = {name: array.astype(np.float64) for name, array in weights(path).items()}
    save_file(wide, path / "model.safetensors")
    assert "rounded to float32" in said(go_on(given, "narrow", "wide", steps=0))
    assert "rounded" not in said(go_on(given, "kept", "wide", steps=0, precision="float64"))
    assert equal(weights(given / "kept"), wide)


def test_a_run_that_has_a_checkpoint_needs_the_model_no_more(given: Path) -> None:
    path = copied(given, "gone")
    go_on(given, "whole", "gone")
    go_on(given, "left", "gone", 5)
    shutil.rmtree(path)
    go_on(given, "left", "gone", resume=True)
    assert equal(weights(given / "whole"), weights(given / "left"))


def test_a_model_that_has_changed_is_refused_while_the_run_still_needs_it(given: Path) -> None:
    path = copied(given, "changing")
    go_on(given, "never-saved", "changing", 1)
    for checkpoint in (given / "never-saved").glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    changed = {name: array + np.float32(1) for name, array in weights(path).items()}
    save_file(changed, path / "model.safetensors")
    with pytest.raises(InputError, match=r"the weights of .*changing have changed since the run began"):
        go_on(given, "never-saved", "changing", resume=True)


def test_another_model_is_another_run(given: Path) -> None:
    go_on(given, "mine", stop_after=2)
    copied(given, "second")
    with pytest.raises(InputError, match=r"--init was '.*first' and is '.*second'"):
        go_on(given, "mine", "second", resume=True)


def test_text_prepared_with_another_vocabulary_is_refused(given: Path) -> None:
    words = ["a b c d e f g h", "i j k l m n o p"]
    prepare([Document("d", words)] * 4, Tokenizer(train_vocab(words, 60)), given / "corpus")
    with pytest.raises(InputError, match="was prepared with another vocabulary"):
        go_on(given, "other", corpus=(str(given / "corpus"),))
    own = Tokenizer(load_vocab(given / "first" / "vocab.txt"))
    prepare([Document("d", words)] * 4, own, given / "own-corpus")
    go_on(given, "own", corpus=(str(given / "own-corpus"),), steps=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": "mini"}, r"--config mini contradicts --init .*first: num_hidden_layers is 2 there, not 4"),
        ({"dialect": "google"}, "--dialect google contradicts"),
        ({"lower_case": False}, "--cased contradicts"),
        ({"seq_len": 33}, "--seq-len 33 is longer than the model's 32 positions"),
        ({"init": None, "init_optimizer": True}, "--init-optimizer takes the state"),
        ({"init": None, "steps": 0}, "--steps is 0"),
    ],
    ids=str,
)
def test_contradictions_are_refused_and_leave_no_folder(given: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BertrefError, match=message):
        run(given, "refused", **{"init": str(given / "first"), "config": None, **changes})
    assert not (given / "refused").exists()


def test_a_config_file_that_says_the_same_may_stay(given: Path) -> None:
    config = str(given / "first" / "config.json")
    go_on(given, "agreed", config=config, steps=1)
    other = json.loads(Path(config).read_text())
    (given / "other.json").write_text(json.dumps({**other, "hidden_dropout_prob": 0.3}))
    with pytest.raises(InputError, match=r"hidden_dropout_prob is 0\.1 there, not 0\.3"):
        go_on(given, "disagreed", config=str(given / "other.json"))


def test_dropout_may_be_another(given: Path) -> None:
    go_on(given, "dry", dropout=0.0, stop_after=3)
    go_on(given, "dry", dropout=0.0, resume=True)
    assert json.loads((given / "dry" / "config.json").read_text())["hidden_dropout_prob"] == 0.0


def test_the_optimiser_s_steps_count(given: Path) -> None:
    with pytest.raises(InputError, match=r"the 2 steps that .* has made count; give more --steps than 1"):
        go_on(given, "over", "first/checkpoint-2", init_optimizer=True, steps=1)
    with pytest.raises(InputError, match="holds the state of another optimiser"):
        go_on(given, "other-optimiser", "first/checkpoint-2", init_optimizer=True, optimizer="lion")
    log = go_on(given, "counted", "first/checkpoint-2", init_optimizer=True, steps=5)
    assert [log.of("start")[0]["first_step"], log.of("done")[0]["step"]] == [2, 5]
