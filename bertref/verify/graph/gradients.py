"""The gradients that a step of the optimiser starts from."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

Values = Any
Measure = Callable[[Values], float]


class Gradients(Mapping[str, Values]):
    """The gradients of all parameters, by the parameters' names, made when they are looked at."""

    def __init__(self, names: Collection[str], look: Callable[[str], Values]) -> None:
        self._names, self._look = names, look
        self._measured: dict[tuple[str, Measure], float] = {}

    def __getitem__(self, name: str) -> Values:
        return self._look(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def measured(self, name: str, by: Measure) -> float:
        """A number that one of them has, such as its norm; computed once: a large model's take a second."""
        if (name, by) not in self._measured:
            self._measured[name, by] = by(self[name])
        return self._measured[name, by]

    def replaced(self, name: str, value: Values) -> "Gradients":
        """The same, but for one of them."""
        other = Gradients(self._names, lambda one: value if one == name else self._look(one))
        other._measured = {(one, by): found for (one, by), found in self._measured.items() if one != name}
        return other
