"""Mistakes in the two losses and in their sum."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F

from .mistake import Mistake, Model, Patch

SECTION = "loss"
Tensor = torch.Tensor
IGNORED = -100


def mlm_loss(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def nsp_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels)


def objective(
    mlm: Callable[..., Tensor] = mlm_loss,
    nsp: Callable[[Tensor, Tensor], Tensor] = nsp_loss,
    total: Callable[[Tensor, Tensor], Tensor] = torch.add,
) -> Patch:
    """The model's forward with another objective; `mlm(logits, labels, ids=, mask=)`, `nsp(logits, labels)`."""

    def patch(model: Model) -> None:
        def forward(
            input_ids: Any, attention_mask: Any, token_type_ids: Any, labels: Any = None,
            next_sentence_label: Any = None, **_: Any,
        ) -> Any:  # fmt: skip
            x, pooled = model.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)[:2]
            words, sentence = model.cls(x, pooled)
            first = mlm(words, labels, ids=input_ids, mask=attention_mask)
            second = nsp(sentence, next_sentence_label)
            return SimpleNamespace(
                loss=total(first, second), masked_lm_loss=first, next_sentence_loss=second,
                prediction_logits=words, seq_relationship_logits=sentence,
            )  # fmt: skip

        model.forward = forward

    return patch


def each(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of every position, 0 where there is no label: (B, S)."""
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")


def mean_of_rows(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    counts = (labels != IGNORED).sum(1)
    rows = each(logits, labels).sum(1) / counts.clamp(min=1)
    return rows[counts > 0].mean()


def over_all_slots(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    """Divided by the slots of the padded rectangle (B, P), whether they are used or not."""
    widest = int((labels != IGNORED).sum(1).max())
    return each(logits, labels).sum() / (widest * len(labels))


def over_all_positions(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    return each(logits, labels).sum() / labels.numel()


def every_token_predicted(logits: Tensor, labels: Tensor, *, ids: Tensor, **_: Any) -> Tensor:
    """No label is ignored: where there is none, the token itself is to be predicted."""
    return mlm_loss(logits, torch.where(labels == IGNORED, ids, labels))


def padding_predicted(logits: Tensor, labels: Tensor, *, mask: Tensor, **_: Any) -> Tensor:
    """Padding has the label 0, which nobody ignores."""
    return mlm_loss(logits, torch.where(mask == 0, 0, labels))


def smoothed(logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=0.1)


MISTAKES = [
    Mistake("sentence-labels-inverted", SECTION, "huggingface/transformers#836", "loss.nsp",
            objective(nsp=lambda logits, labels: nsp_loss(logits, 1 - labels))),
    Mistake("sentence-label-0-ignored", SECTION, "codertimo/BERT-pytorch#49", "loss.nsp",
            objective(nsp=lambda logits, labels: F.cross_entropy(logits, labels, ignore_index=0))),
    Mistake("every-token-predicted", SECTION, "huggingface/transformers#2491", "loss.mlm",
            objective(every_token_predicted)),
    Mistake("padding-predicted", SECTION, "huggingface/transformers#2718", "loss.mlm", objective(padding_predicted)),
    Mistake("mean-of-row-means", SECTION, "huggingface/transformers#34191", "loss.mlm", objective(mean_of_rows)),
    Mistake("divided-by-all-slots", SECTION, "d2l-ai/d2l-en#2688", "loss.mlm", objective(over_all_slots)),
    Mistake("divided-by-all-positions", SECTION, "huggingface/transformers#34242", "loss.mlm",
            objective(over_all_positions)),
    Mistake("labels-smoothed", SECTION, "an option left on", "loss.mlm", objective(smoothed)),
    Mistake("losses-averaged", SECTION, "huggingface/transformers#35203", "loss.total",
            objective(total=lambda mlm, nsp: (mlm + nsp) / 2)),
    Mistake("sentence-loss-left-out", SECTION, "RoBERTa's objective", "loss.total",
            objective(total=lambda mlm, nsp: mlm + 0 * nsp)),
]  # fmt: skip
