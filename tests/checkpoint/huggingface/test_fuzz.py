"""Thousands of damaged files of each format. A file is read, or refused with a `CheckpointError`: nothing else happens.

Half of the variants are damaged blindly; the other half where it hurts: in the header or the pickle, which are then
put back into a container whose lengths and checksums fit. What is read must be what the real library reads.
"""

import argparse
import collections
import functools
import io
import json
import pickle
import random
import struct
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors
import torch
from safetensors.torch import save as save_safetensors
from safetensors.torch import save_file

from bertref.checkpoint.pickled import PickledSource
from bertref.checkpoint.safetensors_file import SafetensorsSource
from bertref.checkpoint.sharded import ShardedSource
from bertref.errors import CheckpointError

from .damage import NUMBERS, changed, damaged
from .files import legacy_bytes, read_all, same_bits, storage, tensor, zip_bytes

MEMORY = 16 << 20
"""Bytes that one variant, of a few kilobytes, may make a reader allocate: the longest table of contents, and change."""
TENSORS = {
    "word.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "half": torch.tensor([1.5, -2.0]).half(),
    "brain": torch.tensor([[0.5, 3.0]]).bfloat16(),
    "ids": torch.arange(4),
    "flags": torch.tensor([True, False]),
}


# The formats: each makes a folder's good files, and then variants.

Variant = Callable[[random.Random], bytes]


def safetensors_variants(folder: Path) -> tuple[Path, Variant]:
    good = save_safetensors(TENSORS, metadata={"format": "pt"})
    start = 8 + int.from_bytes(good[:8], "little")
    header = json.loads(good[8:start])

    def variant(rng: random.Random) -> bytes:
        act = rng.random()
        if act < 0.4:
            return damaged(good, rng)
        text = json.dumps(changed(header, rng)).encode() if act < 0.7 else damaged(good[8:start], rng)
        return struct.pack("<Q", len(text)) + text + good[start:]

    return folder / "model.safetensors", variant


def index_variants(folder: Path) -> tuple[Path, Variant]:
    names = list(TENSORS)
    shards = {"a.safetensors": names[:2], "b.safetensors": names[2:]}
    for file, inside in shards.items():
        save_file({name: TENSORS[name] for name in inside}, folder / file)
    weights = {name: file for file, inside in shards.items() for name in inside}
    index = {"metadata": {"total_size": 90}, "weight_map": weights}
    good = json.dumps(index, indent=2).encode()

    def variant(rng: random.Random) -> bytes:
        return damaged(good, rng) if rng.random() < 0.5 else json.dumps(changed(index, rng)).encode()

    return folder / "model.safetensors.index.json", variant


def numbers(rng: random.Random, count: int) -> tuple[int, ...]:
    """Small numbers, and now and then another."""
    return tuple(rng.choice(NUMBERS) if rng.random() < 0.1 else rng.randrange(4) for _ in range(count))


KINDS = {
    torch.FloatStorage: 4,
    torch.HalfStorage: 2,
    torch.BFloat16Storage: 2,
    torch.BoolStorage: 1,
    torch.LongStorage: 8,
}


