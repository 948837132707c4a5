"""Mistakes in the heads of tasks and in their losses."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .mistake import Mistake, Model, Patch

SECTION = "tasks"
Tensor = torch.Tensor
IGNORED = -100
Loss = Callable[[Any, dict[str, Tensor]], Tensor]


def loss(formula: Loss) -> Patch:
    """`formula(output, labels by name)` instead of the model's own loss."""

    def patch(model: Model) -> None:
        inside = model.forward

        def forward(**inputs: Any) -> Any:
            names = [name for name in inputs if name in ("labels", "start_positions", "end_positions")]
            labels = {name: inputs.pop(name) for name in names}
            output = inside(**inputs)
            output.loss = formula(output, labels)
            return output

        model.forward = forward

    return patch


def classes(function: Callable[[Tensor, Tensor], Tensor]) -> Patch:
    """`function(logits, labels)` as the loss of a model with one output and one kind of labels."""
    return loss(lambda output, given: function(output.logits, given["labels"]))


def classifier(formula: Callable[[Any, Tensor], Tensor]) -> Patch:
    """`formula(module, what it reads)` for the classifier."""

    def patch(model: Model) -> None:
        module = model.classifier
        module.forward = lambda x: formula(module, x)

    return patch


def raw_first_token(model: Model) -> None:
    """The classifier reads the first token's state, and not the pooled one."""
    kept: list[Tensor] = []
    pool, module = model.bert.pooler.forward, model.classifier

    def remember(x: Tensor) -> Tensor:
        kept[:] = [x[:, 0]]
        return pool(x)

    model.bert.pooler.forward = remember
    module.forward = lambda pooled: F.linear(kept[0] + 0 * pooled, module.weight, module.bias)


def layer_before(model: Model) -> None:
    """The classifier of tokens reads the layer before the last."""
    kept: list[Tensor] = []
    model.bert.encoder.layer[-2].register_forward_hook(
        lambda _, args, output: kept.append(output[0] if isinstance(output, tuple) else output)
    )
    module = model.classifier
    module.forward = lambda x: F.linear(kept[-1] + 0 * x, module.weight, module.bias)


def frozen_encoder(model: Model) -> None:
    """No gradient goes on from the classifier to the encoder."""
    module = model.classifier
    module.forward = lambda x: F.linear(x.detach() + 0 * x, module.weight, module.bias)


def mean_of_rows(logits: Tensor, labels: Tensor) -> Tensor:
    each = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
    counts = (labels != IGNORED).sum(1)
    return (each.sum(1) / counts.clamp(min=1))[counts > 0].mean()


def ends(output: Any, given: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Logits and positions of both ends."""
    return [(output.start_logits, given["start_positions"]), (output.end_logits, given["end_positions"])]


def outside_clamped(output: Any, given: dict[str, Tensor]) -> Tensor:
    """An answer that lies outside is taken to be at the last token."""
    found = [F.cross_entropy(x, at.clamp(max=x.shape[1] - 1)) for x, at in ends(output, given)]
    return (found[0] + found[1]) / 2


def ends_swapped(output: Any, given: dict[str, Tensor]) -> Tensor:
    (start, first), (end, last) = ends(output, given)
    outside = start.shape[1]
    both = F.cross_entropy(end, first, ignore_index=outside) + F.cross_entropy(start, last, ignore_index=outside)
    return both / 2


def ends_not_halved(output: Any, given: dict[str, Tensor]) -> Tensor:
    found = [F.cross_entropy(x, at, ignore_index=x.shape[1]) for x, at in ends(output, given)]
    return found[0] + found[1]


def choices_across_questions(logits: Tensor, labels: Tensor) -> Tensor:
    """The choices are taken to lie side by side, question by question, where they lie one after the other."""
    questions, choices = logits.shape
    return F.cross_entropy(logits.reshape(choices, questions).T, labels)


def every_choice_alone(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, logits.shape[1]).to(logits.dtype))


def task(name: str, source: str, first: str, patch: Patch, head: str, **options: Any) -> Mistake:
    return Mistake(name, SECTION, source, first, patch, case={"head": head, **options})


TEXTS, TOKENS, SPANS = "sequence_classification", "token_classification", "question_answering"
MISTAKES = [
    task("classifier-reads-raw-first-token", "google-research/bert#43", "classifier.logits", raw_first_token, TEXTS),
    task("classifier-bias-missing", "vllm-project/vllm#46835", "classifier.logits",
         classifier(lambda module, x: F.linear(x, module.weight, 0 * module.bias)), TEXTS),
    task("classifier-detached", "a frozen encoder", "grad:pooled", frozen_encoder, TEXTS),
    task("class-labels-smoothed", "an option left on", "loss.total",
         classes(lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1)), TEXTS),
    task("class-loss-summed", "huggingface/transformers#35438", "loss.total",
         classes(lambda x, y: F.cross_entropy(x, y, reduction="sum")), TEXTS),
    task("softmax-before-cross-entropy", "probabilities given as logits", "loss.total",
         classes(lambda x, y: F.cross_entropy(x.softmax(-1), y)), TEXTS),
    task("class-0-ignored", "codertimo/BERT-pytorch#49", "loss.total",
         classes(lambda x, y: F.cross_entropy(x, y, ignore_index=0)), TEXTS),
    task("absolute-error", "another loss for STS-B", "loss.total", classes(F.l1_loss), "regression"),
    task("targets-broadcast", "torch's warning of another target size", "loss.total",
         classes(lambda x, y: ((x.squeeze(1) - y) ** 2).mean()), "regression"),
    task("labels-summed", "a mean over the texts alone", "loss.total",
         classes(lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="sum") / len(x)), "multi_label"),
    task("sigmoid-twice", "probabilities given as logits", "loss.total",
         classes(lambda x, y: F.binary_cross_entropy_with_logits(x.sigmoid(), y)), "multi_label"),
    task("softmax-of-many-labels", "one label taken for the only one", "loss.total",
         classes(lambda x, y: F.cross_entropy(x, y)), "multi_label"),
    task("tokens-read-layer-before", "an off-by-one of hidden_states", "classifier.logits", layer_before, TOKENS),
    task("ignored-tokens-counted", "huggingface/transformers#3499", "loss.total",
         classes(lambda x, y: F.cross_entropy(x.flatten(0, 1), y.flatten().clamp(min=0))), TOKENS),
    task("mean-of-rows-of-tokens", "huggingface/transformers#34191", "loss.total", classes(mean_of_rows), TOKENS),
    task("ends-swapped", "columns read the other way round", "loss.total", loss(ends_swapped), SPANS, edge="full-rows"),
    task("ends-not-halved", "a sum for a mean", "loss.total", loss(ends_not_halved), SPANS, edge="full-rows"),
    task("answer-outside-clamped", "an answer outside at the last token", "loss.total", loss(outside_clamped), SPANS,
         edge="full-rows"),
    task("choices-across-questions", "a reshape for a transpose", "loss.total", classes(choices_across_questions),
         "multiple_choice"),
    task("every-choice-alone", "a sigmoid for a softmax", "loss.total", classes(every_choice_alone),
         "multiple_choice"),
]  # fmt: skip
