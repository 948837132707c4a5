"""Pickles that attack: each is refused in words, nothing is executed, memory stays bounded."""

import builtins
import collections
import io
import os
import pickle
import runpy
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from bertref.checkpoint import pickle_reader
from bertref.checkpoint.pickle_reader import MOST_STEPS
from bertref.checkpoint.pickled import PickledSource

from .files import (
    Call,
    Pid,
    dumps,
    legacy_bytes,
    read_all,
    refusal,
    storage,
    tensor,
    zip_bytes,
)

PAYLOADS: dict[str, tuple[Call, str]] = {
    "os.system": (Call(os.system, "touch {path}"), f"{os.name}.system"),
    "eval": (Call(builtins.eval, "open({path!r}, 'w')"), "builtins.eval"),
    "exec": (Call(builtins.exec, "open({path!r}, 'w')"), "builtins.exec"),
    "getattr": (Call(builtins.getattr, "{{}}", "format"), "builtins.getattr"),
    "subprocess": (Call(subprocess.Popen, ["touch", "{path}"]), "subprocess.Popen"),
    "runpy": (Call(runpy._run_code, "open({path!r}, 'w')", {}), "runpy._run_code"),
    "torch.load in disguise": (Call(torch.storage._load_from_bytes, b""), "torch.storage._load_from_bytes"),
    "a file": (Call(io.open, "{path}", "w"), "io.open"),
    "a dict that is none": (Call(collections.defaultdict, list), "collections.defaultdict"),
}  # fmt: skip


def payload(name: str, path: Path) -> Call:
    """What would make the file `path` if it were executed."""
    call, _ = PAYLOADS[name]
    return Call(call.function, *(a.format(path=str(path)) if isinstance(a, str) else a for a in call.arguments))


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads_are_refused_by_name(name: str, protocol: int, tmp_path: Path) -> None:
    says = PAYLOADS[name][1]
    proof = tmp_path / "executed"
    content = dumps({"w": payload(name, proof)}, protocol)
    for data in (zip_bytes(content), legacy_bytes(content), content):
        (tmp_path / "a.bin").write_bytes(data)
        message = refusal(tmp_path / "a.bin", PickledSource)
        assert not proof.exists()
        if data is content:  # no container: the pickle's own name is reported, or that it is no file of torch.save
            assert says in message or "torch.save" in message
        elif protocol:
            assert f"is refused: it calls for {says}, which is no part of saved weights" in message
            assert "nothing was executed" in message
        else:
            assert "instruction" in message or says in message


