"""Small models with every kind of head, their batches, and what the plain NumPy model answers."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bertref import backends
from bertref.config import BertConfig, Numerics
from bertref.heads import parameter_shapes
from bertref.layers import Settings
from bertref.layout import inputs
from bertref.onnx_export import INPUTS
from bertref.onnx_export.answers import answers
from bertref.opset import OpSet
from bertref.topology import probe_names

from ..model_cases import Arrays, error

HEADS: tuple[tuple[str, ...], ...] = (
    (),
    ("pooler",),
    ("pretraining",),
    ("masked_lm",),
    ("next_sentence",),
    ("sequence_classification",),
    ("multiple_choice",),
    ("token_classification",),
    ("question_answering",),
    ("pretraining", "sequence_classification", "question_answering"),
)
LABELS = 5
SIZES = ((11, 7, 3, 9), (1,), (16, 16), (2, 5, 4), (6, 0, 3))
"""Lengths of the rows of some batches; the longest makes the width. 0: nothing but padding."""


def weights(config: BertConfig, heads: Sequence[str], seed: int = 0, dtype: str = "float32") -> Arrays:
    """Every parameter random: gains around 1, biases and weights around 0."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2, shape).astype(dtype)
        for name, shape in parameter_shapes(config, heads, num_labels=LABELS).items()
    }


def batch(config: BertConfig, lengths: Sequence[int], seed: int = 0) -> Arrays:
    """Ragged rows; padding holds ids and types as well, which must not matter to the tokens."""
    random = np.random.default_rng(seed)
    shape = (len(lengths), max(lengths))
    return {
        "input_ids": random.integers(0, config.vocab_size, shape),
        "attention_mask": (np.arange(shape[1]) < np.asarray(lengths)[:, None]).astype(np.int64),
        "token_type_ids": random.integers(0, config.type_vocab_size, shape),
    }


def probes_of(config: BertConfig, heads: Sequence[str]) -> list[str]:
    """All probes that a model with these heads has, but the losses."""
    has = {"embeddings": True, "layer": True, "loss": False}
    has |= dict.fromkeys(("pooled", "pooled_pre"), "bert.pooler.dense.bias" in parameter_shapes(config, heads))
    has |= {"mlm": bool({"pretraining", "masked_lm"} & {*heads})}
    has |= {"nsp": bool({"pretraining", "next_sentence"} & {*heads})}
    return [name for name in probe_names(config) if has[name.split(".")[0]]]


def expected(
    params: Arrays, config: BertConfig, numerics: Numerics, arrays: Arrays, heads: Sequence[str],
    probes: Collection[str] = (), dtype: str = "float32",
) -> Arrays:  # fmt: skip
    """The same outputs by the plain ops on NumPy, in `dtype`."""
    ops = OpSet(backends.get("numpy"), kernels=False)
    given = {name: array.astype(dtype) for name, array in params.items()}
    x = inputs(ops.xp, *(arrays[name] for name in INPUTS))
    with np.errstate(over="ignore", invalid="ignore"):
        found = answers(ops, given, x, Settings(config, numerics), heads, probes)
    return {name: np.asarray(value) for name, value in found.items()}


def run(path: Path, arrays: Arrays) -> Arrays:
    """All outputs of the file, by onnxruntime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays), strict=True))


def units(
    path: Path, params: Arrays, config: BertConfig, numerics: Numerics, arrays: Arrays, heads: Sequence[str]
) -> float:
    """The largest relative error of the file's outputs against the float64 model, in units of its type's rounding."""
    got = run(path, arrays)
    want = expected(params, config, numerics, arrays, heads, dtype="float64")
    dtype = got["last_hidden_state"].dtype
    return max(error(got[name].astype(np.float64), want[name]) for name in want) / (float(np.finfo(dtype).eps) / 2)


def check(got: Arrays, want: Arrays, tolerance: float = 2e-6) -> None:
    """The same names, shapes and values."""
    assert set(got) == set(want)
    errors = {name: error(got[name].astype(np.float64), want[name].astype(np.float64)) for name in want}
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] <= tolerance, f"{worst}: relative error {errors[worst]:.1e}"


def named(value: Any) -> str:
    """A test id for a tuple of heads or of lengths."""
    return "+".join(map(str, value)) or "encoder"
