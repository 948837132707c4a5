"""Indexes: what the real libraries shard is read whole; an index that lies or leads outside is refused."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from bertref.checkpoint.pickled import PickledSource
from bertref.checkpoint.safetensors_file import SafetensorsSource
from bertref.checkpoint.sharded import ShardedSource

from .files import Call, dumps, read_all, refusal, same_bits, zip_bytes
from .test_pickled import tiny_bert

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
LINKS = sys.platform != "win32"


def two_shards(folder: Path) -> dict[str, Any]:
    """A folder of two shards, and its index."""
    folder.mkdir(exist_ok=True)
    save_file({"a": torch.ones(2), "b": torch.zeros(3)}, folder / FIRST)
    save_file({"c": torch.arange(4)}, folder / SECOND)
    index = {"metadata": {"total_size": 52}, "weight_map": {"a": FIRST, "b": FIRST, "c": SECOND}}
    write(folder, index)
    return index


def write(folder: Path, index: Any) -> Path:
    text = index if isinstance(index, str) else json.dumps(index)
    (folder / INDEX).write_text(text, encoding="utf-8")
    return folder / INDEX


def test_what_transformers_saves(tmp_path: Path) -> None:
    model = tiny_bert()
    model.save_pretrained(tmp_path, max_shard_size=1000)
    source = ShardedSource(tmp_path / INDEX)
    assert source.format == "safetensors"
    arrays = read_all(source)
    state = model.state_dict()
    assert len({entry.file for entry in source.entries.values()}) > 2
    assert all(same_bits(array, state[name]) for name, array in arrays.items())
    assert set(state) - set(arrays) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}


def test_pickled_shards_with_ties(tmp_path: Path) -> None:
    state = tiny_bert().state_dict()
    huggingface_hub.save_torch_state_dict(state, tmp_path, safe_serialization=False, max_shard_size=1000)
    source = ShardedSource(tmp_path / "pytorch_model.bin.index.json")
    assert source.format == "pytorch"
    arrays = read_all(source)
    assert set(arrays) == set(state)
    assert len({entry.file for entry in source.entries.values()}) > 2
    assert all(same_bits(array, state[name]) for name, array in arrays.items())
    size = sum(array.nbytes for array in arrays.values())
    index = json.loads(source.path.read_text())
    assert source.distinct_bytes <= index["metadata"]["total_size"] <= size
    for total, fits in (
        (source.distinct_bytes, True),
        (size, True),
        (size + 1, False),
        (source.distinct_bytes - 1, False),
    ):
        source.path.write_text(json.dumps(index | {"metadata": {"total_size": total}}))
        if fits:
            ShardedSource(source.path)
        else:
            assert f"announces {total} bytes" in refusal(source.path, ShardedSource)


@pytest.mark.parametrize("metadata", [{}, {"total_size": 52}, {"total_size": 52.0}, {"total_parameters": 9}, None])
def test_what_an_index_need_not_say(metadata: Any, tmp_path: Path) -> None:
    index = two_shards(tmp_path)
    path = write(
        tmp_path, index | {"metadata": metadata} if metadata is not None else {"weight_map": index["weight_map"]}
    )
    source = ShardedSource(path)
    assert list(source.entries) == ["a", "b", "c"]
    assert source.entries["c"].file == tmp_path / SECOND
    assert read_all(source)["c"].tolist() == [0, 1, 2, 3]
    with pytest.raises(Exception, match="announces no tensor 'd'"):
        source.read("d")


PLACES = ["/etc/passwd", "../outside.safetensors", "..", ".", "", "sub/model.safetensors", "..\\outside.safetensors",
          "C:model.safetensors", "c:\\m.safetensors", "\\\\host\\model.safetensors", "./" + FIRST, "~/x.safetensors",
          ".hidden.safetensors", "a\0.safetensors", "a\n.safetensors", "x" * 300 + ".safetensors", 3, None, [FIRST],
          "file://model.safetensors"]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=[f"place {i}" for i in range(len(PLACES))])
def test_no_name_leads_outside(place: Any, tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "outside.safetensors")
    index = two_shards(tmp_path / "model")
    index["weight_map"]["a"] = place
    message = refusal(write(tmp_path / "model", index), ShardedSource)
    assert "tensor 'a' is to be found in" in message
    assert "only the name of a file in the same folder is allowed" in message


@pytest.mark.skipif(not LINKS, reason="links need a privilege on Windows")
def test_no_link_leads_outside(tmp_path: Path) -> None:
    index = two_shards(tmp_path / "model")
    shutil.move(tmp_path / "model" / FIRST, tmp_path / FIRST)
    for target in (tmp_path / FIRST, Path("..") / FIRST):
        (tmp_path / "model" / FIRST).symlink_to(target)
        message = refusal(write(tmp_path / "model", index), ShardedSource)
        assert f"its shard {FIRST} is a link to {tmp_path.resolve() / FIRST}, outside the folder; refused" in message
        (tmp_path / "model" / FIRST).unlink()
    (tmp_path / "model" / "hop").symlink_to(tmp_path / FIRST)
    (tmp_path / "model" / FIRST).symlink_to("hop")
    assert "outside the folder" in refusal(tmp_path / "model" / INDEX, ShardedSource)


@pytest.mark.skipif(not LINKS, reason="links need a privilege on Windows")
def test_links_that_stay(tmp_path: Path) -> None:
    """Within the folder; from a link to the whole folder; and as Hugging Face's cache keeps files."""
    two_shards(tmp_path / "model")
    (tmp_path / "model" / FIRST).rename(tmp_path / "model" / "real")
    (tmp_path / "model" / FIRST).symlink_to("real")
    (tmp_path / "link").symlink_to(tmp_path / "model", target_is_directory=True)
    assert len(read_all(ShardedSource(tmp_path / "link" / INDEX))) == 3

    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "0123", tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    two_shards(tmp_path / "other")
    for number, name in enumerate((INDEX, FIRST, SECOND)):
        shutil.move(tmp_path / "other" / name, blobs / str(number))
        (snapshot / name).symlink_to(Path("..", "..", "blobs", str(number)))
    assert len(read_all(ShardedSource(snapshot / INDEX))) == 3
    (snapshot / FIRST).unlink()
    (snapshot / FIRST).symlink_to(Path("..", "..", "..", "outside"))
    shutil.copy(blobs / "1", tmp_path / "outside")
    assert "outside the folder" in refusal(snapshot / INDEX, ShardedSource)


