"""An op whose arguments are brought to one type, and whose gradients go back to the types that they had."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..arrays import Array, Namespace
from ..opset import BoundOp, Choice, ForwardRun


class CastRun(NamedTuple):
    """What the op's own forward left for backward, and the types that its arguments had, by name."""

    run: ForwardRun
    types: dict[str, Any]


class CastOp:
    """`op` on arguments of type `dtype`. `places`: which of its positional arguments are cast, and their names."""

    def __init__(self, op: BoundOp[..., Any], xp: Namespace, places: Mapping[int, str], dtype: Any) -> None:
        self._op, self._xp, self._places, self._dtype = op, xp, places, dtype

    @property
    def name(self) -> str:
        return self._op.name

    def forward_only(self) -> "CastOp":
        """The same op, keeping nothing for a backward."""
        return self._with(self._op.forward_only())

    def hinted(self, **hints: Any) -> "CastOp":
        """The same op, with options for a kernel that knows them."""
        return self._with(self._op.hinted(**hints))

    def forward(self, *args: Any, **options: Any) -> tuple[Array, CastRun]:
        """The op's forward of the cast arguments."""
        given = list(args)
        types = {}
        for i, name in self._places.items():
            if i < len(args) and args[i] is not None:
                types[name], given[i] = args[i].dtype, self._xp.astype(args[i], self._dtype, copy=False)
        y, run = self._op.forward(*given, **options)
        return y, CastRun(run, types)

    def backward(self, dy: Array, run: CastRun, **options: Any) -> Any:
        """The op's gradients, each in the type of its argument."""
        grads = self._op.backward(dy, run.run, **options)
        back = {name: self._xp.astype(getattr(grads, name), dtype, copy=False) for name, dtype in run.types.items()}
        return grads._replace(**back)

    def explain(self, *args: Any, **options: Any) -> Choice:
        """Which implementation forward would take (`BoundOp.explain`)."""
        return self._op.explain(*args, **options)

    def _with(self, op: BoundOp[..., Any]) -> "CastOp":
        other = copy.copy(self)
        other._op = op
        return other
