"""Checkpoints that real TensorFlow wrote."""

from pathlib import Path

import numpy as np
import pytest

from bertref import golden
from bertref.checkpoint.tensorflow import TensorFlowSource, write_bundle
from bertref.errors import CheckpointError

NAMES = ("tensorflow/saver", "tensorflow/slices", "tensorflow/objects")


def unpack(name: str, folder: Path) -> tuple[Path, golden.Arrays, dict[str, str]]:
    """The prefix of the golden's files in `folder`, its values, and the names TensorFlow has for their dtypes."""
    arrays = golden.load(name)
    details = golden.details(name)
    for key, content in arrays.items():
        kind, _, file = key.partition("/")
        if kind == "files":
            (folder / file).write_bytes(content.tobytes())
    values = {key.removeprefix("values/"): array for key, array in arrays.items() if key.startswith("values/")}
    return folder / details["prefix"], values, details["dtypes"]


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_arrives(name: str, tmp_path: Path) -> None:
    prefix, values, dtypes = unpack(name, tmp_path)
    source = TensorFlowSource(prefix)
    assert {name: entry.dtype for name, entry in source.entries.items()} == {
        name: "float16" if dtype == "half" else dtype for name, dtype in dtypes.items()
    }
    for name, expected in values.items():
        read = source.read(name)
        assert source.entries[name].shape == read.shape == expected.shape
        assert read.dtype == expected.dtype
        assert read.tobytes() == expected.tobytes()


def test_what_is_no_number_is_listed_and_refused(tmp_path: Path) -> None:
    prefix, values, _ = unpack("tensorflow/objects", tmp_path)
    source = TensorFlowSource(prefix)
    strings = set(source.entries) - set(values)
    assert strings == {"_CHECKPOINTABLE_OBJECT_GRAPH", "model/label/.ATTRIBUTES/VARIABLE_VALUE"}
    for name in strings:
        with pytest.raises(CheckpointError, match=r"model\.ckpt\.index: tensor '.*' holds string values"):
            source.read(name)


def test_variables_lie_in_several_files(tmp_path: Path) -> None:
    """The golden has what it is for: parts of one variable in two data files, and along both axes."""
    prefix, _, _ = unpack("tensorflow/saver", tmp_path)
    source = TensorFlowSource(prefix)
    files = {entry.file.name for entry in source.entries.values()}
    assert files == {"model.ckpt.data-00000-of-00002", "model.ckpt.data-00001-of-00002"}
    for file in files:
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).unlink()
        for name in ("bert/embeddings/word_embeddings", "columns", "long"):
            with pytest.raises(CheckpointError, match=rf"{file}: no such file; the data of '{name}' lie in it"):
                source.read(name)
        (tmp_path / file).write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_the_data_is_covered(name: str, tmp_path: Path) -> None:
    prefix, values, _ = unpack(name, tmp_path)
    source = TensorFlowSource(prefix)
    for file in {entry.file for entry in source.entries.values()}:
        content = file.read_bytes()
        places = np.random.default_rng(0).integers(0, len(content), 20)
        for place in [0, len(content) - 1, *places.tolist()]:
            file.write_bytes(content[:place] + bytes((content[place] ^ 4,)) + content[place + 1 :])
            wrong = []
            for tensor in values:
                try:
                    source.read(tensor)
                except CheckpointError as error:
                    wrong.append(str(error))
            strings = set(source.entries) != set(values)
            assert len(wrong) == 1 or (strings and not wrong)
            assert all("does not have its checksum" in reason for reason in wrong)
        file.write_bytes(content)


def test_what_we_write_of_it_is_read_again(tmp_path: Path) -> None:
    """Partitioned variables whole, in one file."""
    prefix, values, _ = unpack("tensorflow/saver", tmp_path)
    source = TensorFlowSource(prefix)
    write_bundle(tmp_path / "again", {name: source.read(name) for name in source.entries})
    again = TensorFlowSource(tmp_path / "again")
    for name, expected in values.items():
        assert again.read(name).tobytes() == expected.tobytes()
