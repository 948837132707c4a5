"""Where an answer starts and ends: two vectors with which every token is compared.

    logits = x Wᵀ + b                          (T, 2), column 0: the answer starts here, column 1: it ends here

Nothing is dropped before it, in neither original. The rows are those of the layout; a softmax over positions needs a
rectangle (`probes.padded`) and something said about padding, which is the objective's or the reader's business.

Source: Devlin et al. 2019, section 4.2 (S and E); `run_squad.py`, `create_model`; transformers,
`BertForQuestionAnswering`.
"""

from typing import Any

from ..arrays import Array
from ..opset import OpSet
from ..probes import Probe

SPAN = "qa_outputs."
SPAN_LOGITS = "qa.logits"
"""The probe, (B, S, 2)."""


def question_answering_forward(
    ops: OpSet, params: dict[str, Array], sequence: Array, probe: Probe | None = None
) -> tuple[Array, Any]:
    """sequence (T, H) -> logits (T, 2), start and end."""
    logits, cache = ops.dense.forward(sequence, params[SPAN + "weight"], params[SPAN + "bias"])
    if probe:
        probe.rows(SPAN_LOGITS, logits)
    return logits, cache


def question_answering_backward(
    ops: OpSet, dlogits: Array, cache: Any, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (T, 2) -> gradient of the sequence (T, H) and of the head's parameters."""
    if probe:
        probe.rows(SPAN_LOGITS, dlogits)
    dense = ops.dense.backward(dlogits, cache)
    return dense.x, {SPAN + "weight": dense.weight, SPAN + "bias": dense.bias}
