"""Mixed precision: which op computes in a half type and which in float32, whatever type it is given.

This is what autocast is. Products, their bias and elementwise functions of them are computed in float16 or bfloat16;
norms, softmax, losses and the residual stream in float32. Weights stay float32 and are rounded where they are used.

    forward    every argument that has a gradient is brought to the op's type; data (weights of a loss, its
               denominator, masks, ids) stay as they are
    backward   every gradient goes back to the type of its argument. That is the derivative of the cast, and makes the
               gradients of weights float32: what autograd does with the casts that autocast puts in

What an op does inside is its own: in halves, attention takes its softmax and the decoder its loss in float32, and
products are rounded once.

Source: Micikevicius et al. 2018; torch.autocast, whose lists for CUDA this follows. (On the CPU torch leaves a norm or
a loss of halves in halves.)
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from inspect import signature
from typing import Any, Literal, NamedTuple, Protocol, get_type_hints

from .arrays import Array, Namespace
from .ops import OPS

TYPE_OF: dict[str, Literal["half", "float32", "given"]] = {
    # products, their bias, elementwise functions of them, and compositions that start with a product
    "dense": "half",
    "attention": "half",
    "bias_activation": "half",
    "gelu_erf": "half",
    "gelu_tanh": "half",
    "relu": "half",
    "tanh": "half",
    "decoder_cross_entropy": "half",
    # the residual stream, norms, softmax, losses
    "embedding": "float32",
    "add": "float32",
    "layer_norm": "float32",
    "dropout_add_norm": "float32",
    "softmax": "float32",
    "log_softmax": "float32",
    "cross_entropy": "float32",
    "span_cross_entropy": "float32",
    "squared_error": "float32",
    # what chooses, moves or drops numbers, and rounds none
    "gather": "given",
    "pack": "given",
    "unpack": "given",
    "dropout": "given",
}
"""Op -> the type that it computes in: the half type, float32, or that of what it is given."""


class Bound(Protocol):
    """What is needed of an op with its namespace filled in (`bertref.opset.BoundOp`)."""

    def forward_only(self) -> "Bound": ...
    def forward(self, *args: Any, **options: Any) -> tuple[Array, Any]: ...
    def backward(self, dy: Array, run: Any, **options: Any) -> Any: ...


class CastRun(NamedTuple):
    """What the op's own forward left for backward, and the types that its arguments had, by name."""

    run: Any
    types: dict[str, Any]


class CastOp:
    """An op that computes in `dtype`. `arguments` are the names of its positional arguments; `casts` those to cast."""

    def __init__(self, xp: Namespace, op: Bound, arguments: Sequence[str], casts: Collection[str], dtype: Any) -> None:
        self._xp, self._op, self._arguments, self._casts, self._dtype = xp, op, arguments, casts, dtype

    def forward_only(self) -> "CastOp":
        """The same op, keeping nothing for a backward."""
        other = copy.copy(self)
        other._op = self._op.forward_only()
        return other

    def forward(self, *args: Any, **options: Any) -> tuple[Array, CastRun]:
        """The op's forward with its arguments cast."""
        types = {}
        given = list(args)
        for i, (name, a) in enumerate(zip(self._arguments, args, strict=False)):
            if name in self._casts and a is not None:
                types[name], given[i] = a.dtype, self._xp.astype(a, self._dtype, copy=False)
        y, run = self._op.forward(*given, **options)
        return y, CastRun(run, types)

    def backward(self, dy: Array, run: CastRun, **options: Any) -> Any:
        """The op's gradients, each in the type of its argument."""
        grads = self._op.backward(dy, run.run, **options)
        back = {name: self._xp.astype(getattr(grads, name), dtype, copy=False) for name, dtype in run.types.items()}
        return grads._replace(**back)


def mixed(xp: Namespace, bound: Mapping[str, Bound], half: str) -> dict[str, Bound]:
    """Every op in the type that `TYPE_OF` gives it; `half` is "float16" or "bfloat16"."""
    return {name: _cast(xp, name, op, half) for name, op in bound.items()}


def _cast(xp: Namespace, name: str, op: Bound, half: str) -> Bound:
    kind = TYPE_OF[name]
    if kind == "given":
        return op
    arguments = list(signature(OPS[name].forward).parameters)[1:]
    gradients = get_type_hints(OPS[name].backward)["return"]._fields  # named after forward's arguments
    return CastOp(xp, op, arguments, gradients, xp.dtype(half if kind == "half" else "float32"))
