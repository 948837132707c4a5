"""Small models with rich weights, ragged batches, and what independent code makes of them.

Sizes are small, odd and all different, so that a swapped axis can't hide; the weights are far from their
initial values (no gain of 1, no bias of 0). Row 0 of a batch is full, the others are shorter; tokens repeat;
each row has another number of predictions, the last one none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers

from bertref.config import BertConfig, Numerics
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.golden.generate import model_torch
from bertref.heads import parameter_shapes
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.probes import Recorder
from bertref.topology import probe_names

Arrays = dict[str, np.ndarray]
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def small_config(layers: int = 2, **changes: Any) -> BertConfig:
    sizes = {
        "vocab_size": 41, "hidden_size": 24, "num_hidden_layers": layers, "num_attention_heads": 3,
        "intermediate_size": 40, "max_position_embeddings": 16,
    }  # fmt: skip
    return BertConfig(**{**sizes, **NO_DROPOUT, **changes})


def probes_of_depth(layers: int) -> list[str]:
    """The probes of a pre-training model with so many layers."""
    return probe_names(small_config(layers))


def rich_params(config: BertConfig, seed: int = 0) -> Arrays:
    """Every parameter random: gains around 1, biases and weights around 0."""
    random = np.random.default_rng(seed)
    return {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3, shape)
        for name, shape in parameter_shapes(config).items()
    }


def ragged_batch(
    config: BertConfig, lengths: tuple[int, ...] = (11, 7, 3, 9), seed: int = 0, width: int = 11
) -> PretrainingBatch:
    """A batch with these lengths (0: all padding); the rows have 4, 2, 1, 0, 4, ... predictions."""
    random = np.random.default_rng(seed + 1000)
    B, P = len(lengths), 4
    ids = random.integers(5, config.vocab_size // 2, size=(B, width)).astype(np.int32)  # few words: they repeat
    mask = (np.arange(width) < np.asarray(lengths)[:, None]).astype(np.int32)
    types = (np.arange(width) >= np.asarray(lengths)[:, None] // 2).astype(np.int32) * mask
    positions, labels = np.zeros((B, P), np.int32), np.zeros((B, P), np.int32)
    weights = np.zeros((B, P), np.float32)
    for b, length in enumerate(lengths):
        count = min((4, 2, 1, 0)[b % 4], length)
        positions[b, :count] = np.sort(random.choice(length, count, replace=False)) if count else 0
        labels[b, :count] = random.integers(0, config.vocab_size, count)
        weights[b, :count] = 1
    nsp = (np.arange(B) % 3 == 1).astype(np.int32)
    return PretrainingBatch(
        input_ids=ids, attention_mask=mask, token_type_ids=types, masked_lm_positions=positions, masked_lm_ids=labels,
        masked_lm_weights=weights, next_sentence_label=nsp, example=100 + np.arange(B, dtype=np.int64),
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model and a batch for it."""

    config: BertConfig
    numerics: Numerics
    params: Arrays
    batch: PretrainingBatch

    @property
    def dialect(self) -> model_torch.Dialect:
        """The case as the torch oracle wants to be told."""
        n = self.numerics
        return model_torch.Dialect(
            self.config.num_hidden_layers, self.config.num_attention_heads, n.activation(self.config.hidden_act),
            n.mask_value, n.layer_norm_eps, n.mlm_denominator_epsilon,
        )  # fmt: skip


def case(layers: int = 2, dialect: str = "huggingface", seed: int = 0, **changes: Any) -> Case:
    """`changes` are fields of the config, of the numerics, or `lengths`."""
    lengths = changes.pop("lengths", (11, 7, 3, 9))
    numerics = Numerics.preset(dialect)
    own = {k: changes.pop(k) for k in list(changes) if k in Numerics.__dataclass_fields__}
    config = small_config(layers, **changes)
    return Case(config, replace(numerics, **own), rich_params(config, seed), ragged_batch(config, lengths, seed))


