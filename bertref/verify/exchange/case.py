"""Case folders: written for other programs, and read back bit for bit."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import __version__
from ...data.pretraining.batch import PretrainingBatch
from ...errors import InputError
from ...heads import check
from ...plumbing.files import write_folder
from ..cases.targets import check_targets
from ..records import PRECISIONS, Arrays, Case
from . import index
from .settings import flat, questions, restore, settings, settings_digest, stored
from .tensors import Located, locate, values
from .writing import WRITERS, Written, write_tensors

FORMATS = tuple(WRITERS)
SETTINGS = "settings.tsv"


def write_case(
    case: Case,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("bin",),
    expected: Arrays | None = None,
    precision: str | None = None,
) -> Path:
    """Writes the case into a new folder, which appears whole or not at all; returns its path.

    formats    any of "bin", "npy", "safetensors"; the index points into the first, the others hold the same
    expected   right answers to write beside the question
    precision  what the other program is asked to compute in, one of `records.PRECISIONS`

    Raises `InputError` for a folder that exists, an unknown format, a sentence's embedding, or a disk that refuses.
    """
    path = Path(folder)
    if path.exists():
        raise InputError(f"{path}: exists already; name a new folder, or remove it first")
    unknown = [form for form in formats if form not in WRITERS]
    if unknown or not formats:
        raise InputError(f"format {unknown[0] if unknown else ''!r}: there are {', '.join(FORMATS)}")
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: there are {', '.join(PRECISIONS)}")
    if case.embedding:
        raise InputError("a case of a sentence's embedding can't be written; other programs are asked for the encoder")
    kinds: dict[str, Arrays] = {}
    asked = list(questions(case))
    for kind, name, array in asked:
        kinds.setdefault(kind, {})[name] = array
    fields = _fields(case, settings_digest(case, asked), precision)
    if expected:
        kinds["expected"] = {name: stored(array) for name, array in expected.items()}

    def fill(temporary: Path) -> None:
        written: dict[str, Written] = {form: [] for form in formats}
        for form, listed in written.items():
            for kind, arrays in kinds.items():
                listed += write_tensors(temporary, kind, arrays, form)
        listed = written[formats[0]]
        _write_text(temporary / index.JSON, index.to_json(fields, listed))
        header = {"version": index.VERSION, "case": fields["case"]}
        _write_text(temporary / index.TSV, index.to_tsv(header, listed))
        lines = [*((key, str(fields[key])) for key in ("case", "seed", "precision") if fields[key] is not None)]
        _write_text(temporary / SETTINGS, "".join(f"{key}\t{value}\n" for key, value in [*lines, *flat(case)]))

    write_folder(path, fill)
    return path


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _fields(case: Case, mark: str, precision: str | None) -> dict[str, Any]:
    try:
        origin = _infinities(json.loads(json.dumps(dict(case.origin))), -math.inf, "-inf")
    except (TypeError, ValueError) as error:
        raise InputError(f"case {case.name}: its origin can't be written as JSON ({error})") from None
    return {
        "format": index.CASE,
        "version": index.VERSION,
        "bertref": __version__,
        "name": case.name,
        "case": mark,
        "seed": origin.get("seed"),
        "origin": origin,
        "precision": precision,
        "byte_order": "little",
        **settings(case),
    }


def _infinities(value: Any, old: Any, new: Any) -> Any:
    """JSON has no infinity: a mask value of minus infinity stands there in words."""
    if isinstance(value, dict):
        return {key: _infinities(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_infinities(inner, old, new) for inner in value]
    return new if value == old else value


def read_case(folder: str | Path) -> Case:
    """The case that `write_case` wrote, bit for bit: parameters as float64, moments in the width that they had.

    Raises `InputError` naming the file and the tensor where something is missing, damaged or changed.
    """
    path = Path(folder)
    found = index.read(path)
    where = str(found.path)
    if found.fields.get("format") != index.CASE or found.path.name != index.JSON:
        raise InputError(f"{where}: is no case; a case is what `bertref golden export` writes, with an {index.JSON}")
    kinds: dict[str, dict[str, Located]] = {}
    for tensor in locate(path, (entry for entry in found.entries if entry.kind != "expected"), found.path):
        kinds.setdefault(tensor.kind, {})[tensor.name] = tensor
    params = {name: values(t).astype(np.float64) for name, t in kinds.get("parameter", {}).items()}
    moments = {name: values(t) for name, t in kinds.get("moment", {}).items()}
    batch = _batch(kinds.get("batch", {}), where)
    parts = restore(found.fields, moments, where)
    targets = {name: values(t) for name, t in kinds.get("target", {}).items()}
    case = Case(name=str(found.fields.get("name")), params=params, batch=batch,
                origin=_origin(found), targets={name: _wide(array) for name, array in targets.items()},
                **parts)  # fmt: skip
    _check(case, where)
    if _digest(case) != found.fields.get("case"):
        raise InputError(f"{where}: the tensors or settings are not those that were exported; export the case again")
    return case


def _origin(found: index.Index) -> dict[str, Any]:
    origin = found.fields.get("origin")
    if not isinstance(origin, dict):
        raise InputError(f"{found.path}: origin is {origin!r}; export the case again")
    return dict(_infinities(origin, "-inf", -math.inf))


def _digest(case: Case) -> str | None:
    """The digest; None if the settings are of such types that it can't be computed."""
    try:
        return settings_digest(case)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _batch(tensors: dict[str, Located], where: str) -> PretrainingBatch:
    if missing := [name for name in PretrainingBatch.LAYOUT if name not in tensors]:
        raise InputError(f"{where}: the tensor {missing[0]!r} of the batch is missing; export the case again")
    return PretrainingBatch(**{name: values(tensors[name]) for name in PretrainingBatch.LAYOUT})


def _wide(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _check(case: Case, where: str) -> None:
    """Whether a model of that configuration could read the tensors at all."""
    try:
        check(case.params, case.config, case.heads, num_labels=case.num_labels)
        case.batch.validate(case.config)
        check_targets(case)
        step = case.optimizer
        if step is not None:
            wanted = {
                moment: array.shape for name, array in case.params.items() for moment in step.optimizer.names([name])
            }
            if {name: array.shape for name, array in step.moments.items()} != wanted:
                raise InputError("moments: not those of the parameters")
    except InputError as error:
        raise InputError(f"{where}: {error}; export the case again") from None
