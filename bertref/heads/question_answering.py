"""Where an answer starts and ends: two vectors with which every token is compared.

    logits = x Wᵀ + b                          (T, 2), column 0: the answer starts here, column 1: it ends here

Nothing is dropped before it, in neither original; DistilBERT drops at a rate of its own. The rows are those of the
layout; a softmax over positions needs a rectangle (`probes.padded`) and something said about padding, which is the
objective's or the reader's business.

Source: Devlin et al. 2019, section 4.2 (S and E); `run_squad.py`, `create_model`; transformers,
`BertForQuestionAnswering`.
"""

import numpy as np

from ..arrays import Array
from ..dropout import Dropout
from ..layers import Settings
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe, padded
from ..row import DENSE, TensorRow, weight_and_bias
from . import dropped_dense
from .dropped_dense import DroppedDenseCache
from .head import Head, Use

WEIGHT, BIAS = "qa_outputs.weight", "qa_outputs.bias"
SPAN_LOGITS = "qa.logits"
"""The probe, (B, S, 2)."""


def question_answering_forward(
    ops: OpSet, params: dict[str, Array], sequence: Array, probe: Probe | None = None, *, dropout: Dropout | None = None
) -> tuple[Array, DroppedDenseCache]:
    """sequence (T, H) -> logits (T, 2), start and end."""
    logits, cache = dropped_dense.forward(ops, params[WEIGHT], params[BIAS], sequence, dropout, tokens=True)
    if probe:
        probe.rows(SPAN_LOGITS, logits)
    return logits, cache


def question_answering_backward(
    ops: OpSet, dlogits: Array, cache: DroppedDenseCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (T, 2) -> gradient of the sequence (T, H) and of the head's parameters."""
    if probe:
        probe.rows(SPAN_LOGITS, dlogits)
    dx, weight, bias = dropped_dense.backward(ops, dlogits, cache)
    return dx, {WEIGHT: weight, BIAS: bias}


def _answer(
    ops: OpSet, params: dict[str, Array], sequence: Array, settings: Settings, layout: Layout, probe: Probe | None
) -> dict[str, Array]:
    xp = ops.xp
    both, _ = question_answering_forward(ops, params, sequence, probe)
    found = {}
    for column, name in enumerate(OUTPUTS):
        one = xp.take(both, xp.from_numpy(np.array([column])), axis=1)
        found[name] = xp.reshape(padded(xp, one, layout), (layout.batch, layout.length))
    return found


OUTPUTS = ("start_logits", "end_logits")
QUESTION_ANSWERING = Head(
    name="question_answering",
    parameters={WEIGHT: ("2", "H"), BIAS: ("2",)},
    architectures=("BertForQuestionAnswering",),
    pooler=False,
    task="question-answering",
    use=Use("answer questions", '--question "Who left?" --context "Ada left."'),
    outputs=OUTPUTS,
    forward=question_answering_forward,
    backward=question_answering_backward,
    answer=_answer,
    rows=(
        TensorRow(SPAN_LOGITS, "dense", ("{x}",), weight_and_bias("qa_outputs", "qa"), "B S 2", "tokens", SPAN_LOGITS,
                  (DENSE,), "qa_outputs"),
    ),
    tensorflow={WEIGHT: "cls/squad/output_weights", BIAS: "cls/squad/output_bias"},
)  # fmt: skip
