"""Answers folders: what another program computed, under canonical names and in canonical shapes."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint.raw import widened
from ...errors import InputError
from ...plumbing.files import write_folder
from ..graph.axes import split
from ..records import PRECISIONS, TWO_RUNS, Answers, Arrays, Case
from ..subjects.arrays import canonical
from . import byte_order, index, transforms
from .mapping import Mapping, Rule
from .names import Shape, answer_shapes, similar
from .settings import settings_digest, sizes, stored
from .tensors import Located, locate, raw
from .writing import write_tensors

MADE_FROM = {"grad": "", "update": "grad"}
"""A part of the answers -> the part that it is made from."""
_ADVICE = "copy the first line of the case's index.tsv"


@dataclass(frozen=True)
class Dump:
    """An answers folder whose index was read and checked against its files; the data isn't read yet.

    `case` is the digest of the case that it answers, or None; then `seed` is that case's seed. `precision` is what
    the program says that it computed in, or None; `apart` what it says that is of another run (`Answers.apart`).
    """

    index: Path
    case: str | None
    seed: int | None
    precision: str | None
    tensors: tuple[Located, ...]
    apart: frozenset[str] = frozenset()

    def check_case(self, case: Case) -> None:
        """Raises `InputError` unless the dump answers this case."""
        mine = settings_digest(case)
        if self.case is not None and self.case != mine:
            raise InputError(
                f"{self.index}: answers the case {self.case}, not {case.name} ({mine}); "
                "run the program on this case, or verify with the case that it read"
            )
        seed = case.origin.get("seed")
        if self.seed is not None and self.seed != seed:
            raise InputError(f"{self.index}: answers the case of seed {self.seed}, but this one is of seed {seed}; "
                             "run the program on this case, or verify with that seed")  # fmt: skip

    def answers(self, case: Case, *, mapping: Mapping | None = None, wanted: Collection[str] | None = None) -> Answers:
        """The tensors in canonical names, shapes and layout; those in `wanted` only, if given.

        Raises `InputError` that names the tensor and what to fix: another case, an unknown name, a shape that doesn't
        fit, data of the wrong byte order. NaN and infinities are passed on: to judge them is not a reader's business.
        """
        self.check_case(case)
        mapping = mapping or Mapping()
        found: Arrays = {}
        source: dict[str, str] = {}
        notes = set()
        known = answer_shapes(case)
        for tensor, rule in self._mapped(mapping, known):
            for name in rule.to:
                if name in source:
                    raise InputError(f"{self.index}: {source[name]!r} and {tensor.name!r} both stand for {name}")
                source[name] = tensor.name
            if wanted is not None and not set(rule.to) & set(wanted):
                continue
            if tensor.dtype == "bfloat16":
                notes.add("values stored as bfloat16 were widened to float32")
            found |= self._converted(tensor, rule, mapping, case, known)
        if not source:
            raise InputError(f"{self.index}: lists no tensor to compare; write at least one probe, such as loss.total")
        values = {name: value for name, value in found.items() if wanted is None or name in wanted}
        prefixes = {split(name)[0] for name in values}
        apart = frozenset(part for part in self.apart if {part, MADE_FROM[part]} <= prefixes)
        return Answers(values, (*sorted(notes), *(TWO_RUNS[part] for part in sorted(apart))), apart=apart)

    def _mapped(self, mapping: Mapping, known: dict[str, Shape]) -> Iterator[tuple[Located, Rule]]:
        """Every tensor that counts, with its rule: the mapping's, or its own name."""
        for tensor in self.tensors:
            rule = mapping.find(tensor.name)
            if rule is None and tensor.name in known:
                rule = Rule((tensor.name,))
            if rule is None:
                if mapping.ignores(tensor.name):
                    continue
                raise InputError(
                    f"{self.index}: {tensor.name!r} is no canonical name{similar(tensor.name, known)}\n"
                    "Rename it, or give it a line, under [tensors] or in ignore, in a mapping file"
                )
            for name in rule.to:
                if name not in known:
                    raise InputError(f"{mapping.where}: {tensor.name!r} becomes {name!r}, which is no name of an "
                                     f"answer to this case{similar(name, known)}")  # fmt: skip
            yield tensor, rule

    def _converted(
        self, tensor: Located, rule: Rule, mapping: Mapping, case: Case, known: dict[str, Shape]
    ) -> Arrays:
        where, letters = f"{self.index}: {tensor.name!r}", sizes(case)
        value = self._read(tensor, where)
        weights = all(_is_weight(name, known) for name in rule.to)
        if mapping.in_out and value.ndim == 2 and weights and not any("embeddings" in name for name in rule.to):
            value = value.T
        for step in rule.do:
            value = transforms.apply(step, value, case, letters, where)
        parts = [value]
        if rule.split:
            axis = rule.axis if rule.axis is not None else 0 if _is_parameter(rule.to[0]) else -1
            parts = transforms.split(value, len(rule.to), rule.split, axis, letters["A"], where)
        return {
            name: _fitted(name, part, case, known[name], where) for name, part in zip(rule.to, parts, strict=True)
        }

    def _read(self, tensor: Located, where: str) -> npt.NDArray[Any]:
        bits = raw(tensor)
        if byte_order.swapped(bits, tensor.dtype):
            raise InputError(
                f"{where}: its numbers are absurd as they stand and sensible with their bytes swapped: it was written "
                f"big-endian; write {tensor.path.name} in little-endian order"
            )
        return widened(bits) if tensor.dtype == "bfloat16" else bits


