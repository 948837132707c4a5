"""Coverage: what became of every tensor of a file and of every parameter of the model.

A checkpoint that loads "successfully" with a head left at random or a layer norm skipped costs somebody a week, so
nothing is silent here: each row says where a parameter came from and what was done to it, and what is missing or left
over is an error unless it was named beforehand.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..errors import CheckpointError

ACTIONS = {
    "renamed": "stored under another name",
    "transposed": "stored as (in, out)",
    "widened": "stored in half precision",
    "tied": "stored twice with equal values",
    "untied": "a decoder of its own, different from the word embeddings",
    "missing": "not in the file",
    "unused": "in the file, no part of the model",
    "optimizer": "state of the optimiser",
    "buffer": "holds no weights",
    "allowed": "missing or unused, and named as allowed",
}
"""What can happen to a tensor besides being read as it is."""

_NOT_READ = {"missing", "unused", "buffer"}


@dataclass(frozen=True)
class CoverageRow:
    """One tensor. `parameter` is the canonical name (None if it is no parameter), `stored` the file's (None if it is
    missing there), `shape` the parameter's, or the stored one where there is no parameter."""

    parameter: str | None
    stored: str | None
    shape: tuple[int, ...]
    dtype: str
    actions: tuple[str, ...] = ()

    @property
    def read(self) -> bool:
        """Whether the tensor went into the model or, for slots, into the training state."""
        return not _NOT_READ & set(self.actions)


@dataclass(frozen=True)
class Coverage:
    """All rows of a load, in the model's order, what is left over last. `file` is what was read."""

    file: str
    format: str
    rows: tuple[CoverageRow, ...]
    notes: tuple[str, ...] = ()

    def names(self, action: str, *, allowed: bool = True) -> list[str]:
        """The rows with an action, by the name that a user would write after --allow."""
        return [
            row.parameter or row.stored or ""
            for row in self.rows
            if action in row.actions and (allowed or "allowed" not in row.actions)
        ]

    @property
    def missing(self) -> list[str]:
        return self.names("missing")

    @property
    def unused(self) -> list[str]:
        return self.names("unused")

    def counts(self) -> dict[str, int]:
        """How many rows: "read" and each of `ACTIONS` that occurs."""
        read = sum(row.read for row in self.rows)
        found = {action: sum(action in row.actions for row in self.rows) for action in ACTIONS}
        return {"read": read, **{action: n for action, n in found.items() if n}}

    def summary(self) -> str:
        """One line: 41 read, 10 of them renamed, 24 transposed; 0 missing, 0 unused."""
        counts = self.counts()
        details = [f"{counts[a]} {a}" for a in ("renamed", "transposed", "widened", "tied", "untied", "optimizer",
                                                "buffer") if a in counts]  # fmt: skip
        read = f"{counts['read']} read" + (f" ({', '.join(details)})" if details else "")
        return f"{read}; {counts.get('missing', 0)} missing, {counts.get('unused', 0)} unused"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "file": self.file, "format": self.format, "counts": self.counts(), "notes": list(self.notes),
            "tensors": [
                {"parameter": r.parameter, "stored": r.stored, "shape": list(r.shape), "dtype": r.dtype,
                 "actions": list(r.actions)}
                for r in self.rows
            ],
        }  # fmt: skip

    def require(self) -> None:
        """Raises `CheckpointError` if anything is missing or unused that was not allowed."""
        missing, unused = (self.names(action, allowed=False) for action in ("missing", "unused"))
        if not missing and not unused:
            return
        parts = [f"{len(names)} {what}: {some(names)}" for what, names in (("missing", missing), ("unused", unused))
                 if names]  # fmt: skip
        needed = [name for name in missing if name.startswith(("bert.embeddings.", "bert.encoder."))]
        example = common_pattern(missing or unused)
        advice = f"add --allow '{example}' (in Python: allow=['{example}']) to go on without"
        if needed:
            advice = "the encoder can't do without: does the config belong to this file?"
        raise CheckpointError(f"{self.file}: {'; '.join(parts)}\n{advice}")


def is_allowed(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the shell patterns (`cls.*`) names it."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def some(names: Iterable[str]) -> str:
    """The first three of them."""
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def common_pattern(names: Sequence[str]) -> str:
    """One pattern for all of them: what they share up to a dot or a slash, and a star."""
    if len(names) == 1:
        return names[0]
    shared = ""
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        shared += letters[0]
    return shared[: max(shared.rfind("."), shared.rfind("/")) + 1] + "*"
