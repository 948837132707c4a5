"""For every answer: what it is made of, and the file of bertref where that is written down, forward and backward.

A formula names the very tensors that a step is made from, so that they can be looked at next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...optim import RULES
from ..graph.axes import split

TABLES = ("word", "position", "token_type")
NORM = "bertref/ops/layer_norm.py"
DENSE = "bertref/ops/dense.py"
ATTENTION = "bertref/ops/attention.py"
SOFTMAX = "bertref/ops/softmax.py"
ADD = "bertref/ops/add.py"
EMBEDDING = "bertref/ops/embedding.py"
LOSS = "bertref/ops/cross_entropy.py"
HEADS = "bertref/losses.py"


@dataclass(frozen=True)
class Formula:
    """`text` is what the answer is; `files` are where its arithmetic stands, relative to the repository."""

    text: str
    files: tuple[str, ...]


def formula(name: str, case: Mapping[str, Any]) -> Formula:
    """The formula of a canonical name; `case` is a report's: its config and numerics name activation and optimiser."""
    prefix, rest = split(name)
    if prefix == "update":
        kind = case["optimizer"]["kind"]
        text = f"one step of {kind} from grad:NAME of all parameters, which are clipped together first"
        return Formula(text, (f"{RULES[kind].update.__module__.replace('.', '/')}.py", "bertref/optim/clip.py"))
    config, numerics = case["config"], case["numerics"]
    names = _Names(rest, config["num_hidden_layers"], _activation(config, numerics), numerics["layer_norm_eps"])
    if prefix == "grad" and rest.startswith(("bert.", "cls.")):
        return names.parameter()
    return names.backward() if prefix else names.forward()


def _activation(config: Mapping[str, Any], numerics: Mapping[str, Any]) -> str:
    return f"gelu_{numerics['gelu']}" if config["hidden_act"] == "gelu" else str(config["hidden_act"])


