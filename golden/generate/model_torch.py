"""BERT's pre-training model written out in torch, in any dialect, with every probe and every gradient.

Torch's autograd gives the gradients, so nothing here knows a derivative. Names are those of Hugging Face's
parameters and of the project's probes; formulas are those of Devlin et al. 2019 and of google-research/bert
(`modeling.py`, `run_pretraining.py`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

Arrays = dict[str, "np.ndarray[Any, Any]"]
ACTIVATIONS = {
    "gelu_erf": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Dialect:
    """The numeric choices of a run; with the `mask_value` -inf, a row without keys has probabilities 0."""

    layers: int
    heads: int
    activation: str = "gelu_erf"
    mask_value: float = -3.4028234663852886e38
    eps: float = 1e-12
    denominator_epsilon: float = 0.0


@dataclass(frozen=True)
class ModelResult:
    """`values`: every probe; `grads`: `grad:` and the name of every parameter and every probe."""

    values: Arrays
    grads: Arrays


class Network:
    """One forward pass; `seen` keeps each intermediate by its name, with its gradient once there is one."""

    def __init__(self, params: Mapping[str, "np.ndarray[Any, Any]"], dialect: Dialect) -> None:
        self.p = {name: torch.tensor(np.asarray(a, np.float64), requires_grad=True) for name, a in params.items()}
        self.dialect = dialect
        self.seen: dict[str, Any] = {}

    def see(self, name: str, value: Any) -> Any:
        value.retain_grad()
        self.seen[name] = value
        return value

    def dense(self, x: Any, name: str) -> Any:
        return x @ self.p[name + ".weight"].T + self.p[name + ".bias"]

    def norm(self, x: Any, name: str) -> Any:
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        return F.layer_norm(x, weight.shape, weight, bias, self.dialect.eps)

    def positions(self, ids: Any) -> Any:
        """A token's position is its column."""
        return torch.arange(ids.shape[1]).expand(ids.shape)

    def embeddings(self, ids: Any, types: Any) -> Any:
        indices = {"word": ids, "position": self.positions(ids), "token_type": types}
        parts = [
            self.see(f"embeddings.{k}", F.embedding(i, self.p[table]))
            for k, i in indices.items()
            if (table := f"bert.embeddings.{k}_embeddings.weight") in self.p
        ]
        total = self.see("embeddings.sum", sum(parts[1:], parts[0]))
        return self.see("embeddings.norm", self.norm(total, "bert.embeddings.LayerNorm"))

    def stored(self, number: int) -> int:
        """The layer under whose number the parameters of a layer stand: its own."""
        return number

    def layer(self, x: Any, mask: Any, number: int) -> Any:
        prefix, name = f"layer.{number}.", f"bert.encoder.layer.{self.stored(number)}."
        act = ACTIVATIONS[self.dialect.activation]
        context = self.see(prefix + "context", self.attention(x, mask, prefix, name + "attention.self."))
        output = self.see(prefix + "attention_output", self.dense(context, name + "attention.output.dense"))
        total = self.see(prefix + "attention_sum", output + x)
        middle = self.see(prefix + "attention_norm", self.norm(total, name + "attention.output.LayerNorm"))
        pre = self.see(prefix + "ffn_pre", self.dense(middle, name + "intermediate.dense"))
        output = self.dense(self.see(prefix + "ffn_act", act(pre)), name + "output.dense")
        total = self.see(prefix + "ffn_sum", self.see(prefix + "ffn_output", output) + middle)
        return self.see(prefix + "output", self.norm(total, name + "output.LayerNorm"))

    def attention(self, x: Any, mask: Any, prefix: str, name: str) -> Any:
        B, S, H = x.shape
        q, k, v = (
            self.see(prefix + part, self.dense(x, name + part)).reshape(B, S, self.dialect.heads, -1).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        scores = self.see(prefix + "scores", q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]))
        padding = (mask == 0)[:, None, None, :].expand(scores.shape)
        if math.isinf(self.dialect.mask_value):
            # every row keeps one finite score, and a row without keys is set to 0 afterwards
            empty = padding.all(-1, keepdim=True)
            probs = torch.softmax(scores.masked_fill(padding & ~empty, -math.inf), -1).masked_fill(empty, 0.0)
        else:
            probs = torch.softmax(torch.where(padding, scores + self.dialect.mask_value, scores), -1)
        probs = self.see(prefix + "probs", probs)
        return (probs @ v).transpose(1, 2).reshape(B, S, H)

    def run(self, batch: Mapping[str, "np.ndarray[Any, Any]"]) -> ModelResult:
        """Losses, then autograd; `batch` holds the arrays of a pre-training batch by name."""
        b = {name: torch.tensor(np.asarray(a)) for name, a in batch.items()}
        x = self.embeddings(b["input_ids"].long(), b["token_type_ids"].long())
        for number in range(self.dialect.layers):
            x = self.layer(x, b["attention_mask"], number)
        self.heads(x, b)
        self.seen["loss.total"].backward()
        everything = {**self.p, **self.seen}
        return ModelResult(
            {name: t.detach().numpy() for name, t in self.seen.items()},
            {f"grad:{n}": (torch.zeros_like(t) if t.grad is None else t.grad).numpy() for n, t in everything.items()},
        )

    def heads(self, x: Any, b: dict[str, Any]) -> None:
        """Both heads and the three losses."""
        pre = self.see("pooled_pre", self.dense(x[:, 0], "bert.pooler.dense"))
        nsp = self.see("nsp.logits", self.dense(self.see("pooled", torch.tanh(pre)), "cls.seq_relationship"))
        mlm = self.words(x, b)
        nsp_loss = self.see("loss.nsp", F.cross_entropy(nsp, b["next_sentence_label"].long()))
        self.see("loss.total", mlm + nsp_loss)

    def words(self, x: Any, b: dict[str, Any]) -> Any:
        """The head of masked words, and its loss."""
        rows = torch.arange(len(x))[:, None]
        masked = x[rows, b["masked_lm_positions"].long()]
        pre = self.see("mlm.dense", self.dense(masked, "cls.predictions.transform.dense"))
        act = self.see("mlm.act", ACTIVATIONS[self.dialect.activation](pre))
        transform = self.see("mlm.transform", self.norm(act, "cls.predictions.transform.LayerNorm"))
        words = self.p["bert.embeddings.word_embeddings.weight"]
        logits = self.see("mlm.logits", transform @ words.T + self.p["cls.predictions.bias"])
        losses = -torch.log_softmax(logits, -1).gather(-1, b["masked_lm_ids"].long()[..., None])[..., 0]
        weights = b["masked_lm_weights"].double()
        divisor = weights.sum() + self.dialect.denominator_epsilon
        mlm = (losses * weights).sum() / (divisor if divisor > 0 else 1.0)
        return self.see("loss.mlm", mlm)


def run(params: Mapping[str, Any], batch: Mapping[str, Any], dialect: Dialect) -> ModelResult:
    """Every probe and every gradient of one batch, in float64."""
    return Network(params, dialect).run(batch)
