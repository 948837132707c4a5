"""The pre-training run as a library user calls it: learning, interrupting, resuming, refusing."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertref.checkpoint import training as states
from bertref.errors import BertrefError, CheckpointError, InputError, TrainingDiverged
from tests import small_run

from .running import equal, run, weights


def test_a_run_learns_and_leaves_a_model(tmp_path: Path) -> None:
    log = run(tmp_path, steps=60)
    losses = [v["loss"] for v in log.of("step")]
    assert losses[-1] < losses[0] - 1
    done = log.of("done")[0]
    assert done["status"] == "finished"
    assert done["masked_lm_loss"] < losses[0]
    assert {"config.json", "model.safetensors", "vocab.txt", "run.json"} <= set(os.listdir(tmp_path / "out"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 12 steps that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder / "out"


def test_the_same_seed_gives_the_same_bits(tmp_path: Path, whole: Path) -> None:
    run(tmp_path, "same")
    run(tmp_path, "other", seed=1)
    assert equal(weights(tmp_path / "same"), weights(whole))
    assert not equal(weights(tmp_path / "other"), weights(whole))


@pytest.mark.parametrize("stops", [[1], [5, 3], *(pytest.param(s, marks=pytest.mark.slow) for s in ([4], [2, 2, 2]))])
def test_resuming_is_bit_equal(tmp_path: Path, whole: Path, stops: list[int]) -> None:
    for number, stop in enumerate(stops):
        log = run(tmp_path, "parts", stop, resume=number > 0)
        assert log.of("done")[0]["status"] == "interrupted"
    log = run(tmp_path, "parts", resume=True)
    assert log.of("start")[0]["first_step"] == sum(stops)
    assert equal(weights(whole), weights(tmp_path / "parts"))


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    run(tmp_path, save_every=2, keep=2)
    assert [p.name for p in states.checkpoints(tmp_path / "out")] == ["checkpoint-10", "checkpoint-12"]


def test_resuming_a_finished_run_does_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    before = weights(tmp_path / "out")
    log = run(tmp_path, resume=True)
    assert "finished" in log.of("message")[-1]["text"]
    assert not log.of("step")
    assert equal(before, weights(tmp_path / "out"))


def test_resuming_nothing_starts_and_says_so(tmp_path: Path) -> None:
    log = run(tmp_path, resume=True)
    assert any("nothing to resume" in v["text"] for v in log.of("message"))
    assert log.of("done")[0]["status"] == "finished"


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(InputError, match="out"):
            run(tmp_path, resume=resume)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_resuming_with_other_options_is_refused(tmp_path: Path) -> None:
    run(tmp_path, stop_after=5)
    before = weights(tmp_path / "out" / "checkpoint-5")
    with pytest.raises(InputError, match=r"--seed was 12345 and is 3"):
        run(tmp_path, resume=True, seed=3)
    assert equal(before, weights(tmp_path / "out" / "checkpoint-5"))
    run(tmp_path, resume=True, save_every=7)  # how often to save is free


@pytest.mark.parametrize("name", ["model.safetensors", "training_state.safetensors", "training_state.json"])
def test_a_truncated_checkpoint_is_named(tmp_path: Path, name: str) -> None:
    run(tmp_path, stop_after=9, save_every=4)
    path = tmp_path / "out" / "checkpoint-9" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"checkpoint-9.*(\n.*)?remove"):
        run(tmp_path, resume=True, save_every=4)
    assert (tmp_path / "out" / "checkpoint-8").is_dir()


def test_a_full_disk_loses_nothing(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError, match=r"No space left.*(\n.*)?--resume"):
        run(tmp_path, "parts", save_every=2)
    monkeypatch.undo()
    found = states.checkpoints(tmp_path / "parts")
    assert found
    assert not list((tmp_path / "parts").glob(".tmp-*"))
    run(tmp_path, "parts", save_every=2, resume=True)
    assert equal(weights(whole), weights(tmp_path / "parts"))


def test_a_diverging_loss_stops_with_the_step_and_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match=r"step \d+: the loss.*checkpoint"):
        run(tmp_path, steps=400, learning_rate=1e4, save_every=3, warmup_steps=0)


def test_a_nan_names_the_first_bad_tensor(tmp_path: Path) -> None:
    run(tmp_path, stop_after=4)
    path = tmp_path / "out" / "checkpoint-4"
    state = states.load(path)
    bad = dict(state.params)
    name = "bert.encoder.layer.1.output.dense.weight"
    bad[name] = bad[name] * np.nan
    import shutil

    shutil.rmtree(path)
    states.save(tmp_path / "out", replace(state, params=bad), lambda folder: None, keep=3)
    with pytest.raises(TrainingDiverged, match=rf"step 5: .*the parameter {name}.*checkpoint-4"):
        run(tmp_path, resume=True)


def test_another_backend_learns_the_same(tmp_path: Path) -> None:
    kinds = {"numpy": {}, "torch": {"backend": "torch"}, "padded": {"layout": "padded"}, "chunks": {"accumulate": 2}}
    losses = {}
    for name, changes in kinds.items():
        log = run(tmp_path, name, steps=6, precision="float64", **changes)
        losses[name] = [v["loss"] for v in log.of("step")]
    for name in kinds:
        np.testing.assert_allclose(losses[name], losses["numpy"], rtol=1e-10, err_msg=name)


def test_static_masks_can_be_learnt_by_heart(tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text(small_run.text(documents=3, sentences=6), encoding="utf-8")
    changes = {"corpus": (str(tmp_path / "few.txt"),), "eval_on": "train", "dropout": 0.0}
    log = run(tmp_path, steps=100, masking="static", dupe_factor=1, **changes)
    assert log.of("eval")[-1]["masked_lm_loss"] < 0.5 * log.of("step")[0]["mlm_loss"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq_len": 64}, "--seq-len 64 is longer than the model's 32 positions"),
        ({"config": "huge"}, "--config huge"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"accumulate": 5}, "can't be split into 5 chunks"),
        ({"precision": "bfloat16"}, "numpy computes in float32 and float64"),
        ({"backend": "cupyy"}, "cupyy"),
        ({"corpus": ("nowhere.txt",)}, "nowhere.txt"),
        ({"dialect": "bing"}, "bing"),
    ],
)
def test_bad_options_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(BertrefError, match=message):
        run(tmp_path, **changes)


def test_a_config_file_must_make_sense(tmp_path: Path) -> None:
    for change, message in (({"num_attention_heads": 3}, "multiple"), ({"colour": 1}, "unknown key colour"),
                            ({"vocab_size": 20}, "vocab_size is 20")):  # fmt: skip
        path = tmp_path / "bad.json"
        path.write_text(json.dumps({**small_run.CONFIG, **change}))
        with pytest.raises(InputError, match=message):
            run(tmp_path, f"out-{message[:3]}", config=str(path))
