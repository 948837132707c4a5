"""Weights of models that were wrapped: by torch.compile, DataParallel, a Lightning module, and by several of them."""

import argparse
import collections
import enum
import functools
import json
import os
import pathlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertref

from .asking import bertref as command
from .folders import TEXT, make

MASKED = "a [MASK] b"


def wrapped(folder: Path, rename: Any, kind: str = "BertForPreTraining") -> Any:
    """A folder whose weights have other names, in pytorch_model.bin; returns what the plain folder computes."""
    network = make(folder, kind)
    expected = bertref.load(folder).encode([TEXT])
    (folder / "model.safetensors").unlink()
    torch.save({rename(name): tensor for name, tensor in network.state_dict().items()}, folder / "pytorch_model.bin")
    return expected


PREFIXES = [
    "_orig_mod.", "model.", "module.model.", "model.module.", "_orig_mod.module.", "module._orig_mod.",
    "model._orig_mod.", "_orig_mod.module.model.", "model.module._orig_mod.module.", "model.model.",
]  # fmt: skip


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_in_any_order_and_depth(prefix: str, bare: bool, tmp_path: Path) -> None:
    kind = "BertModel" if bare else "BertForPreTraining"
    expected = wrapped(tmp_path / "model", lambda name: prefix + name, kind)
    assert np.array_equal(bertref.load(tmp_path / "model").encode([TEXT]), expected)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bert.", "bert._orig_mod."),
        ("bert.", "model.bert.module."),
        ("attention.self.", "attention._orig_mod.self."),
        ("layer.0.", "layer.0._checkpoint_wrapped_module."),
        ("layer.1.", "_fsdp_wrapped_module.layer.1._fsdp_wrapped_module."),
    ],
)
def test_parts_that_were_wrapped_alone(old: str, new: str, tmp_path: Path) -> None:
    """Compiled, sharded or recomputed layer by layer: the wrapper stands in the middle of a name."""
    expected = wrapped(tmp_path / "model", lambda name: name.replace(old, new))
    assert np.array_equal(bertref.load(tmp_path / "model").encode([TEXT]), expected)


def test_info_and_predict_read_a_compiled_model(tmp_path: Path) -> None:
    wrapped(tmp_path / "plain", lambda name: name)
    wrapped(tmp_path / "compiled", lambda name: "_orig_mod." + name)
    cards = [command("info", tmp_path / name, "--json") for name in ("plain", "compiled")]
    assert cards[1].returncode == 0, cards[1].stderr
    for part in ("parameters", "heads"):
        assert json.loads(cards[0].stdout)[part] == json.loads(cards[1].stdout)[part]
    answers = [command("predict", "--model", tmp_path / name, MASKED) for name in ("plain", "compiled")]
    assert answers[1].returncode == 0, answers[1].stderr
    assert answers[0].stdout == answers[1].stdout


def test_two_names_of_one_parameter_are_both_named(tmp_path: Path) -> None:
    network = make(tmp_path / "model", "BertForMaskedLM")
    (tmp_path / "model/model.safetensors").unlink()
    bias = "bert.embeddings.LayerNorm.bias"
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({**state, f"_orig_mod.{bias}": torch.zeros(16)}, tmp_path / "model/pytorch_model.bin")
    with pytest.raises(bertref.InputError, match=rf"model\.{bias} and _orig_mod\.{bias} are both {bias}"):
        bertref.load(tmp_path / "model")


class Colour(enum.Enum):
    """A user's class in the hyperparameters."""

    RED = 1


class Callback:
    """A user's object with state."""

    def __init__(self) -> None:
        self.best, self.seen, self.scores = torch.tensor(0.5), {1, 2}, collections.deque([1.0])


def lightning(network: Any, prefix: str = "model.") -> dict[str, Any]:
    """What a Lightning trainer saves, and then some: objects of every kind beside the weights."""
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": collections.OrderedDict((prefix + n, t) for n, t in network.state_dict().items()),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {Callback: Callback(), (1, 2): {"best_model_path": pathlib.PurePosixPath("a/b.ckpt")}},
        "optimizer_states": [torch.optim.AdamW(network.parameters()).state_dict()],
        "lr_schedulers": [{"lr_lambdas": [functools.partial(max, 1)], "counts": collections.defaultdict(int, {1: 2})}],
        "hparams_name": "kwargs",
        "hyper_parameters": argparse.Namespace(colour=Colour.RED, dtype=torch.float16, device=torch.device("cpu"),
                                               seed=np.float64(3), tags=frozenset({"a"}), array=np.ones(3)),
    }  # fmt: skip


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("by", ["folder", "file"])
def test_a_lightning_checkpoint_opens(new: bool, by: str, tmp_path: Path) -> None:
    network = make(tmp_path / "model")
    expected = bertref.load(tmp_path / "model").encode([TEXT])
    (tmp_path / "model/model.safetensors").unlink()
    file = tmp_path / "model/epoch=3-step=1200.ckpt"
    content = lightning(network) | ({"wave": torch.ones(2, dtype=torch.complex64)} if new else {})
    torch.save(content, file, _use_new_zipfile_serialization=new)
    model = bertref.load(tmp_path / "model" if by == "folder" else file)
    assert np.array_equal(model.encode([TEXT]), expected)
    assert model.coverage is not None
    (note,) = model.coverage.notes
    assert "skipped what is no weight: epoch, global_step" in note


def test_the_name_of_tensorflows_prefix_may_be_a_file_of_torchs(tmp_path: Path) -> None:
    """Told apart by content, not by name."""
    network = make(tmp_path / "model", "BertForMaskedLM")
    (tmp_path / "model/model.safetensors").unlink()
    torch.save(lightning(network, "model._orig_mod."), tmp_path / "model/bert_model.ckpt")
    done = command("info", tmp_path / "model/bert_model.ckpt", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["heads"] == ["masked_lm"]


class Payload:
    """Would run a command if it were unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("place", ["callbacks", "hyper_parameters", "state_dict"])
def test_a_hostile_checkpoint_is_refused_and_nothing_runs(place: str, tmp_path: Path) -> None:
    network = make(tmp_path / "model", "BertForMaskedLM")
    (tmp_path / "model/model.safetensors").unlink()
    proof = tmp_path / "executed"
    content = lightning(network)
    content[place] = {**content["state_dict"], "model.x": Payload(proof)} if place == "state_dict" else Payload(proof)
    torch.save(content, tmp_path / "model/a.ckpt")
    with pytest.raises(bertref.InputError, match=r"calls for posix\.system.*nothing was executed"):
        bertref.load(tmp_path / "model")
    assert not proof.exists()
