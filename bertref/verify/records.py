"""The records that the rooms of `verify` hand to each other.

A *case* is a question: weights, a batch, and what an optimiser step needs. *Answers* are what somebody computed for
it, as arrays under canonical names (`bertref.probes`):

    layer.3.probs            a forward probe
    grad:layer.3.probs       the gradient of loss.total that arrives at it
    grad:NAME                the gradient of a parameter, before clipping
    update:NAME              new minus old value of a parameter after one optimiser step

A *finding* is the judgement on one of them, a *report* is all findings with the verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig, Numerics
from ..data.pretraining.batch import PretrainingBatch
from ..heads import DECODER, labelled, parameter_shapes
from ..optim import Optimizer
from ..params import Shape
from .integers import Misread, Stored

Arrays = dict[str, npt.NDArray[Any]]

PRETRAINING = ("pretraining",)
"""The heads of a case unless it says otherwise."""

WRONG = ("added", "inherited", "wrong", "not-finite", "shape", "unsteady")
"""The statuses of a finding that make an implementation diverge."""

PRECISIONS = ("float64", "float32", "tf32", "bfloat16", "float16", "mixed-bfloat16", "mixed-float16")
"""What a subject can compute in. tf32: float32 whose products round their factors to 10 bits; mixed: products in the
half type, the rest in float32 (autocast)."""

HALVES = ("bfloat16", "float16", "mixed-bfloat16", "mixed-float16")
"""Those whose products are numbers of 16 bits."""
QUANTISED = "int8"
"""The precision of a subject whose products are of integers: judged as float32, but for what quantisation explains."""


@dataclass(frozen=True)
class OptimizerCase:
    """One step from non-zero moments: `moments` holds NAME/m and NAME/v, or what else the optimiser keeps (float32, or
    wider with values that float32 holds exactly), `step` is the number of this update, from 1.

    `clip_norm` None means no clipping; `clip_epsilon` is added to the norm.
    """

    optimizer: Optimizer
    moments: Arrays
    step: int
    rate: float
    clip_norm: float | None
    clip_epsilon: float


@dataclass(frozen=True, eq=False)
class Case:
    """`params` are float64 arrays whose values are exact in float32. `origin` holds what makes the case again: the
    generator's arguments and seed, or the user's model and texts.

    heads      the model's (`bertref.heads`)
    objective  what its answers go on to, a name of `topology.OBJECTIVES`; None: it is asked forward only
    targets    the labels of an objective, the gradients that are given for outputs, or the weights of what makes a
               vector of a text (`topology.SENTENCE_DENSE`), by name (`cases.targets`); those
               of pre-training are in the batch
    embedding  what makes a vector of a text, as in `topology.rows`: asked forward only
    """

    name: str
    config: BertConfig
    numerics: Numerics
    params: Arrays
    batch: PretrainingBatch
    optimizer: OptimizerCase | None
    origin: Mapping[str, Any]
    heads: tuple[str, ...] = PRETRAINING
    objective: str | None = "pretraining"
    targets: Arrays = field(default_factory=dict)
    embedding: tuple[str, ...] = ()

    @property
    def num_labels(self) -> int:
        """The width of its classifier."""
        name = labelled(self.heads)
        return len(self.params[name]) if name else 2

    @property
    def choices(self) -> int:
        """How many sequences a question of a multiple choice has: as many as there are for each right answer; without
        those, the fewest that the rows can be cut into evenly."""
        rows = len(self.batch)
        if self.objective == "multiple_choice":
            return rows // len(self.targets["labels"])
        return next((n for n in range(2, rows) if rows % n == 0), rows)


    @property
    def tied(self) -> bool:
        """Whether the decoder compares with the word embeddings."""
        return DECODER not in self.params

    @property
    def shapes(self) -> dict[str, Shape]:
        """Name -> shape of every parameter, in canonical order."""
        return parameter_shapes(self.config, self.heads, num_labels=self.num_labels, tied=self.tied)

    def given(self, name: str) -> npt.NDArray[Any]:
        """An array of the batch or of the targets. Raises `AttributeError` for an unknown name."""
        return self.targets[name] if name in self.targets else np.asarray(getattr(self.batch, name))


TWO_RUNS = {
    "grad": "values and gradients of two runs; if one run gives both, gradients are judged closer",
    "update": "gradients and updates of two runs",
}
"""What is from another run than what it is made from (`Answers.apart`) -> what the report says of it."""


@dataclass(frozen=True, eq=False)
class Answers:
    """`values` under canonical names, in canonical shapes (padded layout, predictions (B, P, ...)). `notes` are
    remarks for the user: what was fused, gathered, cast or is not available, and why.

    untouched  values of the same names from a run in which nothing inside was looked at: judged in total
    outputs    what the subject gives its users, of what it was asked: unless one of them is judged, it isn't right.
               None: all values are alike
    unquantised  values without what quantisation does to them, as the subject's own scales say: what their step is
               judged by; the values themselves are what other steps start from
    unjudged   values that others are made from, of which nobody can say what is right -> why not
    stored     tensor -> the parameters of its step that the subject stores in integers
    misread    tensor -> integers that its step reads otherwise than they were made
    wide       parameters that a subject in half precision holds, and computes with, in float32
    apart      "grad" if gradients come from another run than the forward values, "update" if updates come from another
               run than the gradients: two runs may round otherwise, and a gradient follows the values of its own
    """

    values: Arrays
    notes: tuple[str, ...] = ()
    untouched: Arrays = field(default_factory=dict)
    outputs: tuple[str, ...] | None = None
    unquantised: Arrays = field(default_factory=dict)
    apart: frozenset[str] = frozenset()
    unjudged: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, tuple[Stored, ...]] = field(default_factory=dict)
    misread: Mapping[str, tuple[Misread, ...]] = field(default_factory=dict)
    wide: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Place:
    """Where the error sits: the worst element's index, and the shares of it by named axis ("row 3", "head 1",
    "position 7", "segment B", "padding") that stand out, in words. `single`: its row has a single token."""

    index: tuple[int, ...]
    expected: float
    found: float
    concentrated: tuple[str, ...] = ()
    single: bool = False


@dataclass(frozen=True)
class Finding:
    """The judgement on one tensor.

    status   "right"      within what rounding explains
             "added"      wrong, and this op made the error
             "inherited"  wrong, but right for the inputs that it was given
             "wrong"      wrong, and its inputs are not known, so whose error it is can't be told
             "missing"    not among the answers
             "not-finite" NaN or infinity where the reference has a number
             "shape"      of another shape
             "unsteady"   two runs make it otherwise of the same inputs, by more than rounding explains: dropout, a race
             "unjudged"   given, but nobody can say what is right there (see `note`)
    total    the error of the tensor over the error that a correct implementation makes there, the worst block
    own      the same for the error that its op added to its inputs; None where that can't be known
    error    relative L2 error against the reference, on the positions that count; None if it can't be computed
    noise    the relative L2 error of a correct implementation
    explained_by  the earlier wrong tensor whose mistake may be all that is wrong here, too: a step that was not given
             is behind both. "": there is none, so this is a mistake of its own, unless it is inherited
    """

    name: str
    status: str
    total: float | None = None
    own: float | None = None
    error: float | None = None
    noise: float | None = None
    place: Place | None = None
    note: str = ""
    explained_by: str = ""


@dataclass(frozen=True)
class Fitted:
    """A number of a cause: its value, and the interval in which it explains the data to rounding as well. `known` is
    what a listed constant in it is called ("1/sqrt(hidden size)"); "": it is none of those."""

    name: str
    value: float
    low: float
    high: float
    known: str = ""


@dataclass(frozen=True)
class Cause:
    """One thing that a subject computes otherwise, proved by a replay: the reference's steps, with that changed, make
    the subject's tensors of its own inputs, to rounding, on data that no number was fitted to.

    id            a hypothesis of `diagnosis`
    sentence      what is wrong, in words
    parameters    its numbers
    choice        which of several possibilities it is: the tensor that was added, the offset; ""
    tensors       what it explains
    before, after the largest error that the steps of these added, over rounding: by the reference, and with the change
    where         library -> where such a line usually stands
    patch         what to change
    alternatives  what else would explain the same, and was put aside because it has more freedom
    ruled_out     the ids of what was tried at the first of these tensors and does not explain it
    """

    id: str
    sentence: str
    parameters: tuple[Fitted, ...]
    choice: str
    tensors: tuple[str, ...]
    before: float
    after: float
    where: Mapping[str, str]
    patch: str
    alternatives: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Look:
    """What a wrong tensor looks like beside the one that its step should have made of the subject's own inputs. Fitted
    to this tensor, so it says nothing of where the error comes from: it is no cause.

    kind      "place"    the only tokens or words where it is wrong
              "factor"   a multiple of the right one
              "another"  another known tensor
              "sign"     the right numbers, some with the other sign
              "order"    the right numbers in another order
              "added"    the right one and a multiple of a known tensor
              "factors"  the right one with a factor for each row, head, token, channel, ...
              "offsets"  the right one and a number for each of these
              "curve"    another function of the input of an elementwise step
    sentence  in words that follow "is"; those beside a place hold there
    """

    tensor: str
    kind: str
    sentence: str


@dataclass(frozen=True)
class Diagnosis:
    """Why a subject diverges. `outcome` is

    "named"      each of `causes` is proved, and together they explain what is wrong in the parts of the network that
                 they are in
    "ambiguous"  each of `causes` would explain the first wrong tensor as well as the others
    "unknown"    nothing that was tried explains it
    "failed"     the search was stopped by an error: a defect of bertref's

    left      wrong tensors that remain unexplained, of those whose own steps are wrong
    note      a remark: what went wrong, or why nothing was tried
    ruled_out the ids of what was tried at the first wrong tensor in vain
    looks     what the first of those that remain unexplained looks like
    """

    outcome: str
    causes: tuple[Cause, ...] = ()
    left: tuple[str, ...] = ()
    note: str = ""
    ruled_out: tuple[str, ...] = ()
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True)
class BlindSpot:
    """One thing that a subject could compute otherwise and be called right all the same: a hypothesis of `diagnosis`,
    applied to the reference, changes every judged step by less than the limit.

    id         the hypothesis
    sentence   what would be wrong, in words
    tensors    those that would be computed so; "update", the optimiser's step; "back NAME", the way back of a row
    ratio      the largest error that it would make in any judged step, over rounding
    hidden_by  "probes": its own step was judged only together with others; by itself it would show
               "case": it computes the same in this case
               "precision": by itself, too, it changes less than rounding does
    ask        hidden by the probes: the answers that would show it
    reasons    hidden by the case: what it has that hides such mistakes ("no padding")
    """

    id: str
    sentence: str
    tensors: tuple[str, ...]
    ratio: float
    hidden_by: str
    ask: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlindSpots:
    """What a right verdict could not have seen, of the steps that were judged. `step`: part of the optimiser's step ->
    whether all mistakes in it that are known would have shown; {} if it wasn't judged."""

    spots: tuple[BlindSpot, ...]
    step: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """`verdict` is "right", "diverges" or "could not run"; `first` is the first wrong tensor in the order of the
    computation (forward, loss, backward from the loss down, update), `last_right` the nearest one known right that it
    is made from. `limit` is the calibrated ratio above which a tensor is wrong.

    between     what was not given on the way from tensors known right to the first wrong one, in order
    ask         those of them that the first wrong one is made from directly
    alone       of a right report: the steps that were judged by themselves
    in_blocks   those that were judged only together with others, because what is between them was not given
    not_judged  those on which nothing that was judged depends
    diagnosis   why it diverges; None: nobody asked, or it doesn't
    fed         the steps that were also done by themselves, from the reference's inputs
    blind_spots what a right verdict could not have seen; None: nobody asked, or it isn't right
    """

    subject: str
    precision: str
    case: Mapping[str, Any]
    verdict: str
    first: str | None
    last_right: str | None
    findings: tuple[Finding, ...]
    limit: float
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    between: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    in_blocks: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None
    fed: tuple[str, ...] = ()
    blind_spots: BlindSpots | None = None

    @property
    def exit_code(self) -> int:
        """0 right, 1 diverges, 2 could not run."""
        return {"right": 0, "diverges": 1}.get(self.verdict, 2)
