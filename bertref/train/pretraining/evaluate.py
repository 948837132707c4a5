"""Evaluation: the four figures of the original over a set of batches, with dropout off.

Source: `run_pretraining.py`, `metric_fn`: masked_lm_accuracy, masked_lm_loss, next_sentence_accuracy,
next_sentence_loss, each a mean over the whole set.
"""

from collections.abc import Iterable

import numpy as np

from ...arrays import Array
from ...data.pretraining.batch import PretrainingBatch
from ...layers import Settings
from ...losses import pretraining
from ...metrics import PretrainingMetrics
from ...opset import OpSet
from ...probes import Recorder


def batch_metrics(ops: OpSet, logits: dict[str, Array], batch: PretrainingBatch) -> PretrainingMetrics:
    """The figures of one batch from its probes `mlm.logits` (B, P, V) and `nsp.logits` (B, 2)."""
    xp = ops.xp

    def judged(values: Array, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_probs, _ = ops.log_softmax.forward(values)
        ids = xp.from_numpy(labels.astype(np.int64))
        chosen = xp.take_along_axis(log_probs, xp.expand_dims(ids, axis=-1), axis=-1)
        return xp.to_numpy(xp.argmax(values, axis=-1)), -xp.to_numpy(xp.squeeze(chosen, axis=-1))

    words, word_losses = judged(logits["mlm.logits"], np.asarray(batch.masked_lm_ids))
    labels, label_losses = judged(logits["nsp.logits"], np.asarray(batch.next_sentence_label))
    metrics = PretrainingMetrics().add_masked_lm(words, batch.masked_lm_ids, word_losses, batch.masked_lm_weights)
    return metrics.add_next_sentence(labels, batch.next_sentence_label, label_losses)


def evaluate(
    ops: OpSet,
    params: dict[str, Array],
    batches: Iterable[PretrainingBatch],
    settings: Settings,
    *,
    packed: bool = False,
) -> PretrainingMetrics:
    """The figures over all batches; `params` in the dtype to compute in."""
    total = PretrainingMetrics()
    for batch in batches:
        recorder = Recorder({"mlm.logits", "nsp.logits"})
        pretraining(ops, params, batch, settings, packed=packed, recorder=recorder, gradients=False)
        total = total + batch_metrics(ops, recorder.values, batch)
    return total
