"""Initial weights: every parameter from its own random stream.

A parameter's numbers depend on the seed, its name and its shape, and on nothing else in the model: adding a
layer or a head changes no other weight (`heads.canonical_number`, `rng.STREAMS["initial_weights"]`). They
are drawn in float64 and rounded once, so float32 and float64 models start from the same weights.

The initialiser of a dialect is the whole habit of its reference:

- truncated_normal, Google's: N(0, σ²), and what falls beyond 2σ is drawn again
  (tf.truncated_normal_initializer). σ is the deviation before truncation; afterwards it is 0.8796 σ. All
  rows of the word embeddings are drawn.
- normal, Hugging Face's: N(0, σ²), and the word embedding of the padding token is 0 (`padding_idx` of
  torch.nn.Embedding). The row is no constant: the tied decoder trains it as the output vector of [PAD].

In both, σ is the configuration's `initializer_range`, biases are 0, and layer norms are the identity.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .config import BertConfig, Numerics
from .errors import InputError
from .heads import canonical_number, parameter_shapes
from .rng import generator

CUT = 2.0
"""Where the truncated normal ends, in standard deviations before truncation."""

WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


def initial_parameters(
    config: BertConfig,
    numerics: Numerics,
    seed: int,
    *,
    heads: Sequence[str] = ("pretraining",),
    num_labels: int = 2,
    dtype: str = "float32",
) -> dict[str, np.ndarray[Any, Any]]:
    """A new model's parameters on the host, in `dtype` ("float32" or "float64"): see
    `heads.parameter_shapes`.

    The same seed gives the same bits on every machine with the same NumPy. Raises `InputError` for another
    dtype.
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"initial weights: dtype {dtype!r}; master weights are float32 or float64")
    shapes = parameter_shapes(config, heads, num_labels=num_labels)
    return {
        name: initial_parameter(name, shape, config, numerics, seed).astype(dtype, copy=False)
        for name, shape in shapes.items()
    }


def initial_parameter(
    name: str, shape: tuple[int, ...], config: BertConfig, numerics: Numerics, seed: int
) -> np.ndarray[Any, Any]:
    """One parameter in float64: for heads that are added to a loaded encoder, too."""
    if name.endswith("bias"):
        return np.zeros(shape)
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape)
    random = generator(seed, "initial_weights", step=canonical_number(name))
    if numerics.initializer == "truncated_normal":
        return config.initializer_range * truncated_normal(random, shape)
    weights = config.initializer_range * random.standard_normal(shape)
    if name == WORD_EMBEDDINGS:
        weights[config.pad_token_id] = 0.0
    return weights


def truncated_normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """N(0, 1) conditioned on [-2, 2]: 4.6 % fall outside and are drawn again, together, until none is left.

    The draws come in a fixed order (all elements, then those that failed, in row-major order), so the result
    is a function of the generator's state.
    """
    values = random.standard_normal(shape).reshape(-1)
    failed = np.flatnonzero(np.abs(values) > CUT)
    while failed.size:
        values[failed] = random.standard_normal(failed.size)
        failed = failed[np.abs(values[failed]) > CUT]
    return values.reshape(shape)
