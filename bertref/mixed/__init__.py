"""Mixed precision: which op computes in a half type and which in float32, whatever type it is given.

This is what autocast is. Products, their bias and elementwise functions of them are computed in float16 or bfloat16;
norms, softmax, losses and the residual stream in float32. Weights are float32 and rounded where they are used.

    forward    the arguments that the table names are brought to the op's type; data (ids, masks, weights and
               denominators of losses) stay as they are
    backward   every gradient goes back to the type of its argument. That is the derivative of the cast, and makes the
               gradients of weights float32: what autograd does with the casts that autocast puts in

In halves attention takes its softmax, and the decoder its loss, in float32; the ops of `pairs` round once.

Source: Micikevicius et al. 2018, "Mixed precision training"; torch.autocast, whose lists for CUDA these are. (On the
CPU torch leaves a norm of halves in halves; in BERT that is the transform of the masked language model.)
"""

from functools import cache
from inspect import signature
from typing import Literal, NamedTuple

from ..ops import OPS
from ..opset import BoundOp, OpSet
from .cast import CastOp
from .pairs import PAIRS

__all__ = ["TABLE", "OpType", "mixed"]


class OpType(NamedTuple):
    """`type`: what an op computes in, the half type, float32, or that of what it is given. `arguments`: those that are
    brought to it, separated by blanks."""

    type: Literal["half", "float32", "given"]
    arguments: str = ""


TABLE = {
    # products, their bias, elementwise functions of them, and compositions that start with a product
    "dense": OpType("half", "x weight bias"),
    "bias_activation": OpType("half", "bias"),  # x is a product, which is rounded after the bias has been added
    "gelu_erf": OpType("half", "x"),
    "gelu_tanh": OpType("half", "x"),
    "relu": OpType("half", "x"),
    "tanh": OpType("half", "x"),
    "attention": OpType("half", "query key value"),
    "decoder_cross_entropy": OpType("half", "x table bias"),
    # the residual stream, norms, softmax, losses
    "embedding": OpType("float32", "table"),
    "add": OpType("float32", "a b"),
    "layer_norm": OpType("float32", "x gamma beta"),
    "dropout_add_norm": OpType("float32", "x residual gamma beta"),
    "softmax": OpType("float32", "x"),
    "log_softmax": OpType("float32", "x"),
    "cross_entropy": OpType("float32", "logits"),
    "span_cross_entropy": OpType("float32", "start_logits end_logits"),
    "squared_error": OpType("float32", "predictions"),
    "binary_cross_entropy": OpType("float32", "logits"),
    "soft_cross_entropy": OpType("float32", "logits"),
    "kl_divergence": OpType("float32", "logits"),
    "cosine": OpType("float32", "x"),
    # what chooses, moves or drops
    "gather": OpType("given"),
    "pack": OpType("given"),
    "unpack": OpType("given"),
    "dropout": OpType("given"),
}
"""Op -> what it computes in."""


def mixed(ops: OpSet, half: str) -> OpSet:
    """The same ops in mixed precision; `half` is "float16" or "bfloat16". Weights are given in float32."""
    types = {"half": ops.xp.dtype(half), "float32": ops.xp.float32}

    def cast(op: BoundOp[..., object]) -> CastOp | BoundOp[..., object]:
        row = TABLE[op.name]
        if row.type == "given":
            return op
        pair = PAIRS.get(op.name)
        bound = op.replaced(pair) if pair else op
        hinted = bound.hinted(wide=True) if op.name == "dense" else bound  # a kernel does as the pair: see `pairs`
        return CastOp(hinted, ops.xp, _places(op.name), types[row.type])

    return ops.mapped(cast)


@cache
def _places(name: str) -> dict[int, str]:
    """Where the arguments that are cast stand among the op's positional ones."""
    wanted = TABLE[name].arguments.split()
    arguments = list(signature(OPS[name].forward).parameters)[1:]  # without xp
    return {arguments.index(argument): argument for argument in wanted}
