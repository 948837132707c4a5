"""bertref's steps one by one, from whatever inputs: those of the heads, and of their losses, behind the encoder's."""

from collections.abc import Callable, Mapping
from typing import Any

from ...arrays import Array
from ...heads import DECODER_BIAS, TRANSFORM, WORD_EMBEDDINGS, decoder_name, expanded, with_pooler
from ...objectives.head_objective import HeadObjective
from ...ops import relu, tanh
from ...opset import OpSet
from ...precision import Precision
from ...topology import last_output
from ..records import Case
from .backend_steps import EncoderSteps, Maker, Values

ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "tanh": (tanh, tanh.TanhCache), "relu": (relu, lambda y: relu.ReluCache(y > 0)),
}  # fmt: skip
"""The pooler's -> the op, and what backward reads, made of its output."""


class BackendSteps(EncoderSteps):
    """The steps of a case with an objective; arguments as of `EncoderSteps`."""

    def __init__(self, ops: OpSet, case: Case, policy: Precision, kernels: Mapping[str, Any]) -> None:
        super().__init__(ops, case, policy, kernels)
        self._last = last_output(case.config)
        self._readers: list[Maker] = []
        """What makes the gradient that the sequence output gets from each of those that read it."""
        names = {head.name for head in expanded(case.heads)}
        if "masked_lm" in names:
            self._masked_lm()
        if with_pooler(case.heads):
            self._pooler()
        if isinstance(self._objective, HeadObjective):
            self._task(self._objective)
        elif case.objective in ("pretraining", "masked_lm"):
            self._pretraining(next_sentence="next_sentence" in names)
        if names:
            self._makers[f"grad:{self._last}"] = lambda v: self._sum(*(made(v) for made in self._readers))

    def _gather(self, where: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """Reads rows of the sequence output; and takes their gradients back to them."""
        T, H = self._case.batch.input_ids.size, self._case.config.hidden_size

        def back(dy: Array) -> Array:
            gather = self._ops.gather
            return gather.backward(dy, gather.forward(self._zeros(T, H), where)[1]).x

        return lambda x: self._ops.gather.forward(x, where)[0], back

    def _pooler(self) -> None:
        dense = "bert.pooler.dense."
        read, spread = self._gather(self._x.layout.first)
        pooler = self._dense(self._last, "pooled_pre", dense + "weight", dense + "bias", read=read)
        name = self._s.config.variant.pooled_by
        op, cached = ACTIVATIONS[name]
        self._makers["pooled"] = lambda v: getattr(self._ops, name).forward(v["pooled_pre"])[0]
        self._makers["grad:pooled_pre"] = lambda v: op.backward(self._xp, v["grad:pooled"], cached(v["pooled"])).x
        self._readers.append(lambda v: spread(pooler(v)))

    def _masked_lm(self) -> None:
        transform = TRANSFORM + "dense."
        read, spread = self._gather(self._targets.positions)
        fused = "bias_activation" in self._kernels
        dense = self._dense(self._last, "mlm.dense", transform + "weight", transform + "bias", read=read, fused=fused)
        self._readers.append(lambda v: spread(dense(v)))
        self._activation("mlm.dense", "mlm.act")
        self._norm("mlm.act", "mlm.transform", TRANSFORM + "LayerNorm")
        table = decoder_name(self._p)
        looked_up = self._makers.pop(f"grad:{WORD_EMBEDDINGS}") if table == WORD_EMBEDDINGS else None
        if "decoder_cross_entropy" in self._kernels:
            return
        self._makers["grad:mlm.transform"] = self._dense("mlm.transform", "mlm.logits", table, DECODER_BIAS)
        if looked_up is not None:
            compared = self._makers[f"grad:{table}"]
            self._makers[f"grad:{table}"] = lambda v: self._sum(looked_up(v), compared(v))

    # -- objectives --------------------------------------------------------------------------------------------------

    def _task(self, objective: HeadObjective) -> None:
        """A head that is a dense layer, and its loss."""
        head, targets = objective.head, self._targets
        weight, bias = head.parameters
        logits = head.rows[0].name
        dense = self._dense("pooled" if head.pooler else self._last, logits, weight, bias)
        if head.pooler:
            self._makers["grad:pooled"] = dense
        else:
            self._readers.append(dense)

        def compared(v: Values) -> Any:
            return objective.compare(self._ops, v[logits], targets)

        self._makers["loss.total"] = lambda v: compared(v).loss
        self._makers[f"grad:{logits}"] = lambda v: (
            objective.compare_backward(self._ops, v["grad:loss.total"], compared(v).cache)
        )

    def _pretraining(self, *, next_sentence: bool) -> None:
        """Masked words with or without next sentences."""
        t, nsp = self._targets, "cls.seq_relationship."
        if next_sentence:
            self._makers["grad:pooled"] = self._dense("pooled", "nsp.logits", nsp + "weight", nsp + "bias")
            self._loss("nsp", t.next_sentence, None, t.nsp_denominator)
            self._makers["loss.total"] = lambda v: self._sum(v["loss.mlm"], v["loss.nsp"])
        if "decoder_cross_entropy" not in self._kernels:
            self._loss("mlm", t.ids, t.weights, t.mlm_denominator)

    def _loss(self, which: str, labels: Array, weights: Array | None, denominator: Array) -> None:
        op, logits = self._ops.cross_entropy, f"{which}.logits"

        def run(v: Values) -> Any:
            return op.forward(v[logits], labels, weights, denominator)

        self._makers[f"loss.{which}"] = lambda v: run(v)[0]
        self._makers[f"grad:{logits}"] = lambda v: op.backward(v[f"grad:loss.{which}"], run(v)[1]).logits
