"""Distillation against torch's losses under autograd and AdamW, for every task; what can't be taught is refused."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from bertref import backends
from bertref.config import BertConfig, Numerics
from bertref.data.tasks.taught import taught
from bertref.errors import InputError
from bertref.heads import parameter_shapes
from bertref.layers import Settings
from bertref.objectives import (
    ClassificationObjective,
    DistillationObjective,
    PretrainingObjective,
    Teacher,
    distillation,
    imitation,
    soft,
)
from bertref.objectives.imitation import PROJECTION
from bertref.opset import OpSet
from bertref.train.figures import evaluate
from bertref.train.step import gradients, initial_state

from ..model_cases import Arrays, small_config
from .fine_tuning import TASKS, WIDTH, Task, arguments, check_steps, recipe, trajectory

T, ALPHA, BETA = 2.5, 0.7, 3.0
STEPS = [3, pytest.param(50, marks=pytest.mark.slow)]
HIDDEN = ("none", "cosine", "mse")
TEACHERS = {
    "cosine": small_config(3, hidden_size=32, num_attention_heads=2),
    "mse": small_config(1, hidden_size=20, num_attention_heads=2, hidden_dropout_prob=0.1),
}


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def random_params(shapes: dict[str, Any]) -> Arrays:
    random = np.random.default_rng(8)
    return {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.2, shape)
        for name, shape in shapes.items()
    }


def teacher_params(config: BertConfig) -> Arrays:
    return random_params(parameter_shapes(config, ()))


@dataclass(frozen=True)
class TaughtTask(Task):
    """A task whose batches come with a teacher's logits."""

    def params(self, config: BertConfig | None = None) -> Arrays:
        extra = self.objective.extra_parameters(config or self.config)
        return super().params(config) | random_params(extra)

    def batches(self, count: int, config: BertConfig | None = None) -> Iterator[Any]:
        for step, batch in enumerate(super().batches(count, config)):
            yield taught(batch, 2 * np.random.default_rng(step).normal(size=self._shape(batch)))

    def _shape(self, batch: Any) -> tuple[int, ...]:
        if self.theirs.endswith("MultipleChoice"):
            return batch.input_ids.shape[:2]
        per_token = self.theirs.endswith(("TokenClassification", "QuestionAnswering"))
        return (*batch.input_ids.shape, self.labels) if per_token else (len(batch), self.labels)

    def model(self) -> Any:
        """Transformers' model, with the projection as a part of its own."""
        inner = replace_task(self, self.objective.objective).model()
        for name, shape in self.objective.extra_parameters(self.config).items():
            assert name == PROJECTION
            inner.distillation = torch.nn.Module()
            inner.distillation.projection = torch.nn.Linear(shape[1], shape[0], bias=False).double()
            inner.distillation.projection.weight.data = torch.tensor(self.params()[name])
        return inner


def replace_task(task: Task, objective: Any) -> Task:
    return Task(objective, task.batch, task.theirs, task.labels, task.problem_type)


def taught_task(ops: OpSet, name: str, hidden: str = "none", **settings: Any) -> TaughtTask:
    teacher = None
    if hidden != "none":
        params = {key: ops.xp.from_numpy(a) for key, a in teacher_params(TEACHERS[hidden]).items()}
        teacher = Teacher(params, Settings(TEACHERS[hidden], Numerics()))
    given = {"temperature": T, "alpha": ALPHA, "hidden": hidden, "hidden_weight": BETA, "teacher": teacher} | settings
    task = TASKS[name]
    objective = DistillationObjective(task.objective, **given)
    return TaughtTask(objective, task.batch, task.theirs, task.labels, task.problem_type)


# ---------------------------------------------------------------------------------------------------------------------
# the same by torch


def divergence(logits: torch.Tensor, teachers: torch.Tensor) -> torch.Tensor:
    return F.kl_div(torch.log_softmax(logits / T, -1), torch.softmax(teachers / T, -1), reduction="batchmean") * T**2


def soft_loss(name: str, found: Any, batch: Any) -> torch.Tensor:
    teachers = torch.tensor(batch.teacher_logits)
    if name == "question-answering":
        inside = torch.tensor(batch.start_positions < WIDTH)
        pairs = ((found.start_logits, teachers[..., 0]), (found.end_logits, teachers[..., 1]))
        return sum(divergence(mine[inside], theirs[inside]) for mine, theirs in pairs) / 2
    if name == "regression":
        return F.mse_loss(found.logits, teachers)
    if name == "multi-label":
        mine, theirs = (torch.stack([x, torch.zeros_like(x)], -1).reshape(-1, 2) for x in (found.logits, teachers))
        return divergence(mine, theirs)
    if name == "token-classification":
        labelled = torch.tensor(batch.labels != -100)
        return divergence(found.logits[labelled], teachers[labelled])
    return divergence(found.logits, teachers)


