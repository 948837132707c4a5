"""The ops at 60 digits, in mpmath: definitions without any trick for rounding, and gradients without any
formula.

A definition here is the plainest there is (softmax without a shift, attention as loops over sequences and
heads, GELU through the normal distribution), since nothing overflows and nothing cancels that matters. A
gradient is the central difference (L(x+h) - L(x-h)) / 2h of L = Σ dy y with h = 1e-20 at 60 digits, so it is
right to about 40 digits, and no derivation that a backward pass may have wrong is repeated.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import mpmath
import numpy as np
from mpmath import mp

DIGITS = 60
STEP = mpmath.mpf(10) ** -20
RESOLUTION = mpmath.mpf(10) ** -36
"""Central differences below this share of Σ |dy| (1 + |y|) are noise around a derivative that is 0."""
REMNANT = mpmath.mpf(10) ** -50

Exact: TypeAlias = Any
"""A NumPy array of mpf."""
HostArray: TypeAlias = "np.ndarray[Any, Any]"

_exp, _log, _tanh, _mpf = (np.frompyfunc(f, 1, 1) for f in (mp.exp, mp.log, mp.tanh, mpmath.mpf))


def raised(array: HostArray) -> Exact:
    """float64 -> mpf, exactly."""
    return np.asarray(_mpf(array), dtype=object)


def rounded(array: Exact) -> HostArray:
    """mpf -> the nearest float64; what is left of numbers that cancel entirely (log exp x - x) is 0."""
    return np.asarray(np.where(np.abs(array) < REMNANT, 0 * array, array), dtype=np.float64)


def dense(x: Exact, weight: Exact, bias: Exact | None) -> Exact:
    y = x @ weight.T
    return y if bias is None else y + bias


def embedding(table: Exact, ids: Exact) -> Exact:
    return np.stack([table[i] for i in ids])


def layer_norm(x: Exact, gamma: Exact, beta: Exact, *, eps: float) -> Exact:
    H = x.shape[-1]
    mean = x.sum(axis=-1, keepdims=True) / H
    variance = (x * x).sum(axis=-1, keepdims=True) / H - mean * mean
    return gamma * (x - mean) / (variance + mpmath.mpf(eps)) ** mpmath.mpf(0.5) + beta


def gelu_erf(x: Exact) -> Exact:
    return x * np.frompyfunc(mp.ncdf, 1, 1)(x)


def gelu_tanh(x: Exact) -> Exact:
    inner = mp.sqrt(2 / mp.pi) * (x + mpmath.mpf("0.044715") * x**3)
    return x / (1 + _exp(-2 * inner))


def tanh(x: Exact) -> Exact:
    return _tanh(x)


def relu(x: Exact) -> Exact:
    return np.where(x > 0, x, 0 * x)


def softmax(x: Exact) -> Exact:
    exponentials = _exp(x)
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total == 0, total + 1, total)


def log_softmax(x: Exact) -> Exact:
    return x - _log(_exp(x).sum(axis=-1, keepdims=True))


def dropout(x: Exact, keep: Any, *, scale: float) -> Exact:
    return x if keep is None else x * keep.astype(int) * mpmath.mpf(scale)


def add(a: Exact, b: Exact) -> Exact:
    return a + b


def gather(x: Exact, index: Any) -> Exact:
    return np.stack([x[i] for i in index])


def unpack(x: Exact, slots: Any, valid: Any, places: Any) -> Exact:
    y = raised(np.zeros((len(valid), x.shape[1])))
    for t, place in enumerate(places):
        y[place] = x[t]
    return y


def pack(x: Exact, slots: Any, valid: Any, places: Any) -> Exact:
    return np.stack([row for row, real in zip(x, valid, strict=True) if real])


def cross_entropy(logits: Exact, labels: Any, weights: Exact | None, denominator: Exact) -> Exact:
    loss = mpmath.mpf(0)
    for n, label in enumerate(labels):
        weight = 1 if weights is None else weights[n]
        loss += weight * (mp.log(_exp(logits[n]).sum()) - logits[n][label])
    return np.asarray(loss / denominator.item(), dtype=object)


def span_cross_entropy(
    start_logits: Exact,
    end_logits: Exact,
    start_positions: Any,
    end_positions: Any,
    weights: Any,
    denominator: Exact,
) -> Exact:
    start = cross_entropy(start_logits, start_positions, weights, denominator)
    end = cross_entropy(end_logits, end_positions, weights, denominator)
    return np.asarray((start + end) / 2, dtype=object)


def squared_error(predictions: Exact, targets: Exact, denominator: Exact) -> Exact:
    return np.asarray(((predictions - targets) ** 2).sum() / denominator.item(), dtype=object)


def binary_cross_entropy(logits: Exact, targets: Exact, denominator: Exact) -> Exact:
    yes = 1 / (1 + _exp(-logits))
    losses = -targets * _log(yes) - (1 - targets) * _log(1 - yes)
    return np.asarray(losses.sum() / denominator.item(), dtype=object)


def soft_cross_entropy(logits: Exact, targets: Exact, denominator: Exact) -> Exact:
    return np.asarray(-(targets * _log(softmax(logits))).sum() / denominator.item(), dtype=object)


def kl_divergence(
    logits: Exact, teacher_logits: Exact, weights: Exact, denominator: Exact, *, temperature: float
) -> Exact:
    T = mpmath.mpf(temperature)
    p, q = softmax(teacher_logits / T), softmax(logits / T)
    divergences = (p * _log(p / q)).sum(axis=-1)
    return np.asarray(T**2 * (weights * divergences).sum() / denominator.item(), dtype=object)


def cosine(x: Exact, target: Exact, weights: Exact, denominator: Exact, *, eps: float) -> Exact:
    loss = mpmath.mpf(0)
    for a, t, weight in zip(x, target, weights, strict=True):
        lengths = mp.sqrt(((a * a).sum() + mpmath.mpf(eps)) * ((t * t).sum() + mpmath.mpf(eps)))
        loss += weight * (1 - (a * t).sum() / lengths)
    return np.asarray(loss / denominator.item(), dtype=object)


def attention(
    query: Exact,
    key: Exact,
    value: Exact,
    mask: Any,
    keep: Any,
    *,
    heads: int,
    scale: float,
    mask_value: float,
    dropout_scale: float,
    scale_query: bool,
) -> Exact:
    B, S, H = query.shape
    D = H // heads
    context = np.empty((B, S, H), dtype=object)
    for b in range(B):
        added = [mpmath.mpf(0 if token else mask_value) for token in mask[b]]
        for a in range(heads):
            columns = slice(a * D, (a + 1) * D)
            q, k, v = (array[b, :, columns] for array in (query, key, value))
            probabilities = softmax(q @ k.T * mpmath.mpf(scale) + added)
            context[b, :, columns] = (
                dropout(probabilities, None if keep is None else keep[b, a], scale=dropout_scale) @ v
            )
    return context


def bias_activation(x: Exact, bias: Exact, *, activation: str) -> Exact:
    return {"gelu_erf": gelu_erf, "gelu_tanh": gelu_tanh, "relu": relu, "tanh": tanh}[activation](x + bias)


def dropout_add_norm(
    x: Exact, residual: Exact, keep: Any, gamma: Exact, beta: Exact, *, scale: float, eps: float
) -> Exact:
    return layer_norm(dropout(x, keep, scale=scale) + residual, gamma, beta, eps=eps)


def decoder_cross_entropy(
    x: Exact, table: Exact, bias: Exact, labels: Any, weights: Exact, denominator: Exact
) -> Exact:
    return cross_entropy(dense(x, table, bias), labels, weights, denominator)


EXACT: dict[str, Callable[..., Exact]] = {
    f.__name__: f
    for f in (
        *(dense, embedding, layer_norm, gelu_erf, gelu_tanh, tanh, relu, softmax, log_softmax, dropout, add),
        *(gather, pack, unpack, cross_entropy, span_cross_entropy, squared_error),
        *(binary_cross_entropy, soft_cross_entropy, kl_divergence, cosine),
        *(attention, bias_activation, dropout_add_norm, decoder_cross_entropy),
    )
}


def solve(
    op: str, inputs: dict[str, Any], options: dict[str, Any], wrt: tuple[str, ...], upstream: HostArray
) -> tuple[HostArray, dict[str, HostArray]]:
    """Output and gradients of one case, each the float64 nearest to the exact value."""
    with mp.workdps(DIGITS):
        exact = {name: _raised_if_real(array) for name, array in inputs.items()}
        dy = raised(upstream)
        y = EXACT[op](**exact, **options)
        noise = RESOLUTION * np.sum(np.abs(dy) * (1 + np.abs(y)))
        gradients = {}
        for name in wrt:
            if exact[name] is not None:
                gradients[name] = _gradient(op, exact, options, name, dy, noise)
        return rounded(y), gradients


def _raised_if_real(array: Any) -> Any:
    return raised(array) if array is not None and array.dtype.kind == "f" else array


def _gradient(
    op: str, inputs: dict[str, Exact], options: dict[str, Any], name: str, dy: Exact, noise: mpmath.mpf
) -> HostArray:
    gradient = np.zeros(inputs[name].shape)
    for place in np.ndindex(gradient.shape):
        ends = []
        for sign in (1, -1):
            moved = inputs[name].copy()
            moved[place] += sign * STEP
            ends.append(np.sum(dy * EXACT[op](**{**inputs, name: moved}, **options)))
        slope = (ends[0] - ends[1]) / (2 * STEP)
        gradient[place] = 0.0 if abs(slope) < noise else float(slope)
    return gradient