def test_the_payload_would_have_worked(tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    pickle.loads(dumps({"w": payload("eval", proof)}))
    assert proof.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x02cposix\nsystem\n.", "posix.system"),
        (b"\x80\x02(iposix\nsystem\n.", "posix.system"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "collections.OrderedDict.__init__"),
        (b"\x80\x04N\x8c\x06system\x93.", "something without a name"),
        (b"\x80\x02ctorch\nSomeStorage\n.", "torch.SomeStorage"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "arguments that torch.save does not write"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "something else than pairs"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "instruction b'\\x81'"),
        (b"\x80\x02\x82\x01.", "instruction b'\\x82'"),
        (b"\x80\x02K\x01K\x02R.", "calls"),
        (b"\x80\x02K\x01}b.", "sets attributes of 1"),
        (b"\x80\x02ctorch\nSize\n(K\x01te.", "closes a group"),
        (b"\x80\x02)a.", "needs a value|takes a value"),
        (b"\x80\x02)K\x01a.", "appends to a tuple"),
        (b"\x80\x02]K\x01K\x02s.", "sets items of a list"),
        (b"\x80\x02}(K\x01u.", "sets items of a dict"),
        (b"\x80\x02}))s.", "has a tuple as a key"),
        (b"\x80\x02}\x8a\x08" + (2**61 - 1).to_bytes(8, "little") + b"Ns.", "has 2305843009213693951 as a key"),
        (b"\x80\x02}G" + b"\0" * 8 + b"Ns.", "has 0.0 as a key"),
        (b"\x80\x02}X\x01\x00\x00\x00wNsX\x01\x00\x00\x00wNs.", "has the name 'w' twice"),
        (b"\x80\x02.", "takes a value where there is none"),
        (b"\x80\x02q\x00.", "needs a value"),
        (b"\x80\x02h\x05.", "refers to value 5"),
        (b"\x80\x02t.", "closes a group"),
        (b"\x80\x022.", "needs a value"),
        (b"\x80\x02R.", "takes a value"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\x80\x02}", "ends in the middle"),
        (b"\x80\x02X\x09\x00\x00\x00abc.", "ends in the middle"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (b"\x80\x02c" + b"a" * 2000 + b"\nb\n.", "a name without an end"),
        (b"\x80\x02K\x01Q.", "no storage"),
        (b"\x80\x02}.N.", "2 bytes follow the pickle"),
        (b"", "ends in the middle"),
        (b"\x00", "instruction"),
    ],
)
def test_pickles_that_torch_does_not_write(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(zip_bytes(content))
    message = refusal(tmp_path / "a.bin", PickledSource)
    assert any(part in message for part in says.split("|")), message


FLOAT = torch.FloatStorage
WRONG: dict[str, tuple[Any, str]] = {
    "a shape beyond the storage": (tensor(None, 0, (5,), (1,)), "needs 20 bytes of storage '0', which has 16"),
    "an offset beyond it": (tensor(None, 3, (2,), (1,)), "needs 20 bytes"),
    "strides beyond it": (tensor(None, 0, (2, 2), (3, 1)), "needs 20 bytes"),
    "a stride of 2**62": (tensor(None, 0, (2,), (2**62,)), "needs 18446744073709551620 bytes"),
    "a stride of 2**400": (tensor(None, 0, (2,), (2**400,)), "needs a huge number bytes"),
    "a negative stride": (tensor(None, 3, (4,), (-1,)), "strides are not 1 whole"),
    "a negative offset": (tensor(None, -1, (2,), (1,)), "its offset is -1"),
    "an offset that is a text": (tensor(None, "0", (2,), (1,)), "its offset is '0'"),
    "a negative size": (tensor(None, 0, (-2,), (1,)), "the size -2"),
    "a size that is a truth value": (tensor(None, 0, (True,), (1,)), "the size True"),
    "a size that is a fraction": (tensor(None, 0, (1.5,), (1,)), "the size 1.5"),
    "too few strides": (tensor(None, 0, (2, 2), (1,)), "strides are not 2 whole"),
    "strides that are a text": (tensor(None, 0, (2,), "1"), "strides are not 1 whole"),
    "a shape that is a number": (tensor(None, 0, 4, 1), "its shape is 4"),
    "many dimensions": (tensor(None, 0, (1,) * 40, (1,) * 40), "40 dimensions"),
    "a repeated number": (tensor(None, 0, (10**12,), (0,)), "needs 4000000000000 bytes"),
    "more numbers than there are": (tensor(None, 0, (2**40, 2**40), (0, 0)), "more elements than"),
    "an empty one too large": (tensor(None, 0, (0, 2**40, 2**40), (1, 1, 1)), "more elements than"),
    "a storage of another length": (tensor(storage(numel=5)), "has 16 bytes and the pickle says 20"),
    "a storage of another type": (tensor(storage(kind=torch.DoubleStorage)), "has 16 bytes and the pickle says 32"),
    "a huge storage": (tensor(storage(numel=2**61)), "has 16 bytes and the pickle says"),
    "a storage longer than any": (tensor(storage(numel=2**200)), "the length a huge number"),
    "a negative storage": (tensor(storage(numel=-4)), "the length -4"),
    "a storage whose length is a text": (tensor(storage(numel="4")), "the length '4'"),
    "a storage that is not there": (tensor(storage("7")), "no entry for storage '7'"),
    "a storage elsewhere": (tensor(storage("../../../etc/passwd")), "no entry for storage '../../../etc/passwd'"),
    "a storage without a key": (tensor(storage(0)), "the key 0"),
    "a storage of no type": (tensor(storage(kind="FloatStorage")), "unknown type 'FloatStorage'"),
    "a storage of a dtype": (tensor(storage(kind=torch.float32)), "unknown type 'torch.float32'"),
    "a view of a storage": (tensor(storage("0", 4, FLOAT, ("1", 0, 2))), "as a view of another"),
    "another reference": (tensor(Pid(("module", "a", "b", "c", "d"))), "no storage"),
    "a short reference": (tensor(Pid(("storage", FLOAT))), "no storage"),
    "a tensor of a text": (tensor("0"), "makes a tensor of '0'"),
    "a tensor of a tensor": (tensor(tensor()), "makes a tensor of a Tensor"),
    "bytes without a dtype": (tensor(storage(numel=16, kind=torch.UntypedStorage)), "bytes without a dtype"),
    "negated": (tensor(None, 0, (2,), (1,), {"neg": True}), "with metadata"),
    "an unknown dtype": (tensor(storage(numel=16, kind=torch.UntypedStorage), 0, (2,), (1,), FLOAT,
                                function=torch._utils._rebuild_tensor_v3), "unknown dtype"),
    "a parameter of nothing": (Call(torch._utils._rebuild_parameter, None, True, {}), "arguments that torch.save"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_tensors_that_do_not_fit(name: str, tmp_path: Path) -> None:
    value, says = WRONG[name]
    (tmp_path / "a.bin").write_bytes(zip_bytes({"w": value}))
    tracemalloc.start()
    try:
        assert says in refusal(tmp_path / "a.bin", PickledSource)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_one_storage_described_in_two_ways(tmp_path: Path) -> None:
    both = {"w": tensor(), "v": tensor(storage(numel=16, kind=torch.ByteStorage))}
    (tmp_path / "a.bin").write_bytes(zip_bytes(both))
    assert "describes storage '0' in two ways" in refusal(tmp_path / "a.bin", PickledSource)


def test_a_truth_value_of_two(tmp_path: Path) -> None:
    value = tensor(storage(kind=torch.BoolStorage), 0, (4,), (1,))
    (tmp_path / "a.bin").write_bytes(zip_bytes({"w": value}, {"0": b"\0\1\2\1"}))
    assert "neither 0 nor 1 (2)" in refusal(tmp_path / "a.bin", PickledSource)


# Bombs.


def doubling(levels: int) -> bytes:
    """A tuple that holds the one before twice: a few bytes, 2**levels leaves."""
    return b")" + b"q\x00h\x00\x86" * levels


BOMBS = {
    "a memo index of 2**32 - 1": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a text of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
    "bytes of 16 EB": b"\x80\x04\x8e" + b"\xff" * 8 + b".",
    "a byte array of 16 EB": b"\x80\x05\x96" + b"\xff" * 8 + b".",
    "a frame of 16 EB": b"\x80\x04\x95" + b"\xff" * 8 + b"}.",
    "a negative text": b"\x80\x02T\xff\xff\xff\xff.",
    "a long integer of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a key that takes for ever to hash": b"\x80\x02}" + doubling(200) + b"Ns.",
    "a shape that takes for ever to print": dumps({"w": 1})[:-2] + b"X\x01\x00\x00\x00v" + doubling(200) + b"s.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a dict in itself": b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.",
    "lists in each other": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "marks": b"\x80\x02" + b"(" * 600_000 + b".",
    "dicts": b"\x80\x02(" + b"}" * 600_000 + b"l.",
    "one list put into dicts again and again": (
        b"\x80\x02]q\x00(" + b"".join(struct.pack("<cH2s", b"M", i, b"N\x86") for i in range(1000)) + b"e"
        + b"ccollections\nOrderedDict\nh\x00\x85R" * 1000 + b"."),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sixteenth of the steps that are allowed, since tracing is slow: memory is in proportion to the steps."""
    steps = MOST_STEPS // 16
    monkeypatch.setattr(pickle_reader, "MOST_STEPS", steps)
    for data in (zip_bytes(BOMBS[name]), legacy_bytes(BOMBS[name])):
        (tmp_path / "a.bin").write_bytes(data)
        tracemalloc.start()
        try:
            refusal(tmp_path / "a.bin", PickledSource)
            assert tracemalloc.get_traced_memory()[1] < 200 * steps + 4 * len(data) + (5 << 20)
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("name", ["marks", "dicts", "one list put into dicts again and again"])
def test_the_number_of_steps_is_limited(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(zip_bytes(BOMBS[name]))
    assert f"takes more than {MOST_STEPS} steps" in refusal(tmp_path / "a.bin", PickledSource)


def test_real_weights_stay_far_below_the_limits(tmp_path: Path) -> None:
    state = {f"layer.{i}": torch.zeros(1) for i in range(400)}  # as many as a large BERT has
    torch.save(state, tmp_path / "a.bin")
    assert len(read_all(PickledSource(tmp_path / "a.bin"))) == 400
    with zipfile.ZipFile(tmp_path / "a.bin") as archive:
        size = len(archive.read("a/data.pkl"))
    assert size < MOST_STEPS // 4  # bytes, and so instructions


def test_a_deep_structure_does_not_use_up_the_stack(tmp_path: Path) -> None:
    depth = 20 * sys.getrecursionlimit()
    content = b"\x80\x02}X\x01\x00\x00\x00w" + b")" + b"\x85" * depth + b"s."
    (tmp_path / "a.bin").write_bytes(zip_bytes(content))
    assert "holds a tuple under 'w'" in refusal(tmp_path / "a.bin", PickledSource)
