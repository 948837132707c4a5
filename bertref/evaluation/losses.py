"""The loss that right answers have by a model's logits, without smoothing and class weights, in nats."""

import numpy as np
import numpy.typing as npt

from ..metrics.value import Value, mean


def cross_entropy(logits: npt.NDArray[np.float64], targets: npt.NDArray[np.int64]) -> Value:
    """logits (N, K), targets (N,) the numbers of the right ones -> the mean of -log softmax. Of the logits, so that a
    probability of 0 has one."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return mean(-log_probs[np.arange(len(logits)), targets])