def crafted(rng: random.Random, *more: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Two tensors whose numbers need not fit their storages; and the storages."""
    state, storages = {}, {}
    for name in "ab":
        kind, length, dimensions = rng.choice(list(KINDS)), rng.randrange(13), rng.choice([0, 1, 1, 2, 2, 3])
        storages[name] = bytes(rng.randrange(2) for _ in range(length * KINDS[kind]))
        numel = length if rng.random() < 0.9 else numbers(rng, 1)[0]
        key = name if rng.random() < 0.95 else "a"
        state[name] = tensor(storage(key, numel, kind, *more), *numbers(rng, 1),
                             *(numbers(rng, dimensions if rng.random() < 0.95 else 1) for _ in range(2)))  # fmt: skip
    return state, storages


def saved(**options: Any) -> bytes:
    file = io.BytesIO()
    model = torch.nn.Linear(2, 2)
    base = TENSORS["word.weight"]
    torch.nn.init.ones_(model.weight)
    torch.nn.init.zeros_(model.bias)
    state = model.state_dict()
    state.update(TENSORS | {"tied": base, "view": base[1:, ::2].t(), "none": torch.zeros(0, 3)})
    torch.save(state, file, **options)
    return file.getvalue()


def zip_variants(folder: Path) -> tuple[Path, Variant]:
    good = saved()
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    prefix = next(iter(entries)).split("/")[0]

    def variant(rng: random.Random) -> bytes:
        act = rng.random()
        if act < 0.3:
            return damaged(good, rng)
        if act < 0.5:
            return zip_bytes(*crafted(rng))
        contents = dict(entries)
        name = f"{prefix}/data.pkl" if rng.random() < 0.8 else rng.choice(list(entries))
        contents[name] = damaged(contents[name], rng)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for entry, data in contents.items():
                archive.writestr(entry, data)
        return file.getvalue()

    return folder / "pytorch_model.bin", variant


def legacy_variants(folder: Path) -> tuple[Path, Variant]:
    good = saved(_use_new_zipfile_serialization=False)
    storages = len(good) - sum(
        8 + t.numel() * t.element_size() for t in [*TENSORS.values(), torch.ones(6), torch.ones(0)]
    )

    def variant(rng: random.Random) -> bytes:
        act = rng.random()
        if act < 0.3:
            return damaged(good, rng)
        if act < 0.5:
            state, parts = crafted(rng, None)
            used = [value.arguments[0].value for value in state.values()]
            sizes = {key: KINDS[kind] for _, kind, key, *_ in used}
            return legacy_bytes(state, {key: (len(parts[key]) // size, parts[key]) for key, size in sizes.items()})
        return damaged(good[:storages], rng) + good[storages:]  # nothing here has a length or checksum to fit

    return folder / "pytorch_model.bin", variant


class Settings(NamedTuple):
    """Somebody's hyperparameters."""

    rate: float
    device: torch.device


def lightning(**options: Any) -> bytes:
    """As a trainer saves: a state dict among objects, sets, classes as keys, and an optimiser's state."""
    file = io.BytesIO()
    layer = torch.nn.Linear(2, 2)
    content = {
        "epoch": 3, "state_dict": dict(TENSORS), "callbacks": {Settings: {1, 2}, "best": torch.tensor(0.5)},
        "hyper_parameters": argparse.Namespace(settings=Settings(0.1, torch.device("cpu")), kinds=frozenset("a")),
        "optimizer_states": [torch.optim.Adam(layer.parameters()).state_dict()], "loops": collections.deque([1, 2]),
    }  # fmt: skip
    torch.save(content, file, **options)
    return file.getvalue()


def ckpt_variants(folder: Path) -> tuple[Path, Variant]:
    good = lightning()
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in entries if name.endswith("/data.pkl"))

    def variant(rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return damaged(good, rng)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for entry, data in entries.items():
                archive.writestr(entry, damaged(data, rng) if entry == pickled else data)
        return file.getvalue()

    return folder / "last.ckpt", variant


def old_ckpt_variants(folder: Path) -> tuple[Path, Variant]:
    good = lightning(_use_new_zipfile_serialization=False)
    return folder / "last.ckpt", lambda rng: damaged(good, rng)


# What must hold for every variant.


def check_safetensors(path: Path, source: Any, arrays: dict[str, Any]) -> None:
    theirs = dict(safetensors.deserialize(path.read_bytes()))
    assert set(theirs) == set(arrays)
    for name, value in theirs.items():
        assert tuple(value["shape"]) == arrays[name].shape
        if value["dtype"] != "BF16":
            assert bytes(value["data"]) == arrays[name].tobytes()


def repacked(path: Path) -> io.BytesIO:
    """A file; if it is a zip, its entries in a new one. `BadZipFile` if one that no reader needs is damaged."""
    if not zipfile.is_zipfile(path):
        return io.BytesIO(path.read_bytes())
    file = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(file, "w") as fresh:
        for name in archive.namelist():
            if not name.endswith(".storage_alignment"):
                fresh.writestr(name, archive.read(name))
    file.seek(0)
    return file


def check_torch(path: Path, source: Any, arrays: dict[str, Any]) -> None:
    """What torch reads, too, it reads alike. It refuses more (unknown devices) and less.

    Its reader is given a zip's entries in a new zip: of a damaged one it guesses where a storage lies, and reads bytes
    that do not have their checksum.
    """
    try:
        file = repacked(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError, EOFError, OSError,
            pickle.UnpicklingError, zipfile.BadZipFile):  # fmt: skip
        return
    theirs = next((theirs[name] for name in theirs if isinstance(theirs[name], dict)), theirs)
    assert set(theirs) == set(arrays)
    assert all(same_bits(arrays[name], value) for name, value in theirs.items())


def check_ckpt(path: Path, source: Any, arrays: dict[str, Any]) -> None:
    """Where torch reads the file, one of its dicts holds what was read, bit for bit."""
    try:
        file = repacked(path)
        allowed = [argparse.Namespace, Settings, collections.deque, frozenset, torch.device]
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
            warnings.simplefilter("ignore")
            theirs = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, TypeError, AssertionError, LookupError, AttributeError, EOFError, OSError,
            pickle.UnpicklingError, zipfile.BadZipFile):  # fmt: skip
        return
    dicts = [value for value in (theirs, *theirs.values()) if isinstance(value, dict)]
    assert any(arrays.keys() <= found.keys() and all(same_bits(arrays[n], found[n]) for n in arrays) for found in dicts)


