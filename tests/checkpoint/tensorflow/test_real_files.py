"""Checkpoints from the world: a toy one of the original training code, and two indexes of published models."""

import re
from pathlib import Path

import numpy as np
import pytest

from bertref.checkpoint.tensorflow import TensorFlowSource, find_prefix, sstable, write_bundle
from bertref.errors import CheckpointError


@pytest.fixture
def toy(data_dir: Path) -> Path:
    return data_dir / "weights" / "keras_bert_toy_tf_checkpoint"


def test_the_toy_checkpoint_is_read_whole(toy: Path) -> None:
    source = TensorFlowSource(find_prefix(toy))
    assert len(source.entries) == 139
    read = {name: source.read(name) for name in source.entries}  # every checksum is verified
    assert (
        sum(array.nbytes for array in read.values())
        == 8420
        == (toy / "bert_model.ckpt.data-00000-of-00001").stat().st_size
    )
    for name, entry in source.entries.items():
        assert (read[name].shape, read[name].dtype.name) == (entry.shape, entry.dtype)
        assert np.isfinite(read[name]).all()
    assert source.entries["bert/embeddings/word_embeddings"].shape == (15, 4)
    assert source.entries["global_step"].shape == ()
    assert source.entries["global_step"].dtype == "int64"
    assert sum(name.endswith(("/adam_m", "/adam_v")) for name in read) == 92
    for name in ("kernel", "kernel/adam_m", "kernel/adam_v"):
        assert source.entries[f"bert/encoder/layer_1/intermediate/dense/{name}"].shape == (4, 16)


def test_the_toy_checkpoint_is_written_byte_by_byte_as_it_was(toy: Path, tmp_path: Path) -> None:
    source = TensorFlowSource(find_prefix(toy))
    write_bundle(tmp_path / "bert_model.ckpt", {name: source.read(name) for name in reversed(source.entries)})
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index"]
    for name in written:
        assert (tmp_path / name).read_bytes() == (toy / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "tensors", "vocabulary", "hidden", "layers", "size"),
    [
        ("L-8_H-512", 142, 30522, 512, 8, 166673648),
        ("chinese_wwm_L-12_H-768", 207, 21128, 768, 12, None),
    ],
)
def test_an_index_alone_is_listed(
    data_dir: Path, name: str, tensors: int, vocabulary: int, hidden: int, layers: int, size: int | None
) -> None:
    prefix = data_dir / "weights" / "google_tf_index_only" / f"{name}.bert_model.ckpt"
    source = TensorFlowSource(prefix)
    assert len(source.entries) == tensors
    assert source.entries["bert/embeddings/word_embeddings"].shape == (vocabulary, hidden)
    found = {match[1] for key in source.entries if (match := re.match(r"bert/encoder/layer_(\d+)/", key))}
    assert len(found) == layers
    assert {key for key, entry in source.entries.items() if entry.dtype != "float32"} <= {"global_step"}
    if size:  # what the data file has is known
        assert sum(4 * int(np.prod(entry.shape)) for entry in source.entries.values()) == size
    with pytest.raises(CheckpointError, match=rf"{name}\.bert_model\.ckpt\.data-00000-of-00001: no such file"):
        source.read("bert/pooler/dense/kernel")


@pytest.mark.parametrize("name", ["L-8_H-512", "chinese_wwm_L-12_H-768"])
def test_an_index_is_built_again_byte_by_byte(data_dir: Path, name: str) -> None:
    path = data_dir / "weights" / "google_tf_index_only" / f"{name}.bert_model.ckpt.index"
    assert sstable.build(sstable.read(path).items()) == path.read_bytes()
