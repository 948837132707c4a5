"""A BERT out of torch's own modules: `torch.nn.TransformerEncoder`, its fast path included.

What a person writes who knows BERT and torch and needs no library: sdpa inside `MultiheadAttention`, one product for
query, key and value, and logits at the masked positions only.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...checkpoint import load_model
from ...config import BertConfig, Numerics
from ...data.pretraining.batch import PretrainingBatch
from ...errors import InputError
from ...optim import Optimizer
from .. import inputs
from ..gradient_norms import grouped_norms, squares
from ..job import Job
from . import STEP
from .ours import FEW
from .torch_device import TorchDevice

LAYER = {
    "attention.output.dense": "self_attn.out_proj", "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1", "output.dense": "linear2", "output.LayerNorm": "norm2",
}  # fmt: skip
"""Canonical module -> torch's, inside a layer."""

OUTSIDE = {
    "bert.embeddings.word_embeddings.weight": "words.weight",
    "bert.embeddings.position_embeddings.weight": "positions.weight",
    "bert.embeddings.token_type_embeddings.weight": "types.weight",
    "bert.embeddings.LayerNorm": "norm", "bert.pooler.dense": "pooler",
    "cls.predictions.bias": "decoder_bias", "cls.predictions.transform.dense": "transform",
    "cls.predictions.transform.LayerNorm": "transform_norm", "cls.seq_relationship": "next_sentence",
}  # fmt: skip
"""Canonical parameter or module -> torch's, outside the layers."""


class Bert(nn.Module):  # type: ignore[misc]
    """The encoder with the heads of pre-training. Raises `InputError` for an activation that torch's layer lacks."""

    def __init__(self, config: BertConfig, numerics: Numerics) -> None:
        super().__init__()
        H, eps = config.hidden_size, numerics.layer_norm_eps
        activations = {"gelu_erf": nn.functional.gelu, "relu": nn.functional.relu}
        kind = numerics.activation(config.hidden_act)
        if kind not in activations or config.hidden_dropout_prob != config.attention_probs_dropout_prob:
            raise InputError(f"--peer torch: its layer has no {kind}, or not two dropouts; take another --config")
        self.activation = activations[kind]
        self.words = nn.Embedding(config.vocab_size, H)
        self.positions = nn.Embedding(config.max_position_embeddings, H)
        self.types = nn.Embedding(config.type_vocab_size, H)
        self.norm = nn.LayerNorm(H, eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        layer = nn.TransformerEncoderLayer(
            H, config.num_attention_heads, config.intermediate_size, config.hidden_dropout_prob, self.activation, eps,
            batch_first=True,
        )  # fmt: skip
        layer.dropout.p = 0.0  # BERT drops nothing between the two halves of the feed-forward network
        self.encoder = nn.TransformerEncoder(layer, config.num_hidden_layers)
        self.pooler = nn.Linear(H, H)
        self.transform, self.transform_norm = nn.Linear(H, H), nn.LayerNorm(H, eps)
        self.decoder_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.next_sentence = nn.Linear(H, 2)

    def forward(self, ids: Any, types: Any, padding: Any = None) -> Any:
        """ids, types (B, S), padding (B, S) boolean or None -> the last layer's output (B, S, H)."""
        x = self.words(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device)) + self.types(types)
        return self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=padding)

    def loss(self, batch: dict[str, Any]) -> Any:
        """The loss of pre-training."""
        x = self(batch["input_ids"], batch["token_type_ids"], batch.get("padding"))
        rows = x.reshape(-1, x.shape[-1]).index_select(0, batch["rows"])
        transformed = self.transform_norm(self.activation(self.transform(rows)))
        logits = nn.functional.linear(transformed, self.words.weight, self.decoder_bias)
        following = self.next_sentence(torch.tanh(self.pooler(x[:, 0])))
        return nn.functional.cross_entropy(logits, batch["labels"]) + nn.functional.cross_entropy(
            following, batch["next_sentence_label"]
        )


def torch_name(name: str) -> tuple[str, int | None]:
    """The name in `Bert` of a canonical parameter, and which third of it: query, key and value lie in one matrix."""
    stem, _, kind = name.rpartition(".")
    if name in OUTSIDE or stem in OUTSIDE:
        return OUTSIDE.get(name) or f"{OUTSIDE[stem]}.{kind}", None
    _, _, _, number, inside = stem.split(".", 4)
    layer = f"encoder.layers.{number}."
    if inside in LAYER:
        return f"{layer}{LAYER[inside]}.{kind}", None
    return f"{layer}self_attn.in_proj_{kind}", ("query", "key", "value").index(inside.rpartition(".")[2])


def part(tensor: Any, third: int | None) -> Any:
    """The third of a packed tensor, or the tensor."""
    return tensor if third is None else tensor.chunk(3)[third]


