"""The losses of a Hugging Face model: the labels that it takes, its own loss, and the case's formulas in torch where
its own is another one or where it has none."""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...data.batch import IGNORED_LABEL
from ..records import Case
from . import torch_step

SENTENCES = ("next_sentence_label", "sentence_order_label")
"""What models call the labels of pairs of sentences."""
GIVEN = ("encoder", "pooler")
"""Objectives whose gradients are given for what the encoder makes: any model with a BERT inside can be asked."""

Tensor = Any


def why_not_own(case: Case) -> str | None:
    """The reason for which Hugging Face's loss is not the case's; None if it is, "" if it has none to compare with."""
    match case.objective:
        case "pretraining" | "masked_lm":
            return torch_step.why_not_labels(case.batch, case.numerics)
        case "question_answering":
            if not case.batch.attention_mask.all():
                return "Hugging Face's counts padding among the places of an answer; full rows show the model's own"
        case "token_classification":
            if (case.targets["labels"] == IGNORED_LABEL).all():
                return "no token has a label, and a mean over none is not a number"
        case "encoder" | "pooler":
            return ""
    return None


def labels(case: Case, device: Any, floating: Any, taken: Collection[str]) -> dict[str, Tensor]:
    """The arguments by which a model of this head gets its labels; `floating` is the type of those that are numbers,
    `taken` are the arguments that the model has."""
    sentences = next((name for name in SENTENCES if name in taken), SENTENCES[0])

    def send(array: Any, dtype: Any = torch.int64) -> Tensor:
        return torch.from_numpy(np.asarray(array)).to(device, dtype)

    match case.objective:
        case "pretraining":
            words = torch_step.labels(case.batch).to(device)
            return {"labels": words, sentences: send(case.batch.next_sentence_label)}
        case "masked_lm":
            return {"labels": torch_step.labels(case.batch).to(device)}
        case "next_sentence":
            return {"labels": send(case.batch.next_sentence_label)}
        case "regression" | "multi_label":
            return {"labels": send(case.targets["labels"], floating)}
    return {name: send(array) for name, array in case.targets.items()}


def own(case: Case, output: Any) -> dict[str, Tensor]:
    """The losses that the model gave with its output."""
    found = {"loss.total": output.loss}
    if case.objective == "pretraining":
        found |= {
            "loss.mlm": getattr(output, "masked_lm_loss", None), "loss.nsp": getattr(output, "next_sentence_loss", None)
        }  # fmt: skip
    if case.objective == "masked_lm":
        found["loss.mlm"] = output.loss
    return found


def computed(case: Case, output: Any, encoded: Any) -> dict[str, Tensor]:
    """The case's losses, from the model's output, or from that of the encoder inside it."""
    match case.objective:
        case "pretraining":
            pairs = output.sop_logits if "sop_logits" in output else output.seq_relationship_logits
            mlm, nsp, total = torch_step.losses(output.prediction_logits, pairs, case.batch, case.numerics)
            return {"loss.mlm": mlm, "loss.nsp": nsp, "loss.total": total}
        case "masked_lm":
            mlm = torch_step.word_loss(output.logits, case.batch, case.numerics)
            return {"loss.mlm": mlm, "loss.total": mlm}
        case "question_answering":
            return {"loss.total": _span(case, output.start_logits, output.end_logits)}
        case "token_classification":
            return {"loss.total": (output.logits * 0).sum()}
    pooled = getattr(encoded, "pooler_output", None)
    outputs = {"upstream.sequence": encoded.last_hidden_state, "upstream.pooled": pooled}
    return {"loss.total": sum(_product(case, name, outputs[name]) for name in case.targets)}


def _product(case: Case, name: str, output: Tensor) -> Tensor:
    kind = wide(output.dtype)
    return (output.to(kind) * torch.from_numpy(case.targets[name]).to(output.device, kind)).sum()


def _span(case: Case, start: Tensor, end: Tensor) -> Tensor:
    S = case.batch.input_ids.shape[1]
    padding = torch.from_numpy(case.batch.attention_mask == 0).to(start.device)
    total = start.new_zeros((), dtype=wide(start.dtype))
    for logits, name in ((start, "start_positions"), (end, "end_positions")):
        places = torch.from_numpy(case.targets[name].astype(np.int64)).to(start.device)
        real = logits.to(total.dtype).masked_fill(padding, -torch.inf)
        each = F.cross_entropy(real, places, ignore_index=S, reduction="sum")
        total = total + each / max(int((places < S).sum()), 1)
    return total / 2


def wide(dtype: Any) -> Any:
    """The type of losses: at least float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32
