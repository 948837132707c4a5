"""What can be verified: anything that answers a case.

A subject is asked for the names it should give (`wanted`) and gives those that it can; everything else is optional.
"""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from .records import Answers, Arrays, Case


class Subject(Protocol):
    """`precision` is declared by the subject, one of `records.PRECISIONS`, or None if it has to be detected.

    `live` subjects can be run again (and are, twice, to see whether they are deterministic); a dump can't.
    """

    name: str
    precision: str | None
    live: bool

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """Computes the case: as many of the canonical names in `wanted` (all it can, if None) as it can give.

        Raises `bertref.errors.InputError` where it can't run at all, saying why and what to do.
        """
        ...


@runtime_checkable
class ComputesOps(Protocol):
    """The optional ability to be fed the reference's inputs, one step at a time."""

    def answer_step(self, case: Case, name: str, inputs: Arrays) -> Arrays:
        """The values of the step that makes probe `name`, computed from `inputs` (canonical names)."""
        ...