class _Model:
    units = (STEP,)

    def __init__(self, job: Job) -> None:
        self.device = TorchDevice(job)
        saved = load_model(Path(job.folder) / "model")
        self.config, self.numerics = saved.config, saved.numerics
        self.model = Bert(saved.config, saved.numerics)
        self.owners = {name: torch_name(name) for name in saved.params}
        tensors = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, (owner, third) in self.owners.items():
                part(tensors[owner], third).copy_(torch.from_numpy(saved.params[name]))
        self.model.to(self.device.name)
        self.about: dict[str, Any] = {
            "name": "torch", "version": torch.__version__, "model": "nn.TransformerEncoder", "dtype": job.peer_dtype,
        }  # fmt: skip

    def gradients(self) -> list[tuple[str, Any]]:
        """By canonical name."""
        tensors = dict(self.model.named_parameters())
        return [(name, part(tensors[owner].grad, third).cpu().numpy()) for name, (owner, third) in self.owners.items()]


class PretrainingSide(_Model):
    """Full training steps, one a batch."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        from .torch_training import Trainer

        rule, clip_norm = Optimizer.from_numerics(self.numerics), inputs.options(job).clip_norm
        self.trainer = Trainer(
            self.model, rule, inputs.peer_schedule(job), clip_norm, self.device, self.decays
        )
        batches = inputs.pretraining_batches(job, self.config.vocab_size)
        self.batches = [self.device.on_host(arrays_of(batch)) for batch in batches]
        self.model.train()

    @staticmethod
    def decays(name: str) -> bool:
        """Whether a parameter of `Bert` is decayed: everything but norms and biases."""
        return "norm" not in name and "bias" not in name

    def loss(self, batch: dict[str, Any]) -> Any:
        """The loss of a batch on the host."""
        return self.model.loss(self.device.placed(batch))

    def figures(self) -> dict[str, Any]:
        """As `ours.Pretraining.figures`, with dropout off."""
        self.model.eval()  # with gradients wanted the encoder does not take its path without them
        loss = self.trainer.gradients(lambda: self.loss(self.batches[0]))
        self.model.train()
        found = self.gradients()
        norm = math.sqrt(sum(squares(gradient) for _, gradient in found))
        self.model.zero_grad(set_to_none=True)
        return {"loss": float(loss), "gradient norm": norm, **grouped_norms(found)}

    def run(self, unit: str) -> None:
        for batch in self.batches:
            self.trainer.step(lambda batch=batch: self.loss(batch))  # type: ignore[misc]
        self.device.synchronize()
        self.about["optimizer"] = "AdamW " + " ".join(self.trainer.variant)


def arrays_of(batch: PretrainingBatch) -> dict[str, Any]:
    """What `Bert.loss` reads: `rows` and `labels` (N) are those of the masked positions."""
    b, slots = np.nonzero(batch.masked_lm_weights)
    arrays = {
        "input_ids": batch.input_ids, "token_type_ids": batch.token_type_ids,
        "rows": b * batch.input_ids.shape[1] + batch.masked_lm_positions[b, slots],
        "labels": batch.masked_lm_ids[b, slots], "next_sentence_label": batch.next_sentence_label,
    }  # fmt: skip
    return {**{name: array.astype(np.int64) for name, array in arrays.items()}, **padding_of(batch.attention_mask)}


def padding_of(mask: Any) -> dict[str, Any]:
    """Where padding is (B, S), if there is any: asked on the host, which need not wait for a device then."""
    return {} if mask.all() else {"padding": mask == 0}


class EncodingSide(_Model):
    """Batches in file order, each padded to its longest; torch's fast path leaves out the padding where it can."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.model.eval()
        rows = inputs.rows(job, self.config.vocab_size)
        batches = (rows[i : i + job.batch_size] for i in range(0, len(rows), job.batch_size))
        self.batches = [self.device.on_host(self.arguments(inputs.padded(batch))) for batch in batches]

    @staticmethod
    def arguments(batch: dict[str, Any]) -> dict[str, Any]:
        """Those of `Bert`."""
        return {
            "ids": batch["input_ids"], "types": batch["token_type_ids"], **padding_of(batch["attention_mask"]),
        }  # fmt: skip

    def answer(self, batch: dict[str, Any]) -> Any:
        return self.model(**self.device.placed(batch))

    def figures(self) -> dict[str, Any]:
        """As `ours.Encoding.figures`."""
        with torch.inference_mode():
            found = self.answer(self.batches[0]).cpu().numpy()
        return {f"vector of text {i + 1}": found[i, 0].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        with torch.inference_mode(), self.device.autocast():
            for batch in self.batches:
                self.answer(batch).float().cpu().numpy()
