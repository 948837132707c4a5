"""Inputs of every op: a sampler each, which the goldens and the property tests share.

A sampler draws arrays of given sizes (the legend's letters) from a generator. What the formulas are sensitive
to is never trivial: gamma, beta and biases are away from 1 and 0, ids repeat, prediction slots are unused,
sequences end early.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOAT32_MIN = -3.4028234663852886e38
"""Hugging Face's mask value."""


@dataclass(frozen=True)
class OpCase:
    """Arguments of an op's forward by name: arrays (None where an optional one is absent) and options."""

    inputs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


Sampler = Callable[..., OpCase]
Random = np.random.Generator


def dense(rng: Random, B: int, S: int, I: int, O: int, bias: bool = True) -> OpCase:  # noqa: E741
    b = rng.normal(size=O) if bias else None
    return OpCase({"x": rng.normal(size=(B, S, I)), "weight": rng.normal(size=(O, I)), "bias": b})


def embedding(rng: Random, V: int, N: int, H: int) -> OpCase:
    return OpCase({"table": rng.normal(size=(V, H)), "ids": rng.integers(0, V, size=N)})


def layer_norm(rng: Random, B: int, S: int, H: int, eps: float = 1e-12) -> OpCase:
    return OpCase({"x": _rows(rng, B, S, H), **_affine(rng, H)}, {"eps": eps})


def elementwise(rng: Random, B: int, H: int, spread: float = 1.5) -> OpCase:
    return OpCase({"x": spread * rng.normal(size=(B, H))})


def relu(rng: Random, B: int, H: int) -> OpCase:
    return OpCase({"x": _off_zero(rng, (B, H))})


def rows(rng: Random, B: int, N: int, spread: float = 1.5) -> OpCase:
    return OpCase({"x": spread * rng.normal(size=(B, N))})


def masked_rows(rng: Random, B: int, N: int) -> OpCase:
    """Rows with some -inf; the last is nothing else."""
    x = np.where(rng.random((B, N)) < 0.3, -np.inf, 2 * rng.normal(size=(B, N)))
    return OpCase({"x": np.where(np.arange(B)[:, None] == B - 1, -np.inf, x)})


def dropout(rng: Random, B: int, S: int, H: int, keep: bool = True) -> OpCase:
    kept = rng.random((B, S, H)) < 0.8 if keep else None
    return OpCase({"x": rng.normal(size=(B, S, H)), "keep": kept}, {"scale": 1.25})


def add(rng: Random, B: int, H: int) -> OpCase:
    return OpCase({"a": rng.normal(size=(B, H)), "b": rng.normal(size=(B, H))})


