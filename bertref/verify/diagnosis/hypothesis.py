"""What a hypothesis is: one thing that somebody may have computed otherwise, as a change of the reference."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...row import TensorRow
from ..report.mistakes import compressed
from .scene import Made, Scene


@dataclass(frozen=True)
class Possibility:
    """One of several possibilities, in words, and what `Hypothesis.make` takes of it."""

    words: str = ""
    value: Any = None


@dataclass(frozen=True)
class Number:
    """A free number, the same in the whole model, `sign` times something between `low` and `high`, which is looked for
    on a logarithmic scale. `constants`: what it often is, by its name, for a case.

    What explains the same without the number is a hypothesis of its own: unless `open_ended`, the interval must not
    reach to an end of the scale. An epsilon may be too small to be seen, and is none the less the wrong one.
    `right`: what the number may be in right code, too; where the interval holds one of these, it is no cause.
    `own`: the reference's, for which the same holds; None: it has none.
    `known_to`: relatively, how far it may be off where something else that isn't known makes up for that: so much is
    added to the interval at both ends.
    `read`: the interval, where it can be read out of what the graph stores for these rows, half of it, instead of
    being fitted to a tensor; None: it is fitted."""

    name: str
    low: float
    high: float
    constants: Callable[[Scene], Mapping[str, float]]
    sign: int = 1
    open_ended: bool = False
    right: Callable[[Scene], Iterable[float]] = lambda scene: ()
    own: Callable[[Scene], float | None] = lambda scene: None
    known_to: float = 0.0
    read: Callable[[Scene, Sequence[TensorRow]], tuple[float, float] | None] | None = None


@dataclass(frozen=True)
class Told:
    """What a sentence is made of: the tensors whose steps are changed, of how many they could have been, whether none
    of these contradicts it, the choice, the number, its name and what was fitted."""

    names: tuple[str, ...]
    possible: int
    everywhere: bool
    layers: int
    choice: str
    value: float | None
    known: str
    fitted: float | None
    scene: Scene

    @property
    def at(self) -> str:
        """layer.N.query (all layers)"""
        return compressed(self.names, self.layers)

    @property
    def in_layers(self) -> str:
        """ "in all layers", for rows that belong together"""
        found = sorted({int(name.split(".")[1]) for name in self.names})
        if len(found) == self.layers:
            return "in all layers" if self.layers > 1 else "in the layer"
        return f"in layer{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"

    @property
    def number(self) -> str:
        """The number, by the name of the constant that it is, and as it was fitted."""
        if self.value is None or self.fitted is None:
            return self.choice
        more = "; the others can't tell" if self.everywhere and len(self.names) < self.possible else ""
        fitted = f"(fitted {self.fitted:.4e}, right in {len(self.names)} of {self.possible} places{more})"
        return f"{self.known} {fitted}" if self.known else f"{self.value:.5g} {fitted}"


def everywhere(scene: Scene, row: TensorRow) -> Iterable[Possibility]:
    """No choice at all."""
    return (Possibility(),)


def by_itself(row: TensorRow) -> str:
    """Each row is changed or not, whatever the others are."""
    return row.name


def by_layer(row: TensorRow) -> str:
    """The rows of a layer belong together."""
    return row.part


def row_by_row(row: TensorRow) -> str:
    """All rows are tried at once; those that contradict it are left out one by one."""
    return row.name


def all_rows(row: TensorRow) -> str:
    """All rows belong together."""
    return ""


@dataclass(frozen=True)
class Hypothesis:
    """One thing computed otherwise.

    id        "family.what", as in the list of causes
    applies   whether a row of the network's table can be computed so
    make      the row, its way back or the optimiser's step, computed so, with the value of a choice or of the number;
              None: it can't be
    sentence  says it
    where     library -> a line where it usually stands
    patch     what to do
    choices   the possibilities, as seen from a row that may be concerned; each is then tried at all rows
    number    a free number, instead of choices
    together  rows of which this is the same belong together: they are changed all or none
    parameters  what parameters of the model are where it holds, by name: what is looked for after it reads these
    way_back  whether the gradients are those of the formula; else they are not looked into: with what is rounded on the
              way back, too, they are not
    hides     rows that the same mistake may have changed in a way that can't be told
    rounding  it only rounds otherwise: what stays below the limit is right, and nothing that should have been seen
    integers  it is about stored integers: tried only where there are some
    """

    id: str
    applies: Callable[[TensorRow], bool]
    make: Callable[[Scene, TensorRow, Any], Made | None]
    sentence: Callable[[Told], str]
    where: Mapping[str, str]
    patch: str
    choices: Callable[[Scene, TensorRow], Iterable[Possibility]] = everywhere
    number: Number | None = None
    together: Callable[[TensorRow], str] = by_itself
    parameters: Callable[[Scene, Any], Mapping[str, Any]] | None = None
    way_back: bool = True
    hides: Callable[[TensorRow], bool] = lambda row: False
    rounding: bool = False
    integers: bool = False

    @property
    def whole(self) -> bool:
        """Whether its rows are tried all at once, and not those of a kind by themselves, too."""
        return self.together is not by_itself


def of_op(*ops: str) -> Callable[[TensorRow], bool]:
    """Rows of these kinds of op."""
    return lambda row: row.op in ops


def named(*names: str) -> Callable[[TensorRow], bool]:
    """Rows of these tensors, of any layer: "query" is "layer.3.query", too."""
    return lambda row: row.name in names or (row.name.startswith("layer.") and row.name.split(".", 2)[2] in names)
