"""Files that the real torch wrote: every kind of tensor, in both of its formats, bit for bit."""

import collections
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertref.checkpoint.pickled import PickledSource

from .files import (
    FOUR,
    Call,
    dumps,
    legacy_bytes,
    legacy_tensor,
    read_all,
    refusal,
    same_bits,
    storage,
    tensor,
    zip_bytes,
)

Save = Callable[[Any, Path], None]

FORMATS: dict[str, Save] = {
    "zip": torch.save,
    "before 1.6": lambda value, path: torch.save(value, path, _use_new_zipfile_serialization=False),
}


@pytest.fixture(params=FORMATS)
def save(request: pytest.FixtureRequest) -> Save:
    return FORMATS[request.param]


def variety() -> dict[str, torch.Tensor]:
    """Views, ties, parameters, empty and single tensors, and every dtype that is read."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) - 7.5
    tensors = {
        "base": base,
        "tied": base,
        "transposed": base.t(),
        "window": base[1:3, 2:5],
        "every other": base[::2, ::3],
        "row": base[2],
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "parameter": torch.nn.Parameter(base.clone()),
        "scalar": torch.tensor(-0.0),
        "empty": torch.zeros(0, 3),
        "positions": torch.arange(6).expand(1, -1),
        "special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
    }
    numbers = torch.tensor([0, 1, 100, 7])
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
                  torch.uint8, torch.bool):  # fmt: skip
        tensors[f"{dtype}"] = numbers.to(dtype)
    return tensors


def test_every_kind_of_tensor(save: Save, tmp_path: Path) -> None:
    tensors = collections.OrderedDict(variety())
    save(tensors, tmp_path / "a.bin")
    source = PickledSource(tmp_path / "a.bin")
    assert list(source.entries) == list(tensors)
    assert source.entries["torch.bfloat16"].dtype == "bfloat16"
    assert source.entries["base"].file == source.path == tmp_path / "a.bin"
    arrays = read_all(source)
    for name, value in tensors.items():
        assert same_bits(arrays[name], value), name


def test_orders_of_reading_and_writing_into_what_was_read(tmp_path: Path) -> None:
    tensors = variety()
    torch.save(tensors, tmp_path / "a.bin")
    source = PickledSource(tmp_path / "a.bin")
    for name in [*reversed(tensors), *tensors]:
        array = source.read(name)
        assert same_bits(array, tensors[name]), name
        array[...] = 0  # another tensor's data must not change
    assert source.distinct_bytes < sum(value.numel() * value.element_size() for value in tensors.values())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol: int, tmp_path: Path) -> None:
    torch.save(variety(), tmp_path / "a.bin", pickle_protocol=protocol)
    arrays = read_all(PickledSource(tmp_path / "a.bin"))
    assert all(same_bits(arrays[name], value) for name, value in variety().items() if name != "permuted")


def test_unsigned_numbers_are_saved_in_another_way(tmp_path: Path) -> None:
    tensors = {"a": torch.tensor([1, 65535], dtype=torch.uint16), "b": torch.tensor([2**63], dtype=torch.uint64)}
    torch.save(tensors, tmp_path / "a.bin")
    arrays = read_all(PickledSource(tmp_path / "a.bin"))
    assert all(same_bits(arrays[name], value) for name, value in tensors.items())


def tiny_bert() -> Any:
    config = transformers.BertConfig(vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                                     intermediate_size=16, max_position_embeddings=12)  # fmt: skip
    return transformers.BertForPreTraining(config)


def test_a_model_with_its_metadata_and_ties(save: Save, tmp_path: Path) -> None:
    state = tiny_bert().state_dict()
    assert hasattr(state, "_metadata")
    save(state, tmp_path / "pytorch_model.bin")
    source = PickledSource(tmp_path / "pytorch_model.bin")
    arrays = read_all(source)
    assert list(arrays) == list(state)
    assert all(same_bits(arrays[name], value) for name, value in state.items())
    words, decoder = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
    assert state[words].data_ptr() == state[decoder].data_ptr()
    assert arrays[words].tobytes() == arrays[decoder].tobytes()
    total = sum(array.nbytes for array in arrays.values())
    assert source.distinct_bytes == total - arrays[words].nbytes - arrays["cls.predictions.bias"].nbytes


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "module"])
def test_weights_beside_other_things(name: str, save: Save, tmp_path: Path) -> None:
    state = {"w": torch.ones(2), "b": torch.zeros(1)}
    save({"epoch": 3, name: state, "optimizer": {"state": {0: {"step": 5}}, "lr": 1e-4}}, tmp_path / "a.bin")
    assert list(PickledSource(tmp_path / "a.bin").entries) == ["w", "b"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([torch.ones(2)], "holds a list, not a state dict"),
        (torch.ones(2), "holds a Tensor, not a state dict"),
        ({"w": torch.ones(2), "epoch": 3}, "holds 3 under 'epoch'"),
        ({"w": torch.ones(2), "model": {"v": torch.ones(2)}}, "holds a dict under 'model'"),
        ({"model": {"v": torch.ones(2)}, "state_dict": {"v": torch.ones(2)}}, "only one of them"),
        ({"encoder": {"v": torch.ones(2)}}, "holds a dict under 'encoder'"),
        ({7: torch.ones(2)}, "names are texts"),
        ({"model": {"v": torch.ones(2), "n": 1}}, "holds a dict under 'model'"),
    ],
)
def test_what_is_no_state_dict(value: Any, says: str, save: Save, tmp_path: Path) -> None:
    save(value, tmp_path / "a.bin")
    message = refusal(tmp_path / "a.bin", PickledSource)
    assert says in message
    assert "torch.save(model.state_dict()" in message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.zeros(2, dtype=torch.complex64), "torch.ComplexFloatStorage"),
        (torch.zeros(2, dtype=torch.float8_e4m3fn), "torch.float8_e4m3fn"),
        (torch.ones(2, 2).to_sparse(), "_rebuild_sparse_tensor"),
        (torch.ones(2, device="meta"), "_rebuild_meta_tensor_no_storage"),
        (torch._neg_view(torch.ones(2)), "metadata"),
        (np.float64(3), "numpy"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    ],
)
def test_other_kinds_of_numbers_are_refused(value: Any, says: str, tmp_path: Path) -> None:
    torch.save({"w": value}, tmp_path / "a.bin")
    assert says in refusal(tmp_path / "a.bin", PickledSource)


def test_python_2_wrote_texts_and_ordered_dicts_in_another_way(tmp_path: Path) -> None:
    pairs = [["w", tensor()], ["v", tensor()]]
    content = dumps(Call(collections.OrderedDict, pairs))
    for name in (b"w", b"v", b"storage", b"cpu", b"0"):
        content = content.replace(b"X" + len(name).to_bytes(4, "little") + name, b"U" + bytes([len(name)]) + name)
    assert b"U\x01w" in content
    (tmp_path / "a.bin").write_bytes(zip_bytes(content))
    theirs = torch.load(tmp_path / "a.bin", weights_only=False, encoding="ascii")
    arrays = read_all(PickledSource(tmp_path / "a.bin"))
    assert list(arrays) == list(theirs) == ["w", "v"]
    assert same_bits(arrays["w"], theirs["w"])


def test_the_builders_of_bad_files_build_good_ones_too(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(zip_bytes({"w": tensor()}, extra=[("w/byteorder", b"little")]))
    (tmp_path / "b.bin").write_bytes(legacy_bytes({"w": legacy_tensor()}))
    (tmp_path / "c.bin").write_bytes(zip_bytes({"w": tensor(storage(numel=2), 1, (1,), (1,))}, {"0": FOUR[:8]}))
    for name, expected in (("a", [[0, 1], [2, 3]]), ("b", [[0, 1], [2, 3]]), ("c", [1])):
        path = tmp_path / f"{name}.bin"
        assert read_all(PickledSource(path))["w"].tolist() == expected
        assert torch.load(path, weights_only=True)["w"].tolist() == expected


def test_a_step_that_is_never_taken_may_be_any(tmp_path: Path) -> None:
    value = tensor(None, 2, (1, 2), (2**70, 1))
    (tmp_path / "a.bin").write_bytes(zip_bytes({"w": value}))
    assert PickledSource(tmp_path / "a.bin").read("w").tolist() == [[2, 3]]


def test_torch_is_not_imported(tmp_path: Path) -> None:
    torch.save(variety(), tmp_path / "a.bin")
    code = (
        "import sys; from bertref.checkpoint.pickled import PickledSource\n"
        f"s = PickledSource({str(tmp_path / 'a.bin')!r})\n"
        "for name in s.entries: s.read(name)\n"
        "print([m for m in ('torch', 'pickle', 'ml_dtypes', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert not {"torch", "ml_dtypes"} & set(eval(done.stdout)), done.stdout + done.stderr