def _is_parameter(name: str) -> bool:
    return name.startswith(("update:", "grad:bert.", "grad:cls."))


def _is_weight(name: str, known: dict[str, Shape]) -> bool:
    return _is_parameter(name) and len(known[name]) == 2


def _fitted(name: str, value: npt.NDArray[Any], case: Case, shape: Shape, where: str) -> npt.NDArray[Any]:
    """The value in its canonical shape; what can be told without doubt is done, the rest is refused with a hint."""
    value = canonical(name, value, case)
    if value.shape == shape:
        return np.ascontiguousarray(value) if value.ndim else value
    if name == "embeddings.position" and value.shape == shape[1:]:
        return np.broadcast_to(value, shape)
    raise InputError(f"{where}: its shape is {value.shape}, and {name} has {shape}{_hint(value.shape, shape, case)}")


def _hint(found: Shape, wanted: Shape, case: Case) -> str:
    T, B, S, A, D = (sizes(case)[letter] for letter in "TBSAD")
    if len(wanted) == 2 and found == wanted[::-1]:
        return '; if it is transposed, say do = ["transpose"] for it (or weights = "in,out") in a mapping file'
    if wanted[:2] == (B, S) and found == (T, *wanted[2:]):
        return '; if these are the real tokens only, say do = ["packed"] for it in a mapping file'
    if found == (B, A, S, D):
        return '; if heads come first, say do = ["heads_first"] for it in a mapping file'
    if np.prod(found) == np.prod(wanted):
        return "; declare how it is laid out in a mapping file (permute, reshape)"
    return "; correct the index or the program"


def read_dump(folder: str | Path) -> Dump:
    """Opens an answers folder. Raises `InputError` naming the file or tensor that is missing, damaged or impossible."""
    path = Path(folder)
    found = index.read(path)
    fields = found.fields
    form = fields.get("format", index.ANSWERS if found.path.name == index.TSV else None)
    if form == index.CASE:
        raise InputError(f"{found.path}: is a case, not the answers to one; write answers to a folder of their own")
    if form != index.ANSWERS:
        raise InputError(f'{found.path}: format is {form!r}; the index of answers says "format": "{index.ANSWERS}"')
    case, seed, precision = fields.get("case"), fields.get("seed"), fields.get("precision")
    if case is None and seed is None:
        raise InputError(f"{found.path}: does not say which case it answers; {_ADVICE}, or give the seed")
    if (case is not None and not isinstance(case, str)) or not isinstance(seed, int | None) or isinstance(seed, bool):
        raise InputError(f"{found.path}: case is {case!r} and seed {seed!r}; a digest and a whole number are expected")
    if precision is not None and precision not in PRECISIONS:
        raise InputError(f"{found.path}: precision is {precision!r}; there are {', '.join(PRECISIONS)}")
    tensors = tuple(locate(path, found.entries, found.path))
    return Dump(found.path, case, seed, precision, tensors, _apart(found.path, fields.get("apart")))


def _apart(where: Path, said: Any) -> frozenset[str]:
    """What an index says that is of another run: names with commas, or in JSON a list of them, too."""
    names = said.split(",") if isinstance(said, str) else said or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name in TWO_RUNS for name in names):
        raise InputError(f"{where}: apart is {said!r}; it is {', '.join(TWO_RUNS)}, or both with a comma between them")
    return frozenset(names)


def find_case(folder: str | Path) -> Path | None:
    """The case folder that a dump answers, where it can be seen from there: the folder around it, or one beside it."""
    path = Path(folder).resolve()
    dump = index.read(path)
    for candidate in (path.parent, *sorted(path.parent.iterdir())):
        try:
            is_case = (candidate / index.JSON).is_file() and index.read(candidate).fields.get("format") == index.CASE
            fields = index.read(candidate).fields if is_case else {}
        except InputError:
            continue
        if is_case and _same(dump.fields, fields):
            return candidate
    return None


def _same(answers: Any, case: Any) -> bool:
    if answers.get("case") is not None:
        return bool(answers["case"] == case.get("case"))
    return answers.get("seed") is not None and bool(answers["seed"] == case.get("seed"))


def write_answers(
    answers: Arrays, case: Case, folder: str | Path, *, form: str = "bin", precision: str | None = None,
    apart: Collection[str] = (),
) -> Path:  # fmt: skip
    """Writes answers as a dump, for programs in Python; `apart` as in `Answers`. Raises `InputError` as `write_case`
    does."""
    path = Path(folder)
    if path.exists():
        raise InputError(f"{path}: exists already; name a new folder, or remove it first")
    fields = {"format": index.ANSWERS, "version": index.VERSION, "case": settings_digest(case), "precision": precision,
              **({"apart": ",".join(sorted(apart))} if apart else {})}  # fmt: skip
    arrays = {name: stored(array) if array.dtype != np.float64 else np.asarray(array, "<f8", order="C")
              for name, array in answers.items()}  # fmt: skip

    def fill(temporary: Path) -> None:
        written = write_tensors(temporary, "answers", arrays, form)
        (temporary / index.JSON).write_text(index.to_json(fields, written), encoding="utf-8", newline="\n")
        header = {key: value for key, value in fields.items() if key != "format"}
        (temporary / index.TSV).write_text(index.to_tsv(header, written), encoding="utf-8", newline="\n")

    write_folder(path, fill)
    return path
