"""What can be verified: anything that answers a case.

A subject is asked for the names it should give (`wanted`) and gives those that it can; everything else is optional.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from ..config import BertConfig, Numerics
from .records import PRETRAINING, Answers, Arrays, Case


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
        """The answer `name` of one step (`steps.Graph`), computed from `inputs` alone, and from the case's weights and
        batch: {name: value}, or {} for a step that it doesn't know or that isn't one of its own.

        inputs  the answers that the step is made from, in their canonical shapes: what the subject's precision holds,
                as float64 arrays for "float64", else as float32 ones. Gradients are those of the loss times 1024 where
                the precision is a float16 one (so are those that are returned)

        What is made from the same inputs may be given with it (query, key and value) and isn't asked for then. Updates
        are asked for once, by one of them: all are made from all gradients.
        """
        ...


@dataclass(frozen=True, eq=False)
class Weights:
    """The model that a subject brings with it. `params` None: it takes any weights of that architecture, so the case's
    generator may choose them; else it computes with these alone, and the case has to be made of them (names that are
    absent are not used by the subject and may have any value).

    heads, num_labels  of the model
    objective          what it is trained for, a name of `cases.targets.HEADS`; None: what its heads are mostly used for
    tied               whether its decoder compares with the word embeddings, where `params` don't say
    token_types        whether it reads them; else all are 0
    choices            how many sequences a question of a multiple choice has, where it takes no other number
    embedding          what it makes a vector of a text with, as in `topology.rows`: then it has no objective
    layers             the weights of the dense layers among that (`topology.SENTENCE_DENSE`)
    """

    config: BertConfig
    numerics: Numerics
    params: Arrays | None
    heads: tuple[str, ...] = PRETRAINING
    num_labels: int = 2
    objective: str | None = None
    tied: bool = True
    token_types: bool = True
    choices: int | None = None
    embedding: tuple[str, ...] = ()
    layers: Arrays = field(default_factory=dict)


@runtime_checkable
class BringsWeights(Protocol):
    """The optional ability to say of what model the case has to be."""

    def weights(self) -> Weights | None:
        """None: any architecture and any weights. Raises `InputError` if the model can't be verified."""
        ...
