"""Noise floors kept from one check to the next, in memory and in files: sampling them is most of a check's work.

The folder is `$BERTREF_CACHE`, or `bertref` in the user's cache folder. A noise floor is found again by everything that
it depends on: the case, the precision, which answers were recorded, and the code that sampled it. A file that can't be
read or written is no error; the sample is drawn again.
"""

import contextlib
import hashlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from ...backends import report
from ...config import numerics_to_dict
from ...errors import InputError
from ...plumbing.files import write_file
from ..cases.case import arrays_digest
from ..records import Case

Sample = tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]
PACKAGE = Path(__file__).resolve().parents[2]
KEPT = 32
LARGEST = 20_000_000
"""Bytes: a larger sample isn't kept in a file."""

_memory: OrderedDict[str, Sample] = OrderedDict()


def folder() -> Path:
    """Where noise floors are kept."""
    named = os.environ.get("BERTREF_CACHE")
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "bertref"


def key(case: Case, precision: str, recorded: Iterable[str], *more: Any) -> str:
    """A name for all that a noise floor depends on."""
    parts = [
        _code(PACKAGE), _numpy(), precision, repr(case.config), repr(sorted(numerics_to_dict(case.numerics).items())),
        arrays_digest(case.params), arrays_digest(dict(case.batch.items())),
        repr((case.heads, case.objective, case.embedding)),
        arrays_digest(case.targets), repr({name: array.shape for name, array in case.targets.items()}),
        *sorted(recorded), *map(repr, more),
    ]  # fmt: skip
    if case.optimizer is not None:
        step = case.optimizer
        parts += [repr((step.optimizer, step.step, step.rate, step.clip_norm, step.clip_epsilon))]
        parts += [arrays_digest(step.moments)]
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:32]


@cache
def _code(package: Path) -> str:
    """A digest of every module, by path and content: a sample depends on ops, model, objectives and backends alike."""
    mark = hashlib.sha256()
    for folder, below, names in os.walk(package, followlinks=True):
        below.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(folder, name)
                mark.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return mark.hexdigest()


@cache
def _numpy() -> str:
    """NumPy's version, its BLAS and the kernels that this chose: products differ in their last bits between them."""
    used = report.blas()
    return f"{np.__version__} {used['name']} {used['version']} {used.get('kernel')}"


def kept(name: str, draw: Callable[[], Sample]) -> Sample:
    """The sample of that name: from memory, from its file, or drawn and kept."""
    if name not in _memory:
        path = folder() / f"noise-floor-{name}.bin"
        sample = _read(path)
        if sample is None:
            sample = draw()
            _write(path, sample)
        _memory[name] = sample
        while len(_memory) > KEPT:
            _memory.popitem(last=False)
    _memory.move_to_end(name)
    return _memory[name]


def _read(path: Path) -> Sample | None:
    """The sample of a file, whose first 32 bytes are the SHA-256 of the others."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[32:]).digest() != data[:32]:
        return None
    found: Sample = ({}, {})
    for entry, value in load(data[32:]).items():
        which, name, measure = entry.split("|")
        found[int(which)].setdefault(name, {})[measure] = value
    return found


def _write(path: Path, sample: Sample) -> None:
    entries = {
        f"{which}|{name}|{measure}": np.asarray(value)
        for which, by_name in enumerate(sample)
        for name, by_measure in by_name.items()
        for measure, value in by_measure.items()
    }
    if sum(value.nbytes for value in entries.values()) > LARGEST:
        return
    with contextlib.suppress(OSError, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        data = save(entries)
        write_file(path, hashlib.sha256(data).digest() + data)