def check_nothing(path: Path, source: Any, arrays: dict[str, Any]) -> None:
    """The index's tensors were checked by `read_all`: what it says of them is no part of them."""
    assert set(arrays) <= set(TENSORS)


FORMATS: dict[str, tuple[Any, Any, Any]] = {
    "safetensors": (SafetensorsSource, safetensors_variants, check_safetensors),
    "index": (ShardedSource, index_variants, check_nothing),
    "zip": (PickledSource, zip_variants, check_torch),
    "before 1.6": (PickledSource, legacy_variants, check_torch),
    "ckpt": (functools.partial(PickledSource, skip=True), ckpt_variants, check_ckpt),
    "ckpt before 1.6": (functools.partial(PickledSource, skip=True), old_ckpt_variants, check_ckpt),
}

FORBIDDEN = ("pickle.find_class", "exec", "compile", "import", "os.system", "subprocess.Popen", "os.exec", "os.fork",
             "socket.connect", "marshal.loads", "ctypes.dlopen", "os.remove", "os.rename", "os.mkdir")  # fmt: skip


class Watch:
    """Counts what no reader may do, and the files that it opens, by Python's own audit events."""

    active = False
    forbidden: list[str] = []  # noqa: RUF012
    opened: set[str] = set()  # noqa: RUF012

    @classmethod
    def hook(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if cls.active:
            if event in FORBIDDEN:
                cls.forbidden.append(f"{event} {arguments!r:.200}")
            if event == "open":
                cls.opened.add(str(arguments[0]))

    @classmethod
    @contextmanager
    def on(cls) -> Iterator[None]:
        if not getattr(sys, "_bertref_watched", False):
            sys.addaudithook(cls.hook)
            sys._bertref_watched = True  # type: ignore[attr-defined]
        cls.forbidden.clear()
        cls.opened.clear()
        cls.active = True
        try:
            yield
        finally:
            cls.active = False


def outcome(path: Path, reader: Any) -> tuple[Any, dict[str, Any]] | None:
    """What a reader makes of a file: a source and its arrays, or None for a refusal in one or two lines."""
    tracemalloc.start()
    try:
        with Watch.on():
            source = reader(path)
            return source, read_all(source)
    except CheckpointError as error:
        message = str(error)
        assert 0 < len(message) < 800 + 2 * len(str(path))
        assert message.count("\n") <= 1
        assert message.replace("\n", "").isprintable()
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY
        assert not Watch.forbidden
        assert all(Path(name).parent == path.parent for name in Watch.opened), Watch.opened


def fuzz(name: str, folder: Path, seeds: range) -> int:
    """Reads a variant for each seed; how many could be read."""
    reader, variants, check = FORMATS[name]
    path, variant = variants(folder)
    "".encode("cp437")  # a codec that zipfile needs and that is imported when first used
    read = 0
    for seed in seeds:
        data = variant(random.Random(f"{name} {seed}"))
        path.write_bytes(data)
        try:
            result = outcome(path, reader)
            if result is not None:
                check(path, *result)
                read += 1
        except Exception as error:
            error.add_note(f"{name}, seed {seed}")
            raise
    return read


@pytest.mark.parametrize("name", FORMATS)
def test_some_damaged_files(name: str, tmp_path: Path) -> None:
    read = fuzz(name, tmp_path, range(150))
    assert 0 < read < 145  # the damage is neither always fatal nor always overlooked


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_twenty_thousand_damaged_files(name: str, tmp_path: Path) -> None:
    assert 0 < fuzz(name, tmp_path, range(150, 20_150)) < 20_000


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere(name: str, tmp_path: Path) -> None:
    """Whatever is missing at the end, it is noticed."""
    reader, variants, _ = FORMATS[name]
    path, _ = variants(tmp_path)
    good = {
        "safetensors": lambda: save_safetensors(TENSORS),
        "index": lambda: json.dumps({"weight_map": dict.fromkeys(list(TENSORS)[:2], "a.safetensors")}).encode(),
        "zip": saved,
        "before 1.6": lambda: saved(_use_new_zipfile_serialization=False),
        "ckpt": lightning,
        "ckpt before 1.6": lambda: lightning(_use_new_zipfile_serialization=False),
    }[name]()
    path.write_bytes(good)
    assert outcome(path, reader) is not None
    for end in range(0, len(good), 1 + len(good) // 200):
        path.write_bytes(good[:end])
        assert outcome(path, reader) is None


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path) -> None:
    def executes(path: Path) -> Any:
        return pickle.loads(b"cos\ngetcwd\n)R.")

    with pytest.raises(AssertionError):
        outcome(tmp_path / "a", executes)
    with pytest.raises(AssertionError):
        outcome(tmp_path / "a", lambda path: Path("/dev/null").read_bytes())
    with pytest.raises(AssertionError):
        outcome(tmp_path / "a", lambda path: bytes(MEMORY))
