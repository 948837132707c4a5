"""Files that are no weights that are read: each is named as what it is, and none that exists is "no such file"."""

import json
import os
from pathlib import Path

import pytest
import torch

from . import object_checkpoint
from .asking import bertref
from .folders import SIZES, make

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(88)
TABLE = bytes(40) + 0xDB4775248B80FB57.to_bytes(8, "little")


def refusal(*arguments: str | Path) -> str:
    """What the command says on standard error: one or two lines, exit code 2."""
    done = bertref(*arguments)
    assert done.returncode == 2, done.stderr
    said = done.stderr.strip()
    assert said.count("\n") <= 1
    assert "no such" not in said
    return said


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tf_model.h5", HDF5, "is a Keras file"),
        ("weights.hdf5", HDF5, "is a Keras file"),
        ("weights.ckpt", HDF5, "is a Keras file"),
        ("bert_model.ckpt", TABLE, "is a TensorFlow checkpoint of the first format"),
        ("bert_model.ckpt", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("bert_model.ckpt", b"", "weights are read from"),
        ("bert_model.ckpt.data-00000-of-00001", bytes(9), "is a part of a TensorFlow checkpoint"),
        ("bert_model.ckpt.meta", bytes(9), "is a part of a TensorFlow checkpoint"),
        ("my.ckpt.txt", b"x", "weights are read from"),
        ("flax_model.msgpack", bytes(9), "is a Flax file"),
        ("model.onnx", bytes(9), "is an ONNX graph"),
    ],
)
def test_a_file_is_named_as_what_it_is(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "model" / name
    file.parent.mkdir()
    (file.parent / "config.json").write_text(json.dumps(SIZES), encoding="utf-8")
    file.write_bytes(content)
    said = refusal("info", file)
    assert says in said
    assert name in said
    if name in ("tf_model.h5", "weights.hdf5", "flax_model.msgpack", "model.onnx"):
        assert says in refusal("info", file.parent)


def test_an_object_checkpoint_is_named(tmp_path: Path) -> None:
    prefix = object_checkpoint.write(tmp_path / "model/ckpt-1")
    (tmp_path / "model/config.json").write_text(json.dumps(SIZES), encoding="utf-8")
    for named in (prefix, prefix.with_name("ckpt-1.index"), prefix.parent):
        for command in (["info", named], ["convert", named, tmp_path / "new"]):
            said = refusal(*command)
            assert "object checkpoint of TensorFlow 2" in said
            assert "save the model as a Hugging Face folder" in said


def test_a_link_that_leads_nowhere_says_where(tmp_path: Path) -> None:
    make(tmp_path / "model", "BertForMaskedLM")
    (tmp_path / "model/model.safetensors").unlink()
    os.symlink("../blobs/0123", tmp_path / "model/model.safetensors")
    assert "is a link to ../blobs/0123, which is not there" in refusal("info", tmp_path / "model")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_called_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.bin")
    assert "is a pipe" in refusal("info", tmp_path / "model.bin")


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--tensors"]])
def test_info_with_nothing_recognised_exits_1(arguments: list[str], tmp_path: Path) -> None:
    make(tmp_path / "model", "BertForMaskedLM")
    (tmp_path / "model/model.safetensors").unlink()
    torch.save({"transformer.h.0.attn.weight": torch.zeros(2, 2)}, tmp_path / "model/pytorch_model.bin")
    done = bertref("info", tmp_path / "model", *arguments)
    assert done.returncode == 1
    assert "none of its 1 tensors is known as a BERT's" in done.stderr
    assert "transformer.h.0.attn.weight" in done.stdout
