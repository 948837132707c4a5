"""Next sentence prediction, on the pooled output.

    logits = pooled Wᵀ + b                     (B, 2), class 1 = a random sentence

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py`, `get_next_sentence_output`.
"""

from typing import Any

from ..arrays import Array
from ..opset import OpSet
from ..probes import Probe

NEXT_SENTENCE = "cls.seq_relationship."


def next_sentence_forward(
    ops: OpSet, params: dict[str, Array], pooled: Array, probe: Probe | None = None
) -> tuple[Array, Any]:
    """pooled (B, H) -> logits (B, 2)."""
    logits, cache = ops.dense.forward(pooled, params[NEXT_SENTENCE + "weight"], params[NEXT_SENTENCE + "bias"])
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
    return dense.x, {NEXT_SENTENCE + "weight": dense.weight, NEXT_SENTENCE + "bias": dense.bias}
