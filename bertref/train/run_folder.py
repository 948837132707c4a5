"""The folder of a run: the record of the options it was started with, and to whom the folder belongs.

    run.json    {"format": "bertref-run", "version": 1, "options": {...}, "init": {"path": ..., "sha256": ...},
                 "teacher": {"path": ..., "sha256": ...}}

`init` is there only if the run went on from a model, `teacher` only if it has one.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoint.folder import WEIGHTS
from ..errors import BertrefError, CheckpointError, InputError
from ..plumbing.files import write_file
from ..precision import canonical
from .report import Report

RUN_FILE = "run.json"
FORMAT_VERSION = 1
ROLES = ("init", "teacher")
"""What a model may be to a run."""


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
        """Raises `InputError` naming the options with which the run in `folder` was started differently, or a model
        that has changed since.

        An option that a record lacks, because the version that wrote it did not have it, counts as its default.
        """
        was, given = ({**defaults, **record.options} for record in (self, now))
        different = sorted(name for name in was.keys() | given.keys() if was.get(name) != given.get(name))
        if different:
            pairs = ", ".join(
                f"--{n.replace('_', '-')} was {was.get(n)!r} and is {given.get(n)!r}" for n in different
            )
            raise InputError(
                f"{folder}: can't be resumed with other options: {pairs}. Give the same ones, or another --out"
            )
        for role in ROLES:
            its, before = now.models.get(role), self.models.get(role)
            if its and before and its["sha256"] != before["sha256"]:
                raise InputError(
                    f"{folder}: can't be resumed: the weights of {its['path']} have changed since the run began; "
                    "start again with another --out"
                )


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


def claim(out: Path, record: RunRecord, defaults: Mapping[str, Any], *, resume: bool, report: Report) -> bool:
    """Makes `out` this run's folder; whether it was not so before. Raises `InputError` if it holds something that is
    not to be resumed."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; --out names a folder")
    holds_something = out.is_dir() and any(out.iterdir())
    if holds_something and not resume:
        raise InputError(f"{out}: is not empty; add --resume to go on with the run in it, or choose another --out")
    before = RunRecord.read(out)
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


@contextmanager
def claimed(
    out: Path, record: RunRecord, defaults: Mapping[str, Any], *, resume: bool, report: Report
) -> Iterator[None]:
    """As `claim`, for a run that is set up inside: if that can't be, a new folder is given back."""
    made = claim(out, record, defaults, resume=resume, report=report)
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
