"""Checkpoints with other things beside the weights: what is skipped, what is refused still, and that nothing runs."""

import collections
import datetime
import enum
import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from bertref.checkpoint.pickle_names import GLOBALS
from bertref.checkpoint.pickle_reader import MOST_STEPS
from bertref.checkpoint.pickle_skipping import runs_code
from bertref.checkpoint.pickled import PickledSource

from .files import Call, dumps, legacy_bytes, read_all, refusal, storage, tensor, zip_bytes
from .test_pickle_hostile import PAYLOADS, payload

HONEST = {"a dict that is none", "getattr"}
"""Payloads of the strict reader that honest checkpoints hold, too."""

skipping = functools.partial(PickledSource, skip=True)


class Kind(enum.Enum):
    A = "a"


class Pair(NamedTuple):
    a: Any
    b: Any


class Stateful:
    def __init__(self) -> None:
        self.values = [1, {2}]


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


class Strange(dict[Any, Any]):
    """A dict with a class, whose items are set one by one."""


OBJECTS: dict[str, Any] = {
    "an enum": Kind.A, "a named tuple": Pair(1, 2), "an object": Stateful(), "slots": Slotted(), "a class": Stateful,
    "a function": torch.nn.functional.gelu, "a partial": functools.partial(max, 1), "a set": {1, (2, 3)},
    "a frozen set": frozenset({1}), "a deque": collections.deque([1]), "a counter": collections.Counter("aab"),
    "a dict of a class": Strange({1: 2}), "a default dict": collections.defaultdict(list, {1: [2]}),
    "a date": datetime.datetime(2020, 1, 1), "an error": ValueError("x"), "a path": Path("a"), "a range": range(3),
    "a complex number": 1j, "a slice": slice(1, 2), "keys": {(1, 2): 3, Stateful: 4, 1.5: 5, 2**80: 6, Pair(1, 2): 7},
    "bytes": b"\xff\x00", "a device": torch.device("cpu"), "a module": torch.nn.Linear(1, 1),
    "a generator's state": torch.Generator().get_state(), "a bound method": "abc".join, "itself": [],
}  # fmt: skip
OBJECTS["itself"].append(OBJECTS["itself"])


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_skipped(name: str, new: bool, tmp_path: Path) -> None:
    content = {"x": OBJECTS[name], "state_dict": {"w": torch.arange(3.0), "extra": OBJECTS[name]}, "y": [OBJECTS[name]]}
    torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new)
    source = skipping(tmp_path / "a.ckpt")
    arrays = read_all(source)
    assert arrays.pop("w").tolist() == [0, 1, 2]
    assert set(arrays) <= {"extra"}
    assert set(source.notes[0].rpartition(": ")[2].split(", ")) >= {"x", "y"}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", sorted(PAYLOADS.keys() - HONEST))
def test_payloads_are_refused_wherever_they_stand(name: str, protocol: int, tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    attack, weights = payload(name, proof), {"w": tensor()}
    for content in ({"state_dict": weights, "callbacks": [attack]}, {"state_dict": {**weights, "x": attack}},
                    {**weights, "x": {1: (attack,)}}):  # fmt: skip
        (tmp_path / "a.ckpt").write_bytes(zip_bytes(content, protocol=protocol))
        message = refusal(tmp_path / "a.ckpt", skipping)
        assert PAYLOADS[name][1] in message
        assert "nothing was executed" in message
        assert not proof.exists()


@pytest.mark.parametrize("name", sorted(HONEST))
def test_what_honest_checkpoints_hold_is_skipped_and_not_called(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(zip_bytes({"w": tensor(), "x": payload(name, tmp_path / "executed")}))
    assert list(read_all(skipping(tmp_path / "a.ckpt"))) == ["w"]
    assert not (tmp_path / "executed").exists()


def test_no_name_of_weights_runs_code() -> None:
    assert not [name for name in GLOBALS if runs_code(*name.rsplit(".", 1))]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"w": [1]}, "holds no weights"),
        ({"state_dict": {"w": Call(collections.Counter)}}, "holds no weights"),
        ([tensor()], "holds a list, not a state dict"),
        (Call(collections.Counter), "not a state dict"),
        ({"model": {"w": tensor()}, "state_dict": {"w": tensor()}}, "under state_dict and model"),
        ({"w": tensor(None, 0, (9,), (1,))}, "needs 36 bytes of storage"),
        ({"w": tensor(None, 0, (1,), (1,), function=torch._utils._rebuild_parameter)}, "arguments that torch.save"),
    ],
)
def test_weights_must_be_as_torch_writes_them(content: Any, says: str, tmp_path: Path) -> None:
    for data in (zip_bytes(content), zip_bytes(content, protocol=4)):
        (tmp_path / "a.ckpt").write_bytes(data)
        assert says in refusal(tmp_path / "a.ckpt", skipping)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x80\x04N\x8c\x06system\x93.", "something without a name"),
        (b"\x80\x02]K\x01\x90.", "closes a group"),
        (b"\x80\x02](K\x01\x90.", "adds to a list"),
        (b"\x80\x02\x81.", "takes a value"),
        (b"\x80\x02N\x92.", "takes a value"),
        (b"\x80\x02o.", "closes a group"),
        (b"\x80\x02(iposix\nsystem\n.", "posix.system"),
        (b"\x80\x02ia\nb\n.", "closes a group"),
        (b"\x80\x02K\x01K\x02R.", "calls"),
        (b"\x80\x02K\x01Q.", "no storage"),
        (b"\x80\x02\x82\x01.", "instruction"),
        (b"\x80\x02b.", "takes a value"),
        (b"\x80\x02}K\x01b.", "holds no weights"),
    ],
)
def test_pickles_that_nobody_writes(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(zip_bytes(content))
    assert says in refusal(tmp_path / "a.ckpt", skipping)


def test_time_is_bounded(tmp_path: Path) -> None:
    """A tuple of 30,000 values that is an argument again and again, at three steps a call."""
    head = b"\x80\x02cown\nthing\nq\x00(" + b"N" * 30_000 + b"tq\x01"
    (tmp_path / "a.ckpt").write_bytes(zip_bytes(head + b"h\x00h\x01R0" * 60_000 + b"."))
    start = time.perf_counter()
    assert f"takes more than {MOST_STEPS} steps" in refusal(tmp_path / "a.ckpt", skipping)
    assert time.perf_counter() - start < 5


def test_a_storage_of_a_foreign_kind_is_skipped_with_its_tensor(tmp_path: Path) -> None:
    foreign = tensor(storage("1", 2, torch.ComplexFloatStorage))
    data = zip_bytes({"state_dict": {"w": tensor(), "x": foreign}}, {"0": bytes(16), "1": bytes(16)})
    (tmp_path / "a.ckpt").write_bytes(data)
    source = skipping(tmp_path / "a.ckpt")
    assert list(read_all(source)) == ["w"]
    assert source.notes == (f"{tmp_path / 'a.ckpt'}: skipped what is no weight: x",)


def test_a_plain_state_dict_has_nothing_to_note(tmp_path: Path) -> None:
    (tmp_path / "a.ckpt").write_bytes(legacy_bytes(dumps({"w": tensor(storage("0", 4, torch.FloatStorage, None))})))
    source = skipping(tmp_path / "a.ckpt")
    assert list(read_all(source)) == ["w"]
    assert source.notes == ()