def hidden_loss(model: Any, sequence: torch.Tensor, given: dict[str, torch.Tensor], hidden: str) -> torch.Tensor:
    config = transformers.BertConfig(**TEACHERS[hidden].__dict__, layer_norm_eps=1e-12)
    config._attn_implementation = "eager"
    teacher = transformers.BertModel(config, add_pooling_layer=False).double().eval()
    weights = teacher_params(TEACHERS[hidden])
    teacher.load_state_dict({key.removeprefix("bert."): torch.tensor(a) for key, a in weights.items()})
    names = ("input_ids", "attention_mask", "token_type_ids")
    read = {key: given[key].reshape(-1, WIDTH) for key in names}
    with torch.no_grad():
        wanted = teacher(**read).last_hidden_state
    real = read["attention_mask"] != 0
    if hidden == "cosine":
        return F.cosine_embedding_loss(sequence[real], wanted[real], torch.ones(int(real.sum())))
    return F.mse_loss(model.distillation.projection(sequence[real]), wanted[real])


def torchs(name: str, hidden: str, alpha: float = ALPHA) -> Any:
    def loss(model: Any, batch: Any) -> torch.Tensor:
        given = arguments(batch)
        del given["teacher_logits"]
        found = model(**given, output_hidden_states=True)
        total = alpha * soft_loss(name, found, batch) + (1 - alpha) * found.loss
        if hidden == "none":
            return total
        return total + BETA * hidden_loss(model, found.hidden_states[-1], given, hidden)

    return loss


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("name", TASKS)
def test_steps_are_those_of_torch(ops: OpSet, name: str, hidden: str, steps: int) -> None:
    """Padded and packed in turn, and in chunks."""
    packed = (list(TASKS).index(name) + HIDDEN.index(hidden)) % 2 == 0
    check_steps(ops, taught_task(ops, name, hidden), steps, torchs(name, hidden), packed=packed, chunks=2)


@pytest.mark.parametrize("name", TASKS)
def test_with_dropout_backends_layouts_and_chunks_agree(name: str) -> None:
    for hidden in ("cosine", "mse"):
        plain, *others = (
            trajectory(ops, taught_task(ops, name, hidden), 2, **changes)
            for ops, changes in (
                (OpSet(backends.get("numpy"), kernels=False), {}),
                (OpSet(backends.get("numpy")), {"packed": True, "chunks": 3}),
                (OpSet(backends.get("torch")), {}),
                (OpSet(backends.get("torch")), {"packed": True}),
            )
        )
        for other in others:
            assert np.abs(other - plain).max() < 1e-10, hidden


