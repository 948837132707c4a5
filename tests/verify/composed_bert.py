"""A BERT in torch whose norm, softmax and GELU are composed of single operations, as many people write them.

In half precision each of these operations rounds. Constants may be rounded to the type, too, and scores be scaled
before or after their product. All of that is right; `eps`, `scale` and `tanh` are mistakes.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F

Tensor = torch.Tensor
NORMS = ("division", "reciprocal", "fused")
SCALES = ("after", "rounded", "divided", "query", "both")
"""after: by a number of higher precision; rounded, divided, query, both: by constants of the type itself."""
LOSS_SCALE = 64.0
"""In float16. The way back through a quotient of small roots overflows with larger ones."""


class ComposedBert:
    """Values and gradients of one run. `composed` says how softmax and GELU are made, `norm` and `scaled` the rest;
    `tanh` is the wrong one of two fused GELUs."""

    def __init__(
        self,
        precision: str = "bfloat16",
        *,
        norm: str = "division",
        composed: bool = True,
        scaled: str = "after",
        eps: float | None = None,
        scale: float | None = None,
        tanh: bool = False,
    ) -> None:
        self.precision, self.name = precision, f"composed:{precision},{norm},{scaled}"
        self._type = getattr(torch, precision)
        self._norm, self._composed, self._scaled = norm, composed, scaled
        self._eps, self._scale, self._tanh = eps, scale, tanh

    def forward(self, case: Any) -> dict[str, Tensor]:
        """Probes and gradients."""
        params = {n: torch.from_numpy(a).to(self._type).requires_grad_() for n, a in case["params"].items()}
        seen = self._probes(case["config"], params, {n: torch.from_numpy(a) for n, a in case["batch"].items()})
        for value in seen.values():
            value.retain_grad()
        factor = LOSS_SCALE if self.precision == "float16" else 1.0
        (seen["loss.total"] * factor).backward()
        grads = {
            f"grad:{n}": value.grad.float() / factor for n, value in (params | seen).items() if value.grad is not None
        }
        return {n: value.detach() for n, value in seen.items()} | grads

    def _probes(self, config: Any, p: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        eps = config["layer_norm_eps"] if self._eps is None else self._eps
        self._relu = config["hidden_act"] == "relu"
        seen: dict[str, Tensor] = {}

        def dense(x: Tensor, name: str) -> Tensor:
            return F.linear(x, p[name + ".weight"], p[name + ".bias"])

        def norm(x: Tensor, name: str) -> Tensor:
            return self._normed(x, p[name + ".weight"], p[name + ".bias"], eps)

        e = "bert.embeddings."
        ids = (batch["input_ids"], torch.arange(batch["input_ids"].shape[1]).expand_as(batch["input_ids"]),
               batch["token_type_ids"])  # fmt: skip
        for table, at in zip(("word", "position", "token_type"), ids, strict=True):
            seen[f"embeddings.{table}"] = F.embedding(at.long(), p[f"{e}{table}_embeddings.weight"])
        kinds = seen["embeddings.word"] + seen["embeddings.token_type"]
        x = seen["embeddings.sum"] = kinds + seen["embeddings.position"]
        x = seen["embeddings.norm"] = norm(x, e + "LayerNorm")
        for i in range(config["num_hidden_layers"]):
            own, name = f"layer.{i}.", f"bert.encoder.layer.{i}."
            q, k, v = (dense(x, f"{name}attention.self.{t}") for t in ("query", "key", "value"))
            seen |= {own + "query": q, own + "key": k, own + "value": v}
            self._attention(seen, own, config["num_attention_heads"], batch["attention_mask"])
            seen[own + "attention_output"] = dense(seen[own + "context"], name + "attention.output.dense")
            seen[own + "attention_sum"] = seen[own + "attention_output"] + x
            x = seen[own + "attention_norm"] = norm(seen[own + "attention_sum"], name + "attention.output.LayerNorm")
            seen[own + "ffn_pre"] = dense(x, name + "intermediate.dense")
            seen[own + "ffn_act"] = self._activation(seen[own + "ffn_pre"])
            seen[own + "ffn_output"] = dense(seen[own + "ffn_act"], name + "output.dense")
            seen[own + "ffn_sum"] = seen[own + "ffn_output"] + x
            x = seen[own + "output"] = norm(seen[own + "ffn_sum"], name + "output.LayerNorm")
        self._heads(seen, x, p, batch, dense, norm)
        return seen

    def _attention(self, seen: dict[str, Tensor], own: str, heads: int, mask: Tensor) -> None:
        def split(x: Tensor) -> Tensor:  # (B, S, H) -> (B, A, S, D)
            return x.unflatten(-1, (heads, -1)).transpose(1, 2)

        q, k, v = (split(seen[own + name]) for name in ("query", "key", "value"))
        scores = seen[own + "scores"] = self._scores(q, k.transpose(-1, -2))
        lowest = torch.finfo(self._type).min
        masked = scores + (1 - mask.to(self._type))[:, None, None, :] * lowest
        probs = seen[own + "probs"] = self._softmax(masked)
        seen[own + "context"] = (probs @ v).transpose(1, 2).flatten(2)

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        scale = 1 / math.sqrt(q.shape[-1]) if self._scale is None else self._scale

        def constant(value: float) -> Tensor:
            return torch.tensor(value, dtype=self._type)

        match self._scaled:
            case "rounded":
                return q @ k * constant(scale)
            case "divided":
                return q @ k / constant(1 / scale)
            case "query":
                return (q * constant(scale)) @ k
            case "both":
                return (q * constant(math.sqrt(scale))) @ (k * constant(math.sqrt(scale)))
        return q @ k * scale

    def _normed(self, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        if self._norm == "fused":
            return F.layer_norm(x, weight.shape, weight, bias, eps)
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        if self._norm == "division":
            return centred / torch.sqrt(variance + eps) * weight + bias
        return weight * (centred * torch.rsqrt(variance + eps)) + bias

    def _softmax(self, x: Tensor) -> Tensor:
        if not self._composed:
            return torch.softmax(x, -1)
        e = torch.exp(x - x.detach().amax(-1, keepdim=True))
        return e / e.sum(-1, keepdim=True)

    def _activation(self, x: Tensor) -> Tensor:
        if self._relu:
            return F.relu(x)
        if self._composed:
            return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        return F.gelu(x, approximate="tanh" if self._tanh else "none")

    def _heads(
        self, seen: dict[str, Tensor], x: Tensor, p: dict[str, Tensor], batch: dict[str, Tensor], dense: Any, norm: Any
    ) -> None:
        seen["pooled_pre"] = dense(x[:, 0], "bert.pooler.dense")
        seen["pooled"] = torch.tanh(seen["pooled_pre"])
        rows = x[torch.arange(len(x))[:, None], batch["masked_lm_positions"].long()]
        seen["mlm.dense"] = dense(rows, "cls.predictions.transform.dense")
        seen["mlm.act"] = self._activation(seen["mlm.dense"])
        seen["mlm.transform"] = norm(seen["mlm.act"], "cls.predictions.transform.LayerNorm")
        words, bias = p["bert.embeddings.word_embeddings.weight"], p["cls.predictions.bias"]
        logits = seen["mlm.logits"] = F.linear(seen["mlm.transform"], words, bias)
        seen["nsp.logits"] = dense(seen["pooled"], "cls.seq_relationship")
        weights = batch["masked_lm_weights"].float()
        each = F.cross_entropy(logits.float().transpose(1, 2), batch["masked_lm_ids"].long(), reduction="none")
        seen["loss.mlm"] = (each * weights).sum() / weights.sum()
        seen["loss.nsp"] = F.cross_entropy(seen["nsp.logits"].float(), batch["next_sentence_label"].long())
        seen["loss.total"] = seen["loss.mlm"] + seen["loss.nsp"]
