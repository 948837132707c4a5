"""Next sentence prediction, on the pooled output.

    logits = pooled Wᵀ + b                     (B, 2), class 1 = a random sentence

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_next_sentence_output`.
"""

from typing import Any

from ..arrays import Array
from ..layers import Settings
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe
from ..row import DENSE, TensorRow, weight_and_bias
from .head import Head, Use

WEIGHT, BIAS = "cls.seq_relationship.weight", "cls.seq_relationship.bias"


def next_sentence_forward(
    ops: OpSet, params: dict[str, Array], pooled: Array, probe: Probe | None = None
) -> tuple[Array, Any]:
    """pooled (B, H) -> logits (B, 2)."""
    logits, cache = ops.dense.forward(pooled, params[WEIGHT], params[BIAS])
    if probe:
        probe.array("nsp.logits", logits)
    return logits, cache


def next_sentence_backward(
    ops: OpSet, dlogits: Array, cache: Any, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (B, 2) -> gradient of the pooled output and of the head's parameters."""
    if probe:
        probe.array("nsp.logits", dlogits)
    dense = ops.dense.backward(dlogits, cache)
    return dense.x, {WEIGHT: dense.weight, BIAS: dense.bias}


def _answer(
    ops: OpSet, params: dict[str, Array], pooled: Array, settings: Settings, layout: Layout, probe: Probe | None
) -> dict[str, Array]:
    logits, _ = next_sentence_forward(ops, params, pooled, probe)
    return {"seq_relationship_logits": logits}


NEXT_SENTENCE = Head(
    name="next_sentence",
    parameters={WEIGHT: ("2", "H"), BIAS: ("2",)},
    architectures=("BertForNextSentencePrediction",),
    pooler=True,
    task="next-sentence",
    use=Use("judge sentence pairs", '"It rained." --pair "We stayed at home."'),
    outputs=("seq_relationship_logits",),
    forward=next_sentence_forward,
    backward=next_sentence_backward,
    answer=_answer,
    rows=(
        TensorRow("nsp.logits", "dense", ("pooled",), weight_and_bias("cls.seq_relationship", "nsp"), "B 2", "rows",
                  "nsp.logits", (DENSE,), "cls.seq_relationship"),
    ),
    tensorflow={
        WEIGHT: "cls/seq_relationship/output_weights",
        BIAS: "cls/seq_relationship/output_bias",
    },
)  # fmt: skip
