"""The tasks, each with a small model and ragged batches; and transformers' head for it under autograd and AdamW."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers

from bertref import objectives
from bertref.config import BertConfig, Numerics
from bertref.data.batch import IGNORED_LABEL, Batch
from bertref.data.tasks.batches import (
    ChoiceBatch,
    ClassificationBatch,
    MultiLabelBatch,
    RegressionBatch,
    SpanBatch,
    TokenBatch,
)
from bertref.heads import parameter_shapes
from bertref.layers import Settings
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.precision import Precision
from bertref.train.step import TrainingRecipe, gradients, initial_state, train_step

from ..model_cases import Arrays, error, small_config

LABELS, CHOICES, WIDTH = 3, 4, 11
RATE, DECAY, CLIP = 2e-3, 0.01, 1.0
Random = np.random.Generator


def texts(random: Random, rows: int, config: BertConfig, equal: bool = False) -> dict[str, Any]:
    """The fields of `Batch` of ragged rows, the first of them full; or of rows of equal length."""
    lengths = random.integers(4, WIDTH + 1, rows)
    lengths[0] = WIDTH
    mask = np.arange(WIDTH) < (np.full(rows, WIDTH) if equal else lengths)[:, None]
    return {
        "input_ids": (random.integers(5, config.vocab_size, (rows, WIDTH)) * mask).astype(np.int32),
        "attention_mask": mask.astype(np.int32),
        "token_type_ids": ((np.arange(WIDTH) >= 4) & mask).astype(np.int32),
        "example": random.permutation(1000)[:rows].astype(np.int64),
    }


def classification(random: Random, config: BertConfig) -> Batch:
    labels = random.integers(0, LABELS, 5).astype(np.int32)
    return ClassificationBatch(**texts(random, 5, config), labels=labels)


def regression(random: Random, config: BertConfig) -> Batch:
    return RegressionBatch(**texts(random, 5, config), labels=random.normal(2, 1, (5, 1)))


def multi_label(random: Random, config: BertConfig) -> Batch:
    labels = random.integers(0, 2, (5, LABELS)).astype(np.float64)
    return MultiLabelBatch(**texts(random, 5, config), labels=labels)


def spans(random: Random, config: BertConfig) -> Batch:
    """Rows of equal length: transformers' loss depends on padding. The last row's answer is outside."""
    start = random.integers(0, WIDTH - 2, 5).astype(np.int32)
    end = (start + random.integers(0, 3, 5)).astype(np.int32)
    start[-1], end[-1] = WIDTH, WIDTH + 2
    return SpanBatch(**texts(random, 5, config, equal=True), start_positions=start, end_positions=end)


def tokens(random: Random, config: BertConfig) -> Batch:
    fields = texts(random, 5, config)
    labels = random.integers(0, LABELS, (5, WIDTH))
    ignored = (fields["attention_mask"] == 0) | (random.random((5, WIDTH)) < 0.3)
    return TokenBatch(**fields, labels=np.where(ignored, IGNORED_LABEL, labels).astype(np.int32))


def choice(random: Random, config: BertConfig) -> Batch:
    fields = {
        name: array.reshape(3, CHOICES, *array.shape[1:]) for name, array in texts(random, 3 * CHOICES, config).items()
    }
    return ChoiceBatch(**fields, labels=random.integers(0, CHOICES, 3).astype(np.int32))


@dataclass(frozen=True)
class Task:
    """One task: its objective, its batches, transformers' class, and what that class is told."""

    objective: Any
    batch: Callable[[Random, BertConfig], Any]
    theirs: str
    labels: int = LABELS
    problem_type: str | None = None

    @property
    def config(self) -> BertConfig:
        return small_config(hidden_size=32, num_attention_heads=4)

    def params(self, config: BertConfig | None = None) -> Arrays:
        """Every parameter random and far from its initial value."""
        random = np.random.default_rng(5)
        shapes = parameter_shapes(config or self.config, self.objective.heads, num_labels=self.labels)
        return {
            name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2, shape)
            for name, shape in shapes.items()
        }

    def batches(self, count: int, config: BertConfig | None = None) -> Iterator[Any]:
        for step in range(count):
            yield self.batch(np.random.default_rng(100 + step), config or self.config)

    def model(self) -> Any:
        """Transformers' model with these weights. Without a padding id, because that would take the gradient from the
        padding's row of the table, which counts where padding does."""
        config = transformers.BertConfig(
            **{**self.config.__dict__, "pad_token_id": None}, layer_norm_eps=Numerics().layer_norm_eps,
            num_labels=self.labels, problem_type=self.problem_type,
        )  # fmt: skip
        config._attn_implementation = "eager"
        model = getattr(transformers, self.theirs)(config).double().train()
        own = {name: torch.tensor(array) for name, array in self.params().items()}
        assert not any(model.load_state_dict(own, strict=False))
        return model


