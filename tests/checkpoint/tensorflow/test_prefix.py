"""What a user may name: a prefix, an index file, a folder; and what the state file may say."""

from pathlib import Path

import pytest

from bertref.checkpoint.tensorflow import find_prefix
from bertref.errors import CheckpointError


def indexes(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.index").write_bytes(b"")


def test_a_prefix_and_its_index(tmp_path: Path) -> None:
    indexes(tmp_path, "a.ckpt", "b.ckpt")
    for name in ("a.ckpt", "a.ckpt.index"):
        assert find_prefix(tmp_path / name) == tmp_path / "a.ckpt"


def test_a_prefix_that_ends_like_an_index(tmp_path: Path) -> None:
    indexes(tmp_path, "a.index")
    assert find_prefix(tmp_path / "a.index.index") == tmp_path / "a.index"


def test_a_folder_with_one(tmp_path: Path) -> None:
    indexes(tmp_path, "a.ckpt-5")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "gone"\n', encoding="utf-8")
    (tmp_path / "folder.index").mkdir()
    (tmp_path / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    assert find_prefix(tmp_path) == tmp_path / "a.ckpt-5"


@pytest.mark.parametrize(
    "state",
    [
        b'model_checkpoint_path: "b.ckpt"\nall_model_checkpoint_paths: "a.ckpt"\n',
        b'all_model_checkpoint_paths: "a.ckpt"\nmodel_checkpoint_path: "/trained/elsewhere/b.ckpt"\n',
        b'  model_checkpoint_path :"../../b.ckpt"',
        b'model_checkpoint_path: "C:\\\\models\\\\b.ckpt"',
        b'model_checkpoint_path: "\\142.ckpt"',
    ],
)
def test_the_state_file_chooses(tmp_path: Path, state: bytes) -> None:
    indexes(tmp_path, "a.ckpt", "b.ckpt")
    (tmp_path / "checkpoint").write_bytes(state)
    assert find_prefix(tmp_path) == tmp_path / "b.ckpt"


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    """As TensorFlow's text format writes them: the octal numbers of the bytes."""
    indexes(tmp_path, "é.ckpt", "b.ckpt")
    (tmp_path / "checkpoint").write_bytes(b'model_checkpoint_path: "\\303\\251.ckpt"\n')
    assert find_prefix(tmp_path) == tmp_path / "é.ckpt"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "no file 'checkpoint' names the newest"),
        (b"", "no file 'checkpoint' names the newest"),
        (b"\xff\x00", "no file 'checkpoint' names the newest"),
        (b'model_checkpoint_path: "c.ckpt"', "the file 'checkpoint' names 'c.ckpt', not one of them"),
        (b'model_checkpoint_path: "../outside/d.ckpt"', "the file 'checkpoint' names 'd.ckpt', not one of them"),
        (b'model_checkpoint_path: ".."', "the file 'checkpoint' names '..', not one of them"),
        (b'model_checkpoint_path: "\\377\\777"', "the file 'checkpoint' names '��', not one of them"),
    ],
)
def test_several_and_no_choice(tmp_path: Path, state: bytes | None, reason: str) -> None:
    indexes(tmp_path / "outside", "d.ckpt")
    folder = tmp_path / "folder"
    indexes(folder, "a.ckpt", "b.ckpt")
    if state is not None:
        (folder / "checkpoint").write_bytes(state)
    with pytest.raises(CheckpointError, match=rf"folder: holds the checkpoints a\.ckpt, b\.ckpt, and {reason}; name"):
        find_prefix(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no TensorFlow checkpoint \(\*\.index\)"):
        find_prefix(tmp_path)
    with pytest.raises(CheckpointError, match=r"x: no such TensorFlow checkpoint: there is no .*x\.index"):
        find_prefix(tmp_path / "x")
    for name in ("x.index", ".index", ".meta", "x/.."):
        with pytest.raises(CheckpointError, match=r"no such TensorFlow checkpoint"):
            find_prefix(tmp_path / name)


@pytest.mark.parametrize("part", ["a.ckpt.data-00000-of-00001", "a.ckpt.meta"])
def test_a_part_of_a_checkpoint(tmp_path: Path, part: str) -> None:
    indexes(tmp_path, "a.ckpt")
    (tmp_path / part).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is a part of a checkpoint; name it by its prefix, .*a\.ckpt$"):
        find_prefix(tmp_path / part)