def expected(case: Case) -> model_torch.ModelResult:
    """What torch's autograd makes of the case."""
    return model_torch.run(case.params, dict(case.batch.items()), case.dialect)


@dataclass(frozen=True)
class Outcome:
    """Losses by name, gradients by parameter and probes, on the host."""

    losses: dict[str, float]
    grads: Arrays
    probes: Arrays


def ours(
    case: Case, ops: OpSet, *, packed: bool = False, recompute: str = "none", record: bool = False, **options: Any
) -> Outcome:
    """What bertref makes of the case, in float64."""
    xp = ops.xp
    params = {name: xp.from_numpy(a) for name, a in case.params.items()}
    recorder = Recorder() if record else None
    settings = Settings(case.config, case.numerics, recompute)
    found, grads = losses_and_gradients(
        PretrainingObjective(), ops, params, case.batch, settings, packed=packed, recorder=recorder, **options
    )
    numbers = {name: float(xp.to_numpy(x)) for name, x in found.losses.items()}
    probes = recorder.to_numpy(xp) if recorder else {}
    return Outcome(numbers, {name: np.array(xp.to_numpy(g)) for name, g in grads.items()}, probes)


def error(got: np.ndarray, want: np.ndarray, scale: np.ndarray | None = None) -> float:
    """‖got - want‖ over ‖want‖, or over the norm of `scale`; 0/0 is 0."""
    assert got.shape == want.shape, f"shape {got.shape}, not {want.shape}"
    distance = float(np.linalg.norm(got - want))
    return distance / float(np.linalg.norm(want if scale is None else scale)) if distance else 0.0


def grad_errors(grads: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The error of every parameter's gradient; a key bias, whose gradient is 0, is measured against the query bias."""
    return {name: error(grads[name], want[f"grad:{name}"], want[f"grad:{scale_of(name)}"]) for name in grads}


def scale_of(name: str) -> str:
    return name.replace(".key.bias", ".query.bias")


def check(got: Outcome, want: model_torch.ModelResult, tolerance: float = 1e-10) -> None:
    """Losses and all gradients are the oracle's: the check that every twin with a fault must fail."""
    names = {name.removeprefix("grad:") for name in want.grads} - set(want.values)
    assert set(got.grads) == names
    for name, value in got.losses.items():
        assert abs(value - float(want.values[f"loss.{name}"])) <= tolerance * (1 + abs(value)), name
    errors = grad_errors(got.grads, want.grads)
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] <= tolerance, f"{worst}: relative error {errors[worst]:.1e}"


def transformers_model(case: Case) -> Any:
    """Hugging Face's `BertForPreTraining` in float64, eager attention, with the case's weights."""
    values = {**case.config.__dict__, "layer_norm_eps": case.numerics.layer_norm_eps}
    config = transformers.BertConfig(**values)
    config._attn_implementation = "eager"
    model = transformers.BertForPreTraining(config).double().eval()
    loaded = model.load_state_dict({n: torch.tensor(a) for n, a in case.params.items()}, strict=False)
    assert not loaded.unexpected_keys
    assert all("decoder" in name for name in loaded.missing_keys)
    model.tie_weights()
    return model


def transformers_arguments(batch: PretrainingBatch) -> dict[str, Any]:
    """The batch as Hugging Face's model takes it, predictions as `labels`."""
    labels = np.full(batch.input_ids.shape, -100, np.int64)
    rows, slots = np.nonzero(batch.masked_lm_weights)
    labels[rows, batch.masked_lm_positions[rows, slots]] = batch.masked_lm_ids[rows, slots]
    arrays = {
        "input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "token_type_ids": batch.token_type_ids,
        "labels": labels, "next_sentence_label": batch.next_sentence_label,
    }  # fmt: skip
    return {name: torch.tensor(a).long() for name, a in arrays.items()}