TASKS = {
    "classification": Task(
        objectives.ClassificationObjective(), classification, "BertForSequenceClassification",
        problem_type="single_label_classification",
    ),
    "regression": Task(
        objectives.RegressionObjective(), regression, "BertForSequenceClassification", 1, "regression"
    ),
    "multi-label": Task(
        objectives.MultiLabelObjective(), multi_label, "BertForSequenceClassification",
        problem_type="multi_label_classification",
    ),
    "question-answering": Task(objectives.SpanObjective(), spans, "BertForQuestionAnswering", 2),
    "multiple-choice": Task(objectives.ChoiceObjective(), choice, "BertForMultipleChoice", 1),
    "token-classification": Task(objectives.TokenObjective(), tokens, "BertForTokenClassification"),
}  # fmt: skip


def arguments(batch: Any) -> dict[str, torch.Tensor]:
    """A batch as transformers' models are called."""
    given = {name: torch.tensor(array) for name, array in batch.items() if name != "example"}
    return {name: value if value.is_floating_point() else value.long() for name, value in given.items()}


def recipe(objective: Any, config: BertConfig, **changes: Any) -> TrainingRecipe:
    numerics = changes.pop("numerics", Numerics())
    options: dict[str, Any] = {
        "optimizer": Optimizer("adamw", weight_decay=DECAY),
        "schedule": Schedule(kind="constant", peak=RATE, steps=100),
        "precision": Precision.preset("float64"),
        "clip_norm": CLIP,
        "seed": 3,
    }
    return TrainingRecipe(objective, Settings(config, numerics), **{**options, **changes})


def adamw(model: torch.nn.Module, plan: TrainingRecipe) -> torch.optim.Optimizer:
    """torch's, with the decay where ours has it."""
    return adamw_of(dict(model.named_parameters()), plan)


def adamw_of(named: dict[str, Any], plan: TrainingRecipe) -> torch.optim.Optimizer:
    """The same for parameters by their names here."""
    decayed, others = ([p for n, p in named.items() if plan.optimizer.decays(n) is d] for d in (True, False))
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)


Loss = Callable[[Any, Any], torch.Tensor]
"""(transformers' model, batch) -> the loss."""


def own_loss(model: Any, batch: Any) -> torch.Tensor:
    """What the model itself says."""
    return model(**arguments(batch)).loss


def check_steps(ops: OpSet, task: Task, steps: int, loss: Loss = own_loss, **changes: Any) -> None:
    """So many steps from the same weights: every loss, the first step's gradients and all weights are torch's."""
    model, plan = task.model(), recipe(task.objective, task.config, **changes)
    optimizer = adamw(model, plan)
    state, clipped = initial_state(ops, plan, task.params()), 0
    for step, batch in enumerate(task.batches(steps)):
        batch.validate(task.config)
        optimizer.zero_grad()
        theirs = loss(model, batch)
        theirs.backward()
        if step == 0:
            _check_gradients(ops, plan, state, batch, model)
        clipped += float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)) > CLIP
        old = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
        before = {name: np.array(ops.xp.to_numpy(p)) for name, p in state.params.items()}
        optimizer.step()
        state, result = train_step(ops, plan, state, batch)
        assert abs(result.loss - theirs.item()) < 1e-10, f"step {step}"
        for name, p in model.named_parameters():
            update = np.asarray(ops.xp.to_numpy(state.params[name])) - before[name]
            assert np.abs(update - (p.detach().numpy() - old[name])).max() < 1e-10, f"step {step}: {name}"
    assert clipped, "the case must make clipping work"


def _check_gradients(ops: OpSet, plan: TrainingRecipe, state: Any, batch: Any, model: Any) -> None:
    _, grads = gradients(ops, plan, state, batch)
    check_gradients(ops, grads, {name: p.grad.numpy() for name, p in model.named_parameters()})


def check_gradients(ops: OpSet, grads: dict[str, Any], want: dict[str, Any]) -> None:
    """Every gradient is the wanted one."""
    assert set(grads) == set(want)
    largest = max(np.linalg.norm(g) for g in want.values())
    for name, grad in grads.items():
        scale = want[name]
        if np.linalg.norm(scale) < 1e-6 * largest:  # a constant before a softmax: a bias whose gradient is 0
            assert name.endswith(".bias"), f"{name} is not tested"
            scale = want[name.replace(".bias", ".weight")]
        assert error(np.asarray(ops.xp.to_numpy(grad)), want[name], scale) < 1e-10, name


def dropping(task: Task) -> BertConfig:
    """Dropout everywhere, with a rate of its own in front of the classifier."""
    return replace(task.config, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.2, classifier_dropout=0.4)


def trajectory(ops: OpSet, task: Task, steps: int, **changes: Any) -> np.ndarray:
    """Losses, norms and the last weights of a run with dropout, in one row."""
    config = dropping(task)
    plan = recipe(task.objective, config, **changes)
    state, found = initial_state(ops, plan, task.params(config)), []
    for batch in task.batches(steps, config):
        state, result = train_step(ops, plan, state, batch)
        found += [result.loss, result.gradient_norm]
    weights = [np.ravel(ops.xp.to_numpy(p)) for p in state.params.values()]
    return np.concatenate([found, *weights])
