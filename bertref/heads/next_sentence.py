"""Next sentence prediction, on the pooled output.

    logits = pooled Wᵀ + b                     (B, 2), class 1 = a random sentence

ALBERT's prediction of the order of sentences is the same head behind dropout: class 1 = the two have changed places.

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_next_sentence_output`; Lan et al. 2020, section 3.1.
"""

from ..arrays import Array
from ..dropout import Dropout
from ..layers import Settings
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe
from ..row import DENSE, TensorRow, weight_and_bias
from . import dropped_dense
from .dropped_dense import DroppedDenseCache
from .head import Head, Use

WEIGHT, BIAS = "cls.seq_relationship.weight", "cls.seq_relationship.bias"


def next_sentence_forward(
    ops: OpSet, params: dict[str, Array], pooled: Array, probe: Probe | None = None, *, dropout: Dropout | None = None
) -> tuple[Array, DroppedDenseCache]:
    """pooled (B, H) -> logits (B, 2)."""
    logits, cache = dropped_dense.forward(ops, params[WEIGHT], params[BIAS], pooled, dropout, tokens=False)
    if probe:
        probe.array("nsp.logits", logits)
    return logits, cache


def next_sentence_backward(
    ops: OpSet, dlogits: Array, cache: DroppedDenseCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (B, 2) -> gradient of the pooled output and of the head's parameters."""
    if probe:
        probe.array("nsp.logits", dlogits)
    dx, weight, bias = dropped_dense.backward(ops, dlogits, cache)
    return dx, {WEIGHT: weight, BIAS: bias}


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
