"""Arguments of the ops as they meet them in a training step of a config: the same random arrays for both sides."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig, Numerics
from ..dropout import scale
from .inputs import architecture_of, options
from .job import Job

Case = tuple[dict[str, Any], dict[str, Any]]
"""Arrays by the names of forward's arguments and in their order (None where one is absent), and options."""


ADAMW = "update (adamw)"
"""No op, but a pass over all weights in every step: the optimiser's update of one parameter."""

UPDATES, RATE = 9, 1e-3
"""Updates made before, and the learning rate."""


def cases(job: Job) -> dict[str, Callable[[], Case]]:
    """Op -> what makes its case. T tokens are all of the first batch, padded to its longest sequence."""
    config, numerics = architecture_of(job)
    B, S = len(job.batches[0]), max(job.batches[0])
    N = B * options(job).predictions
    return _Maker(config, numerics, job.seed, B, S, N, np.array(job.batches[0])).table()


class _Maker:
    def __init__(
        self, config: BertConfig, numerics: Numerics, seed: int, B: int, S: int, N: int, lengths: npt.NDArray[Any]
    ) -> None:
        self.config, self.numerics, self.B, self.S, self.N = config, numerics, B, S, N
        self.T, self.H, self.I, self.V = B * S, config.hidden_size, config.intermediate_size, config.vocab_size
        self.random = np.random.default_rng(seed)
        self.lengths = lengths
        self.p = config.hidden_dropout_prob

    def table(self) -> dict[str, Callable[[], Case]]:
        T, H, I = self.T, self.H, self.I  # noqa: E741
        act = self.numerics.activation(self.config.hidden_act)
        return {
            "dense": lambda: (self._dense(T, H, H), {}),
            "dense (expand)": lambda: (self._dense(T, H, I), {}),
            "dense (contract)": lambda: (self._dense(T, I, H), {}),
            "embedding": lambda: ({"table": self._normal(self.V, H), "ids": self._ids(T)}, {}),
            "layer_norm": lambda: (
                {"x": self._normal(T, H), **self._affine()}, {"eps": self.numerics.layer_norm_eps},
            ),
            "bias_activation": lambda: (
                {"x": self._normal(T, I), "bias": self._normal(I)}, {"activation": act},
            ),
            "attention": self._attention,
            "dropout_add_norm": self._dropout_add_norm,
            "decoder_cross_entropy": self._decoder,
            ADAMW: self._update,
        }  # fmt: skip

    def _normal(self, *shape: int) -> npt.NDArray[np.float32]:
        return self.random.standard_normal(shape, dtype=np.float32)

    def _ids(self, count: int) -> npt.NDArray[np.int64]:
        return self.random.integers(0, self.V, count)

    def _dense(self, rows: int, width: int, out: int) -> dict[str, Any]:
        weight = self._normal(out, width) / np.float32(np.sqrt(width))
        return {"x": self._normal(rows, width), "weight": weight, "bias": self._normal(out)}

    def _affine(self) -> dict[str, Any]:
        return {"gamma": 1 + self._normal(self.H) / 10, "beta": self._normal(self.H) / 10}

    def _keep(self, *shape: int) -> npt.NDArray[np.bool_] | None:
        return self.random.random(shape, dtype=np.float32) >= self.p if self.p else None

    def _attention(self) -> Case:
        A = self.config.num_attention_heads
        arrays: dict[str, Any] = {name: self._normal(self.B, self.S, self.H) for name in ("query", "key", "value")}
        arrays["mask"] = np.arange(self.S) < self.lengths[:, None]
        arrays["keep"] = self._keep(self.B, A, self.S, self.S)
        return arrays, {
            "heads": A, "scale": 1 / float(np.sqrt(self.config.head_size)), "mask_value": self.numerics.mask_value,
            "dropout_scale": scale(self.p) if self.p else 1.0,
        }  # fmt: skip

    def _dropout_add_norm(self) -> Case:
        arrays = {
            "x": self._normal(self.T, self.H), "residual": self._normal(self.T, self.H),
            "keep": self._keep(self.T, self.H), **self._affine(),
        }  # fmt: skip
        return arrays, {"scale": scale(self.p) if self.p else 1.0, "eps": self.numerics.layer_norm_eps}

    def _update(self) -> Case:
        """The weight of a feed-forward layer, its gradient and its moments."""
        arrays = {name: self._normal(self.I, self.H) for name in ("p", "g", "m", "v")}
        return {**arrays, "v": arrays["v"] ** 2}, {}

    def _decoder(self) -> Case:
        return {
            "x": self._normal(self.N, self.H), "table": self._normal(self.V, self.H) * np.float32(0.02),
            "bias": self._normal(self.V), "labels": self._ids(self.N), "weights": np.ones(self.N, np.float32),
            "denominator": np.asarray(self.N, np.float32),
        }, {}  # fmt: skip


def upstream(y: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """A random gradient of an output, the same for both sides."""
    return np.random.default_rng(seed + 1).standard_normal(y.shape, dtype=np.float32)