class _Names:
    """The names around one answer."""

    def __init__(self, rest: str, layers: int, activation: str, epsilon: float) -> None:
        self.act, self.act_file, self.epsilon = activation, f"bertref/ops/{activation}.py", f"epsilon {epsilon:g}"
        inside = rest.removeprefix("bert.encoder.")
        self.name, self.p, self.q, self.last = rest, "", "", rest
        self.top = f"layer.{layers - 1}.output" if layers else "embeddings.norm"
        self.x = ""
        if inside.startswith("layer."):
            _, i, self.last = inside.split(".", 2)
            self.p, self.q = f"layer.{i}.", f"bert.encoder.layer.{i}."
            self.x = f"layer.{int(i) - 1}.output" if int(i) else "embeddings.norm"
        self.next = ""
        if self.last == "output" and rest != self.top:
            self.next = f"layer.{int(self.p.split('.')[1]) + 1}."
        elif rest == "embeddings.norm" and layers:
            self.next = "layer.0."

    # -- forward -----------------------------------------------------------------------------------------------------

    def forward(self) -> Formula:
        if self.p:
            return self._layer()[self.last]
        if self.name in (f"embeddings.{table}" for table in TABLES):
            ids = {"word": "input_ids", "position": "0, 1, 2, ...", "token_type": "token_type_ids"}
            table = self.name.removeprefix("embeddings.")
            return Formula(f"the rows {ids[table]} of bert.embeddings.{table}_embeddings.weight", (EMBEDDING,))
        return {
            "embeddings.sum": Formula(" + ".join(f"embeddings.{t}" for t in TABLES), (ADD,)),
            "embeddings.norm": self._norm("embeddings.sum", "bert.embeddings.LayerNorm"),
            "pooled_pre": self._dense(f"{self.top} at the first token", "bert.pooler.dense"),
            "pooled": Formula("tanh(pooled_pre)", ("bertref/ops/tanh.py",)),
            "mlm.dense": self._dense(
                f"{self.top} at masked_lm_positions", "cls.predictions.transform.dense", "bertref/ops/gather.py"
            ),
            "mlm.act": Formula(f"{self.act}(mlm.dense)", (self.act_file,)),
            "mlm.transform": self._norm("mlm.act", "cls.predictions.transform.LayerNorm"),
            "mlm.logits": Formula(
                "mlm.transform @ bert.embeddings.word_embeddings.weight.T + cls.predictions.bias", (DENSE,)
            ),
            "nsp.logits": self._dense("pooled", "cls.seq_relationship"),
            "loss.mlm": Formula(
                "cross entropy of mlm.logits and masked_lm_ids, weighted by masked_lm_weights, over their sum",
                (LOSS, HEADS),
            ),
            "loss.nsp": Formula("mean cross entropy of nsp.logits and next_sentence_label", (LOSS, HEADS)),
            "loss.total": Formula("loss.mlm + loss.nsp", (HEADS,)),
        }[self.name]

    def _layer(self) -> dict[str, Formula]:
        p, q = self.p, self.q
        projections = {t: self._dense(self.x, f"{q}attention.self.{t}") for t in ("query", "key", "value")}
        return projections | {
            "scores": Formula(f"{p}query @ {p}key.T in every head, over sqrt(head size)", (ATTENTION,)),
            "probs": Formula(f"softmax over the keys of {p}scores + mask", (SOFTMAX, ATTENTION)),
            "context": Formula(f"{p}probs @ {p}value in every head, the heads side by side", (ATTENTION,)),
            "attention_output": self._dense(f"{p}context", f"{q}attention.output.dense"),
            "attention_sum": Formula(f"{p}attention_output + {self.x}", (ADD,)),
            "attention_norm": self._norm(f"{p}attention_sum", f"{q}attention.output.LayerNorm"),
            "ffn_pre": self._dense(f"{p}attention_norm", f"{q}intermediate.dense"),
            "ffn_act": Formula(f"{self.act}({p}ffn_pre)", (self.act_file,)),
            "ffn_output": self._dense(f"{p}ffn_act", f"{q}output.dense"),
            "ffn_sum": Formula(f"{p}ffn_output + {p}attention_norm", (ADD,)),
            "output": self._norm(f"{p}ffn_sum", f"{q}output.LayerNorm"),
        }

    def _dense(self, x: str, parameter: str, *files: str) -> Formula:
        return Formula(f"{x} @ {parameter}.weight.T + {parameter}.bias", (*files, DENSE))

    def _norm(self, x: str, parameter: str) -> Formula:
        return Formula(f"layer_norm({x}) with {parameter}, {self.epsilon}", (NORM,))

    # -- backward ----------------------------------------------------------------------------------------------------

    def backward(self) -> Formula:
        if self.name == self.top:
            text = "what grad:mlm.dense gives the predicted positions plus what grad:pooled_pre gives the first ones"
            return Formula(text, (DENSE, "bertref/ops/gather.py"))
        if self.next:
            n = self.next
            text = f"grad:{n}attention_sum + grad:{n}query, grad:{n}key and grad:{n}value through their weights"
            return Formula(text, (DENSE, ADD))
        return self._layer_back()[self.last] if self.p else self._outside_back()

    def _layer_back(self) -> dict[str, Formula]:
        p, g, q = self.p, f"grad:{self.p}", self.q
        softmax = Formula(f"backward of softmax from {g}probs at {p}probs", (SOFTMAX,))
        return {
            "query": Formula(f"{g}scores @ {p}key in every head, over sqrt(head size)", (ATTENTION,)),
            "key": Formula(f"{g}scores.T @ {p}query in every head, over sqrt(head size)", (ATTENTION,)),
            "value": Formula(f"{p}probs.T @ {g}context in every head", (ATTENTION,)),
            "scores": softmax,
            "probs": Formula(f"{g}context @ {p}value.T in every head", (ATTENTION,)),
            "context": self._dense_back(g + "attention_output", f"{q}attention.output.dense"),
            "attention_output": Formula(f"{g}attention_sum (dropout is off)", (ADD,)),
            "attention_sum": self._norm_back(g + "attention_norm", p + "attention_sum"),
            "attention_norm": Formula(f"{g}ffn_sum + {g}ffn_pre @ {q}intermediate.dense.weight", (DENSE, ADD)),
            "ffn_pre": self._act_back(g + "ffn_act", p + "ffn_pre"),
            "ffn_act": self._dense_back(g + "ffn_output", f"{q}output.dense"),
            "ffn_output": Formula(f"{g}ffn_sum (dropout is off)", (ADD,)),
            "ffn_sum": self._norm_back(g + "output", p + "ffn_sum"),
        }

    def _outside_back(self) -> Formula:
        if self.name in (f"embeddings.{table}" for table in TABLES):
            return Formula("grad:embeddings.sum", (ADD,))
        return {
            "embeddings.sum": self._norm_back("grad:embeddings.norm", "embeddings.sum"),
            "pooled_pre": Formula("backward of tanh from grad:pooled at pooled", ("bertref/ops/tanh.py",)),
            "pooled": self._dense_back("grad:nsp.logits", "cls.seq_relationship"),
            "mlm.dense": self._act_back("grad:mlm.act", "mlm.dense"),
            "mlm.act": self._norm_back("grad:mlm.transform", "mlm.act"),
            "mlm.transform": Formula("grad:mlm.logits @ bert.embeddings.word_embeddings.weight", (DENSE,)),
            "mlm.logits": Formula("backward of the cross entropy from grad:loss.mlm at mlm.logits", (LOSS, HEADS)),
            "nsp.logits": Formula("backward of the cross entropy from grad:loss.nsp at nsp.logits", (LOSS, HEADS)),
            "loss.mlm": Formula("grad:loss.total", (HEADS,)),
            "loss.nsp": Formula("grad:loss.total", (HEADS,)),
            "loss.total": Formula("1", (HEADS,)),
        }[self.name]

    def _dense_back(self, dy: str, parameter: str) -> Formula:
        return Formula(f"{dy} @ {parameter}.weight", (DENSE,))

    def _norm_back(self, dy: str, x: str) -> Formula:
        return Formula(f"backward of layer_norm from {dy} at {x}, {self.epsilon}", (NORM,))

    def _act_back(self, dy: str, x: str) -> Formula:
        return Formula(f"backward of {self.act} from {dy} at {x}", (self.act_file,))

    # -- parameters --------------------------------------------------------------------------------------------------

    def parameter(self) -> Formula:
        """The gradient of a parameter."""
        stem, _, kind = self.name.rpartition(".")
        if stem.endswith("_embeddings"):
            table = stem.removeprefix("bert.embeddings.").removesuffix("_embeddings")
            text = f"grad:embeddings.{table} added up by row"
            if table == "word":
                return Formula(f"{text} + grad:mlm.logits.T @ mlm.transform (the decoder is tied)", (EMBEDDING, DENSE))
            return Formula(text, (EMBEDDING,))
        dy, x, norm = self._uses()[stem.removeprefix(self.q) if self.q else stem]
        if kind == "bias":
            return Formula(f"the sum of {dy} over all rows", (NORM if norm else DENSE,))
        if norm:
            return Formula(f"the sum over all rows of {dy} times the normalised {x}", (NORM,))
        return Formula(f"{dy}.T @ {x}", (DENSE,))

    def _uses(self) -> dict[str, tuple[str, str, bool]]:
        """Parameter -> the gradient of what it makes, its input, whether it belongs to a norm."""
        p, g = self.p, f"grad:{self.p}"
        return {
            **{f"attention.self.{t}": (g + t, self.x, False) for t in ("query", "key", "value")},
            "attention.output.dense": (g + "attention_output", p + "context", False),
            "attention.output.LayerNorm": (g + "attention_norm", p + "attention_sum", True),
            "intermediate.dense": (g + "ffn_pre", p + "attention_norm", False),
            "output.dense": (g + "ffn_output", p + "ffn_act", False),
            "output.LayerNorm": (g + "output", p + "ffn_sum", True),
            "bert.embeddings.LayerNorm": ("grad:embeddings.norm", "embeddings.sum", True),
            "bert.pooler.dense": ("grad:pooled_pre", f"{self.top} at the first token", False),
            "cls.predictions.transform.dense": ("grad:mlm.dense", f"{self.top} at masked_lm_positions", False),
            "cls.predictions.transform.LayerNorm": ("grad:mlm.transform", "mlm.act", True),
            "cls.predictions": ("grad:mlm.logits", "", False),
            "cls.seq_relationship": ("grad:nsp.logits", "pooled", False),
        }
