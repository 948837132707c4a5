"""The folder of a run: the record of the options it was started with, and to whom the folder belongs.

    run.json    {"format": "bertref-run", "version": 1, "options": {...}, "init": {"path": ..., "sha256": ...},
                 "teacher": {"path": ..., "sha256": ...}}

`init` is there only if the run went on from a model, `teacher` only if it has one.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoint import checkpoints
from ..checkpoint.folder import WEIGHTS
from ..errors import BertrefError, CheckpointError, InputError
from ..plumbing.files import PREFIX, remove_leftovers, write_file
from ..precision import canonical
from .in_use import in_use
from .report import Report

RUN_FILE = "run.json"
FORMAT_VERSION = 1
ROLES = ("init", "teacher")
"""What a model may be to a run."""
ARGUMENTS = frozenset({"task", "data", "corpus"})
"""Options that are arguments on the command line."""
BEFORE_THE_FIRST_CHECKPOINT = frozenset({
    RUN_FILE, "history.json", "config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json",
})  # fmt: skip
"""The files that a run has written when it has saved nothing of what it learns."""


@dataclass(frozen=True)
class RunRecord:
    """The options of a run that decide what is learnt, by name; and by role (`ROLES`) the path and the digest of the
    models that it needs: without `init` it began with a new one, or that model need not be looked at any more."""

    options: dict[str, Any] = field(default_factory=dict)
    models: Mapping[str, dict[str, str]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes `run.json`."""
        content = {"format": "bertref-run", "version": FORMAT_VERSION, "options": self.options}
        content |= self.models
        write_file(folder / RUN_FILE, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "RunRecord | None":
        """The record in a folder, None if there is none. Raises `CheckpointError` if it is damaged."""
        path = folder / RUN_FILE
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version, options = content["version"], dict(content["options"])
            models = {role: content[role] for role in ROLES if role in content}
            if "precision" in options:
                options["precision"] = canonical(options["precision"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: is damaged ({error}); start again with another --out") from None
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{path}: format version {version}; this bertref reads version {FORMAT_VERSION}")
        return cls(options, models)

    def must_equal(self, now: "RunRecord", folder: Path, defaults: Mapping[str, Any]) -> None:
        """Raises `InputError` with what `difference` says."""
        difference = self.difference(now, defaults)
        if difference:
            raise InputError(f"{folder}: can't be resumed{difference}")

    def difference(self, now: "RunRecord", defaults: Mapping[str, Any]) -> str:
        """The options with which this run was started differently, or a model that has changed since, as the end of a
        sentence; "" if there is none. Paths differ if they lead to different places, however they are spelled.

        An option that a record lacks, because the version that wrote it did not have it, counts as its default.
        """
        was, given = ({**defaults, **record.options} for record in (self, now))
        different = sorted(n for n in was.keys() | given.keys() if not _same(was.get(n), given.get(n)))
        if different:
            pairs = ", ".join(f"{spelled(n)} was {was.get(n)!r} and is {given.get(n)!r}" for n in different)
            return f" with other options: {pairs}. Give the same ones, or another --out"
        for role in ROLES:
            its, before = now.models.get(role), self.models.get(role)
            if its and before and its["sha256"] != before["sha256"]:
                return (
                    f": the weights of {its['path']} have changed since the run began; start again with another --out"
                )
        return ""


def spelled(name: str) -> str:
    """An option as the command line has it: `--name`, or `NAME` for an argument."""
    return name.upper() if name in ARGUMENTS else f"--{name.replace('_', '-')}"


def _same(one: Any, other: Any) -> bool:
    """Whether two values of an option are the same, or name the same files and folders."""
    values = [[value] if isinstance(value, str) else value for value in (one, other)]
    if all(isinstance(value, list | tuple) and all(isinstance(each, str) for each in value) for value in values):
        ones, others = ([Path(each).resolve() for each in value] for value in values)
        return ones == others
    return bool(one == other)


def is_finished(out: Path, record: RunRecord, defaults: Mapping[str, Any]) -> bool:
    """Whether the run that `record` describes has ended in this folder, which then holds a model.

    Raises `InputError` if the model is another run's or no run's.
    """
    if not (out / WEIGHTS).is_file():
        return False
    before = RunRecord.read(out)
    if before is None:
        raise InputError(f"{out}: holds a model that no training run made; choose another --out")
    before.must_equal(record, out, defaults)
    return True


def claim(
    out: Path, record: RunRecord, defaults: Mapping[str, Any], held: ExitStack | None, *, resume: bool, report: Report
) -> bool:
    """Makes `out` this run's folder; whether it was not so before. With `held` the process has the folder alone until
    that is closed, and what a killed run left half-written is removed.

    A run in it that has saved nothing gives way to one with other options. Raises `InputError` if the folder holds
    something else that is not to be resumed, or another process works in it.
    """
    made = _made(out, record, defaults, resume=resume, report=report)
    if held is not None:
        held.enter_context(in_use(out / RUN_FILE))
        remove_leftovers(out)
    return made


def _made(out: Path, record: RunRecord, defaults: Mapping[str, Any], *, resume: bool, report: Report) -> bool:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out names a folder")
    before = RunRecord.read(out)
    if before is not None and (not resume or before.difference(record, defaults)) and _cleared(out):
        report("message", {"text": f"{out}: the run in it had saved no checkpoint; starting from the beginning."})
        before, resume = None, False
    holds_something = out.is_dir() and any(out.iterdir())
    if holds_something and not resume:
        raise InputError(f"{out}: is not empty; add --resume to go on with the run in it, or choose another --out")
    if before is not None:
        before.must_equal(record, out, defaults)
        return False
    if holds_something:
        raise InputError(f"{out}: holds no training run to resume; choose another --out")
    if resume:
        report("message", {"text": f"{out}: nothing to resume; starting from the beginning."})
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: can't be made ({error.strerror}); choose another --out") from None
    record.write(out)
    return True


def _cleared(out: Path) -> bool:
    """Removes the files of a run that has saved nothing, if the folder holds nothing else and no process works in it;
    whether that is done."""
    found = list(out.iterdir())
    if not all(path.name in BEFORE_THE_FIRST_CHECKPOINT or path.name.startswith(PREFIX) for path in found):
        return False
    with in_use(out / RUN_FILE) as alone:
        if alone:
            remove_leftovers(out)
            for name in BEFORE_THE_FIRST_CHECKPOINT:
                (out / name).unlink(missing_ok=True)
    return alone


@contextmanager
def claimed(
    out: Path, record: RunRecord, defaults: Mapping[str, Any], held: ExitStack | None, *, resume: bool, report: Report
) -> Iterator[None]:
    """As `claim`, for a run that is set up inside: if that can't be, a new folder is given back."""
    made = claim(out, record, defaults, held, resume=resume, report=report)
    if not made and not checkpoints(out):
        report("message", {"text": f"{out}: holds no checkpoint; starting from the beginning."})
    try:
        yield
    except BertrefError:
        if made:
            _give_back(out)
        raise


def _give_back(out: Path) -> None:
    """Removes the folder of a run that could not be set up, unless something was made of the text already."""
    if [path.name for path in out.iterdir()] == [RUN_FILE]:
        (out / RUN_FILE).unlink()
        out.rmdir()