def test_the_teacher_drops_nothing(ops: OpSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its config would, and the student does."""
    assert TEACHERS["mse"].hidden_dropout_prob > 0
    dropped, whole = {}, distillation.model.forward

    def watched(ops: OpSet, params: Any, x: Any, settings: Settings, **options: Any) -> Any:
        dropped[settings.config.hidden_size] = options.get("dropout") is not None
        return whole(ops, params, x, settings, **options)

    monkeypatch.setattr(distillation.model, "forward", watched)
    trajectory(ops, taught_task(ops, "classification", "mse"), 1)
    assert dropped == {32: True, 20: False}


@pytest.mark.parametrize("name", TASKS)
def test_a_student_that_agrees_has_soft_loss_0(ops: OpSet, name: str) -> None:
    task = taught_task(ops, name)
    batch = next(TASKS[name].batches(1))
    with torch.no_grad():
        found = task.model()(**arguments(batch))
    pair = (found.start_logits, found.end_logits) if name == "question-answering" else None
    logits = torch.stack(pair, -1) if pair else found.logits
    plan = recipe(task.objective, task.config)
    outcome, _ = gradients(ops, plan, initial_state(ops, plan, task.params()), taught(batch, logits.numpy()))
    assert abs(float(ops.xp.to_numpy(outcome.losses["soft"]))) < 1e-12
    assert set(outcome.losses) == {"hard", "soft", "total"}


def test_figures_are_those_of_the_task(ops: OpSet) -> None:
    task = taught_task(ops, "classification")
    batch = next(task.batches(1))
    params = {name: ops.xp.from_numpy(a) for name, a in task.params().items()}
    settings = Settings(task.config, Numerics())
    found = evaluate(ops, task.objective, params, [batch], settings)
    assert found == evaluate(ops, task.objective.objective, params, [batch], settings)


def test_padding_of_spans_has_no_part(ops: OpSet) -> None:
    task = taught_task(ops, "question-answering")
    batch = next(task.batches(1))[:4]
    plan = recipe(task.objective, task.config)
    state = initial_state(ops, plan, task.params())
    wide = batch.padded({"S": WIDTH + 3})
    wide.teacher_logits[:, WIDTH:] = 9
    for packed in (False, True):
        one, other = (gradients(ops, replace(plan, packed=packed), state, each)[0].losses for each in (batch, wide))
        assert {name: float(one[name]) for name in one} == pytest.approx(
            {name: float(other[name]) for name in other}, rel=1e-12
        )


# ---------------------------------------------------------------------------------------------------------------------
# twins with one fault each: the check must reject them all


def without(term: str) -> Any:
    def fault(patch: pytest.MonkeyPatch) -> None:
        owner = {"soft": soft.SoftClasses, "hard": ClassificationObjective}[term]
        whole = owner.compare_backward

        def nothing(self: Any, ops: OpSet, d_loss: Any, *rest: Any) -> Any:
            return whole(self, ops, 0 * d_loss, *rest)

        patch.setattr(owner, "compare_backward", nothing)

    return fault


def without_the_gradient_of_hidden_vectors(patch: pytest.MonkeyPatch) -> None:
    whole = imitation.backward

    def fault(ops: OpSet, d_loss: Any, cache: Any) -> Any:
        dx, grads = whole(ops, d_loss, cache)
        return 0 * dx, grads

    patch.setattr(imitation, "backward", fault)


def without_the_gradient_of_the_projection(patch: pytest.MonkeyPatch) -> None:
    whole = imitation.backward

    def fault(ops: OpSet, d_loss: Any, cache: Any) -> Any:
        dx, grads = whole(ops, d_loss, cache)
        return dx, {name: 0 * grad for name, grad in grads.items()}

    patch.setattr(imitation, "backward", fault)


def padding_is_imitated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(distillation, "real_rows", lambda batch, layout: np.ones(batch.input_ids.size, bool))


@pytest.mark.parametrize(
    "fault",
    [
        without("soft"), without("hard"), without_the_gradient_of_hidden_vectors,
        without_the_gradient_of_the_projection, padding_is_imitated,
    ],
)  # fmt: skip
def test_the_check_rejects_a_twin_with_a_fault(ops: OpSet, monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_steps(ops, taught_task(ops, "classification", "mse"), 1, torchs("classification", "mse"))


@pytest.mark.parametrize("name", TASKS)
def test_the_share_of_the_soft_loss_counts(ops: OpSet, name: str) -> None:
    with pytest.raises(AssertionError):
        check_steps(ops, taught_task(ops, name), 1, torchs(name, "none", alpha=ALPHA + 1e-6))


# ---------------------------------------------------------------------------------------------------------------------
# what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": PretrainingObjective()}, "PretrainingObjective can't learn from a teacher's logits; Classific"),
        ({"temperature": 0.0}, "the temperature is 0.0; it must be above 0"),
        ({"temperature": float("nan")}, "the temperature is nan"),
        ({"alpha": 1.5}, "the soft loss's share is 1.5"),
        ({"hidden_weight": -1.0}, "the weight of hidden vectors is -1.0"),
        ({"hidden": "euclid"}, "hidden is 'euclid'"),
        ({"hidden": "mse"}, "a teacher is run for hidden vectors, and for nothing else"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DistillationObjective(**{"objective": ClassificationObjective(), **settings})


def test_cosine_of_unequal_widths_is_refused(ops: OpSet) -> None:
    task = taught_task(ops, "classification", "cosine")
    with pytest.raises(InputError, match="the teacher's vectors are 32 wide, the student's 24; cosine compares equal"):
        task.objective.extra_parameters(small_config(hidden_size=24))


@pytest.mark.parametrize("name", ["classification", "multi-label"])
def test_a_teacher_of_other_labels_is_refused(ops: OpSet, name: str) -> None:
    task = taught_task(ops, name)
    batch = taught(next(TASKS[name].batches(1)), np.zeros((5, 2)))
    plan = recipe(task.objective, task.config)
    with pytest.raises(InputError, match="the teacher has 2 labels, the student 3"):
        gradients(ops, plan, initial_state(ops, plan, task.params()), batch)


@pytest.mark.parametrize("name", TASKS)
def test_logits_that_are_not_finite_are_refused(ops: OpSet, name: str) -> None:
    task = taught_task(ops, name)
    batch = next(task.batches(1))
    batch.teacher_logits[(2, *[0] * (batch.teacher_logits.ndim - 1))] = np.inf
    with pytest.raises(InputError, match="teacher_logits, row 2: inf is not a finite number"):
        batch.validate(task.config)
