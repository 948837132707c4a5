"""The arguments of every op as they occur in a model: arrays with shape and dtype, without memory and without values.

What can be asked of a model's ops before it exists: which implementation will serve them (`bertref doctor --ops`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import backends
from .arrays import Array, Namespace
from .backends import report
from .config import BertConfig, Numerics, named_config
from .dropout import scale
from .errors import InputError
from .ops import OPS
from .opset import Choice, OpSet
from .optim import PASSES
from .optim.faster import chosen


@dataclass(frozen=True)
class Sizes:
    """B sequences of S tokens, P predictions in each; `training`: with dropout, where the config has it."""

    batch: int = 32
    length: int = 128
    predictions: int = 20
    training: bool = True


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional arguments and options of an op's forward."""


def calls(
    xp: Namespace, config: BertConfig, numerics: Numerics, sizes: Sizes, dtype: str
) -> dict[str, Callable[[], Call]]:
    """Op -> what makes a call of it. Activations and parameters are `dtype`, what losses read at least float32."""
    B, S, H, V = sizes.batch, sizes.length, config.hidden_size, config.vocab_size
    T, N, A, I = B * S, B * sizes.predictions, config.num_attention_heads, config.intermediate_size  # noqa: E741
    p = config.hidden_dropout_prob if sizes.training else 0.0
    p_probs = config.attention_probs_dropout_prob if sizes.training else 0.0

    def real(*shape: int) -> Array:
        return stand_in(xp, shape, dtype)

    def loss(*shape: int) -> Array:
        return stand_in(xp, shape, "float64" if dtype == "float64" else "float32")

    def whole(*shape: int) -> Array:
        return stand_in(xp, shape, "int64")

    def keep(share: float, *shape: int) -> Array | None:
        return stand_in(xp, shape, "bool") if share else None

    affine = (real(H), real(H))
    packing = (whole(T), stand_in(xp, (T,), "bool"), whole(T))
    elementwise: dict[str, Callable[[], Call]] = {
        name: lambda: ((real(T, H),), {})
        for name in ("gelu_erf", "gelu_tanh", "tanh", "relu", "softmax", "log_softmax")
    }
    return {
        **elementwise,
        "dense": lambda: ((real(T, H), real(H, H), real(H)), {}),
        "embedding": lambda: ((real(V, H), whole(T)), {}),
        "layer_norm": lambda: ((real(T, H), *affine), {"eps": numerics.layer_norm_eps}),
        "dropout": lambda: ((real(T, H), keep(p, T, H)), {"scale": scale(p)}),
        "add": lambda: ((real(T, H), real(T, H)), {}),
        "gather": lambda: ((real(T, H), whole(N)), {}),
        "pack": lambda: ((real(T, H), *packing), {}),
        "unpack": lambda: ((real(T, H), *packing), {}),
        "cross_entropy": lambda: ((real(B, 2), whole(B), None, loss()), {}),
        "span_cross_entropy": lambda: ((real(B, S), real(B, S), whole(B), whole(B), None, loss()), {}),
        "squared_error": lambda: ((real(B), real(B), loss()), {}),
        "binary_cross_entropy": lambda: ((real(B, 2), real(B, 2), loss()), {}),
        "kl_divergence": lambda: ((real(B, 2), real(B, 2), loss(B), loss()), {"temperature": 2.0}),
        "cosine": lambda: ((real(T, H), real(T, H), loss(T), loss()), {"eps": 1e-12}),
        "soft_cross_entropy": lambda: ((real(B, 2), real(B, 2), loss()), {}),
        "attention": lambda: (
            (real(B, S, H), real(B, S, H), real(B, S, H), stand_in(xp, (B, S), "bool"), keep(p_probs, B, A, S, S)),
            {"heads": A, "scale": config.head_size**-0.5, "mask_value": numerics.mask_value,
             "dropout_scale": scale(p_probs), "scale_query": numerics.scale_scores == "query"},
        ),
        "bias_activation": lambda: ((real(T, I), real(I)), {"activation": numerics.activation(config.hidden_act)}),
        "dropout_add_norm": lambda: (
            (real(T, H), real(T, H), keep(p, T, H), *affine), {"scale": scale(p), "eps": numerics.layer_norm_eps},
        ),
        "decoder_cross_entropy": lambda: ((real(N, H), real(V, H), real(V), whole(N), loss(N), loss()), {}),
    }  # fmt: skip


def stand_in(xp: Namespace, shape: tuple[int, ...], dtype: str) -> Array:
    """An array of that shape in which every element is the same one: no memory, whatever its size."""
    kind = xp.bool if dtype == "bool" else xp.dtype(dtype)
    return xp.broadcast_to(xp.zeros((), dtype=kind), shape)


def explain(
    ops: OpSet, config: BertConfig, numerics: Numerics, dtype: str, sizes: Sizes | None = None
) -> Iterator[Choice]:
    """Which implementation of every op, and of the optimisers' passes, would serve a model of this config."""
    arguments: Mapping[str, Callable[[], Call]] = calls(ops.xp, config, numerics, sizes or Sizes(), dtype)
    for name in OPS:
        args, options = arguments[name]()
        yield ops.explain(name, *args, **options)
    # the optimiser works on master weights
    weight = stand_in(ops.xp, (config.hidden_size, config.hidden_size), "float64" if dtype == "float64" else "float32")
    for reference, arrays in PASSES.items():
        found = chosen(ops.updates, reference, *[weight] * arrays)
        why = "" if found is not reference else "it serves other dtypes"
        if reference.__name__ not in ops.updates:
            why = "the backend has none"
        yield Choice(reference.__name__, "reference" if found is reference else "kernel", found.__module__, why)


def explained(config: str = "base", *, backend: str = "numpy", dtype: str = "float32") -> dict[str, Any]:
    """What `bertref doctor --ops` shows, as plain values: backend, config, dtype, `products` (who multiplies matrices
    for NumPy's kernels) and `ops`, a list of {op, implementation, module, why}.

    `config` is a preset's name or a `config.json`. Raises `InputError` for a config or a dtype that does not exist,
    `BackendUnavailable` where the backend can't be used here.
    """
    architecture, numerics = named_config(config, Numerics())
    used = backends.get(backend)
    if dtype not in used.dtypes:
        raise InputError(f"--dtype {dtype}: {used.spec} computes in {', '.join(used.dtypes)}")
    choices = [choice._asdict() for choice in explain(OpSet(used), architecture, numerics, dtype)]
    products = report.blas()["products"] if used.name == "numpy" else None
    return {"backend": used.spec, "config": config, "dtype": dtype, "products": products, "ops": choices}