def gather(rng: Random, T: int, N: int, H: int) -> OpCase:
    index = rng.integers(0, T, size=N)
    index[N // 2 :] = 0  # unused prediction slots
    return OpCase({"x": rng.normal(size=(T, H)), "index": index})


def pack(rng: Random, B: int, S: int, H: int) -> OpCase:
    indices = _packing(rng, B, S)
    return OpCase({"x": rng.normal(size=(B * S, H)), **indices})


def unpack(rng: Random, B: int, S: int, H: int) -> OpCase:
    indices = _packing(rng, B, S)
    return OpCase({"x": rng.normal(size=(len(indices["places"]), H)), **indices})


def cross_entropy(rng: Random, N: int, C: int, weights: bool = True, spread: float = 2.0) -> OpCase:
    return OpCase(
        {
            "logits": spread * rng.normal(size=(N, C)),
            "labels": rng.integers(0, C, size=N),
            **_weights(rng, N, weights),
        }
    )


def span_cross_entropy(rng: Random, B: int, S: int, weights: bool = True, spread: float = 2.0) -> OpCase:
    logits = {name: spread * rng.normal(size=(B, S)) for name in ("start_logits", "end_logits")}
    positions = {name: rng.integers(0, S, size=B) for name in ("start_positions", "end_positions")}
    return OpCase({**logits, **positions, **_weights(rng, B, weights)})


def squared_error(rng: Random, N: int) -> OpCase:
    x, targets = rng.normal(size=(2, N))
    return OpCase({"predictions": x, "targets": targets, "denominator": np.asarray(N + 0.5)})


def binary_cross_entropy(rng: Random, N: int, C: int, spread: float = 2.0) -> OpCase:
    """Labels, and some probabilities among them."""
    labels = rng.integers(0, 2, size=(N, C)).astype(float)
    targets = np.where(rng.random((N, C)) < 0.25, rng.random((N, C)), labels)
    return OpCase(
        {"logits": spread * rng.normal(size=(N, C)), "targets": targets, "denominator": np.asarray(N * C + 0.5)}
    )


def soft_cross_entropy(rng: Random, N: int, C: int, spread: float = 2.0) -> OpCase:
    """Targets of which some are 0 and whose rows don't sum to 1; some rows don't count."""
    targets = np.where(rng.random((N, C)) < 0.25, 0.0, rng.uniform(0.1, 1, size=(N, C)))
    counted = rng.random((N, 1)) < 0.7
    return OpCase(
        {
            "logits": spread * rng.normal(size=(N, C)),
            "targets": targets * counted,
            "denominator": np.asarray(N + 1.5),
        }
    )


def kl_divergence(rng: Random, N: int, C: int, temperature: float = 2.0, spread: float = 2.0) -> OpCase:
    logits, teacher = spread * rng.normal(size=(2, N, C))
    return OpCase(
        {"logits": logits, "teacher_logits": teacher, **_weights(rng, N, True)}, {"temperature": temperature}
    )


def cosine(rng: Random, N: int, H: int, eps: float = 1e-12) -> OpCase:
    """Vectors of every length, none near 0 and no two that point the same way: their distance would be rounding."""
    x, target = _off_zero(rng, (2, N, H)) * rng.uniform(0.5, 3, size=(2, N, 1))
    target = np.abs(target) * np.where(np.arange(H) % 2 == 0, -np.sign(x), np.sign(x))
    return OpCase({"x": x, "target": target, **_weights(rng, N, True)}, {"eps": eps})


def attention(
    rng: Random,
    B: int,
    S: int,
    A: int,
    D: int,
    mask_value: float = FLOAT32_MIN,
    keep: bool = True,
    scale_query: bool = False,
    fully_masked: bool = False,
) -> OpCase:
    q, k, v = rng.normal(size=(3, B, S, A * D))
    lengths = rng.integers(1, S + 1, size=B)
    if fully_masked:
        lengths[-1:] = 0
    kept = rng.random((B, A, S, S)) < 0.8 if keep else None
    return OpCase(
        {"query": q, "key": k, "value": v, "mask": np.arange(S) < lengths[:, None], "keep": kept},
        {"heads": A, "scale": 1 / float(np.sqrt(D)), "mask_value": mask_value, "scale_query": scale_query,
         "dropout_scale": 1.25 if keep else 1.0},
    )  # fmt: skip


def bias_activation(rng: Random, B: int, S: int, I: int, activation: str = "gelu_erf") -> OpCase:  # noqa: E741
    bias = rng.normal(size=I)
    return OpCase({"x": _off_zero(rng, (B, S, I)) - bias, "bias": bias}, {"activation": activation})


def dropout_add_norm(rng: Random, B: int, S: int, H: int, keep: bool = True, eps: float = 1e-12) -> OpCase:
    kept = rng.random((B, S, H)) < 0.8 if keep else None
    scale = 1.25 if keep else 1.0
    residual = 0.5 * rng.normal(size=(B, S, H))
    # the sum, not x, is what gets normalised: it keeps its distance from a constant row whatever is dropped
    target = _rows(rng, B, S, H)
    x = (target - residual) / scale
    if kept is not None:
        residual = np.where(kept, residual, target)
    return OpCase({"x": x, "residual": residual, "keep": kept, **_affine(rng, H)}, {"scale": scale, "eps": eps})


def decoder_cross_entropy(rng: Random, N: int, V: int, H: int) -> OpCase:
    arrays = {"x": rng.normal(size=(N, H)), "table": rng.normal(size=(V, H)), "bias": rng.normal(size=V)}
    return OpCase({**arrays, "labels": rng.integers(0, V, size=N), **_weights(rng, N, True)})


def _affine(rng: Random, H: int) -> dict[str, Any]:
    return {"gamma": 1 + 0.5 * rng.normal(size=H), "beta": rng.normal(size=H)}


def _rows(rng: Random, B: int, S: int, H: int) -> Any:
    """Rows that are never close to constant: shuffled distinct numbers, blurred."""
    distinct = np.broadcast_to(np.arange(H), (B, S, H))
    return 0.7 * rng.permuted(distinct, axis=-1) + 0.2 * rng.uniform(-1, 1, size=(B, S, H))


def _off_zero(rng: Random, shape: tuple[int, ...]) -> Any:
    """Numbers of both signs, none near the corner of the ReLU."""
    return rng.choice([-1.0, 1.0], size=shape) * (0.15 + np.abs(rng.normal(size=shape)))


def _weights(rng: Random, N: int, weights: bool) -> dict[str, Any]:
    """About a third of the rows don't count; the denominator is not what the op could work out for itself."""
    w = np.where(rng.random(N) < 0.35, 0.0, rng.uniform(0.5, 2, size=N)) if weights else None
    return {"weights": w, "denominator": np.asarray(N + 1.5)}


def _packing(rng: Random, B: int, S: int) -> dict[str, Any]:
    lengths = rng.integers(1, S + 1, size=B)
    valid = (np.arange(S) < lengths[:, None]).reshape(B * S)
    slots = np.where(valid, np.cumsum(valid) - 1, 0)
    return {"slots": slots, "valid": valid, "places": np.flatnonzero(valid)}


@dataclass(frozen=True)
class OpInputs:
    """How an op's inputs are drawn: the sampler, its sizes, which may be 0, and what has a gradient."""

    sampler: Sampler
    sizes: str
    may_be_empty: str
    differentiable: tuple[str, ...]


INPUTS = {
    "dense": OpInputs(dense, "BSIO", "B", ("x", "weight", "bias")),
    "embedding": OpInputs(embedding, "VNH", "N", ("table",)),
    "layer_norm": OpInputs(layer_norm, "BSH", "B", ("x", "gamma", "beta")),
    "gelu_erf": OpInputs(elementwise, "BH", "B", ("x",)),
    "gelu_tanh": OpInputs(elementwise, "BH", "B", ("x",)),
    "tanh": OpInputs(elementwise, "BH", "B", ("x",)),
    "relu": OpInputs(relu, "BH", "B", ("x",)),
    "softmax": OpInputs(rows, "BN", "B", ("x",)),
    "log_softmax": OpInputs(rows, "BN", "B", ("x",)),
    "dropout": OpInputs(dropout, "BSH", "B", ("x",)),
    "add": OpInputs(add, "BH", "B", ("a", "b")),
    "gather": OpInputs(gather, "TNH", "N", ("x",)),
    "pack": OpInputs(pack, "BSH", "B", ("x",)),
    "unpack": OpInputs(unpack, "BSH", "B", ("x",)),
    "cross_entropy": OpInputs(cross_entropy, "NC", "N", ("logits",)),
    "span_cross_entropy": OpInputs(span_cross_entropy, "BS", "B", ("start_logits", "end_logits")),
    "squared_error": OpInputs(squared_error, "N", "N", ("predictions",)),
    "binary_cross_entropy": OpInputs(binary_cross_entropy, "NC", "N", ("logits",)),
    "soft_cross_entropy": OpInputs(soft_cross_entropy, "NC", "N", ("logits",)),
    "kl_divergence": OpInputs(kl_divergence, "NC", "N", ("logits",)),
    "cosine": OpInputs(cosine, "NH", "N", ("x",)),
    "attention": OpInputs(attention, "BSAD", "B", ("query", "key", "value")),
    "bias_activation": OpInputs(bias_activation, "BSI", "B", ("x", "bias")),
    "dropout_add_norm": OpInputs(dropout_add_norm, "BSH", "B", ("x", "residual", "gamma", "beta")),
    "decoder_cross_entropy": OpInputs(decoder_cross_entropy, "NVH", "N", ("x", "table", "bias")),
}