Change = Callable[[Path, dict[str, Any]], Any]


def _map(**changes: Any) -> Change:
    def change(folder: Path, index: dict[str, Any]) -> Any:
        weights = index["weight_map"] | changes
        return index | {"weight_map": {name: file for name, file in weights.items() if file}}

    return change


def _files(act: Callable[[Path], Any]) -> Change:
    def change(folder: Path, index: dict[str, Any]) -> Any:
        act(folder)
        return index

    return change


LIES: dict[str, tuple[Change, str]] = {
    "a list": (lambda f, i: [], "not a JSON object"),
    "no JSON": (lambda f, i: "{", "not valid JSON"),
    "deep": (lambda f, i: '{"a":' * 100_000, "too deeply"),
    "one name twice": (lambda f, i: json.dumps(i).replace('"b":', '"a":'), "the name 'a' twice"),
    "no map": (lambda f, i: {"metadata": {}}, "no weight_map"),
    "a map that is a list": (lambda f, i: {"weight_map": []}, "no weight_map"),
    "an empty map": (lambda f, i: {"weight_map": {}, "metadata": {"total_size": 52}}, "announces 52 bytes"),
    "a tensor that is not there": (_map(d=FIRST), f"{FIRST} should hold 'd', and does not"),
    "a tensor in another shard": (_map(a=SECOND), "holds 'a', which the index does not announce|should hold 'a'"),
    "a tensor that is not announced": (_map(b=None), f"{FIRST} holds 'b', which the index does not announce for it"),
    "a shard that is not there": (_map(c="model-3.safetensors"), "these are not there: 'model-3.safetensors'"),
    "a shard of another kind": (_map(c="pytorch_model.bin"), "which is no .safetensors"),
    "a removed shard": (_files(lambda f: (f / SECOND).unlink()), f"these are not there: '{SECOND}'"),
    "a shard that is a folder": (_files(lambda f: ((f / SECOND).unlink(), (f / SECOND).mkdir())), "not there"),
    "a truncated shard": (
        _files(lambda f: (f / FIRST).write_bytes((f / FIRST).read_bytes()[:-1])), f"{FIRST}: tensor"),
    "a shard cut to nothing": (_files(lambda f: (f / FIRST).write_bytes(b"")), f"{FIRST}: has 0 bytes"),
    "a tensor in two shards": (
        _files(lambda f: save_file({"c": torch.arange(4), "a": torch.ones(2)}, f / SECOND)),
        f"'a' is in {FIRST} and in {SECOND}, too"),
    "an unannounced tensor": (
        _files(lambda f: save_file({"c": torch.arange(4), "z": torch.ones(2)}, f / SECOND)),
        f"{SECOND} holds 'z', which the index does not announce"),
    "another size in all": (lambda f, i: i | {"metadata": {"total_size": 51}}, "announces 51 bytes in all"),
    "a size that is a text": (lambda f, i: i | {"metadata": {"total_size": "52"}}, "total_size is '52'"),
    "a size that is a fraction": (lambda f, i: i | {"metadata": {"total_size": 52.5}}, "total_size is 52.5"),
    "an endless size": (lambda f, i: json.dumps(i).replace("52", "1e999"), "total_size is inf"),
    "a huge size": (lambda f, i: i | {"metadata": {"total_size": 10**400}}, "announces a huge number"),
    "a negative size": (lambda f, i: i | {"metadata": {"total_size": -52}}, "total_size is -52"),
    "metadata that is a list": (lambda f, i: i | {"metadata": []}, "total_size is a list"),
    "many missing": (lambda f, i: {"weight_map": {str(n): f"{n}.safetensors" for n in range(9)}}, "and 4 more"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_an_index_that_lies(name: str, tmp_path: Path) -> None:
    change, says = LIES[name]
    path = write(tmp_path, change(tmp_path, two_shards(tmp_path)))
    message = refusal(path, ShardedSource)
    assert any(part in message for part in says.split("|")), message


def test_a_long_index_is_refused_unread(tmp_path: Path) -> None:
    two_shards(tmp_path)
    assert "at most 8388608" in refusal(write(tmp_path, " " * (9 << 20)), ShardedSource)


def test_no_index_and_another_name(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / INDEX, ShardedSource)
    for name in ("model.index.json", "model.safetensors", "model.json", "model.npz.index.json"):
        assert "an index is called" in refusal(tmp_path / name, ShardedSource)


def test_a_payload_in_a_shard(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(zip_bytes(dumps({"w": Call(os.system, "true")})))
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": {"w": "x.bin"}}))
    message = refusal(path, ShardedSource)
    assert f"{tmp_path / 'x.bin'}, w/data.pkl: the pickle is refused: it calls for {os.name}.system" in message


def test_a_single_shard_reads_as_its_own_reader_does(tmp_path: Path) -> None:
    two_shards(tmp_path)
    whole = ShardedSource(tmp_path / INDEX)
    part = SafetensorsSource(tmp_path / FIRST)
    assert {name: whole.entries[name] for name in part.entries} == dict(part.entries)
    torch.save({"a": torch.ones(2)}, tmp_path / "x.bin")
    (tmp_path / "m.bin.index.json").write_text(json.dumps({"weight_map": {"a": "x.bin"}}))
    pickled = ShardedSource(tmp_path / "m.bin.index.json")
    assert dict(pickled.entries) == dict(PickledSource(tmp_path / "x.bin").entries)
