"""What can be verified: anything that answers a case.

A subject is asked for the names it should give (`wanted`) and gives those that it can; everything else is optional.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..config import BertConfig, Numerics
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


@dataclass(frozen=True, eq=False)
class Weights:
    """The model that a subject brings with it. `params` None: it takes any weights of that architecture, so the case's
    generator may choose them; else it computes with these alone, and the case has to be made of them (names that are
    absent are not used by the subject and may have any value)."""

    config: BertConfig
    numerics: Numerics
    params: Arrays | None


@runtime_checkable
class BringsWeights(Protocol):
    """The optional ability to say of what model the case has to be."""

    def weights(self) -> Weights | None:
        """None: any architecture and any weights. Raises `InputError` if the model can't be verified."""
        ...
