"""A task mixed with masked words: torch's losses and updates, step after step; what a batch does not use stays."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from bertref import backends
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.heads import parameter_shapes
from bertref.objectives import ClassificationObjective, MixtureObjective, PretrainingObjective
from bertref.opset import OpSet
from bertref.train.step import gradients, initial_state, train_step

from .fine_tuning import CLIP, TASKS, Task, adamw, arguments, recipe, texts, trajectory

TASK = TASKS["classification"]
OBJECTIVE = MixtureObjective(ClassificationObjective())
EVERY = 3


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def words(random: np.random.Generator, config: Any) -> PretrainingBatch:
    """Two or three predictions a row, of which some count twice."""
    fields = texts(random, 4, config)
    weights = np.array([[1, 1, 1], [1, 2, 0], [1, 1, 0], [2, 1, 1]], np.float32)
    return PretrainingBatch(
        **fields, masked_lm_positions=np.tile(np.array([1, 2, 3], np.int32), (4, 1)),
        masked_lm_ids=random.integers(5, config.vocab_size, (4, 3)).astype(np.int32), masked_lm_weights=weights,
        next_sentence_label=np.zeros(4, np.int32),
    )  # fmt: skip


class Mixed(Task):
    """The classification, every third batch of masked words."""

    def batches(self, count: int, config: Any = None) -> Iterator[Any]:
        of_task = super().batches(count, config)
        for step in range(count):
            yield words(np.random.default_rng(step), config or self.config) if step % EVERY == 1 else next(of_task)

    def model(self) -> Any:
        """Transformers' classifier, with the head of its masked language model beside it."""
        model = TASK.model()
        model.cls = transformers.BertForMaskedLM(model.config).double().cls
        model.cls.predictions.decoder.weight = model.bert.embeddings.word_embeddings.weight
        own = {name: torch.tensor(array) for name, array in self.params().items()}
        found = model.load_state_dict(own, strict=False)
        assert not found.unexpected_keys
        assert all("decoder" in name for name in found.missing_keys)
        return model


def their_loss(model: Any, batch: Any) -> torch.Tensor:
    if not isinstance(batch, PretrainingBatch):
        return model(**arguments(batch)).loss
    given = {name: torch.tensor(getattr(batch, name)).long() for name in ("input_ids", "attention_mask",
                                                                         "token_type_ids")}  # fmt: skip
    scores = model.cls(model.bert(**given).last_hidden_state)
    at = scores[torch.arange(len(batch))[:, None], torch.tensor(batch.masked_lm_positions).long()]
    losses = F.cross_entropy(at.flatten(0, 1), torch.tensor(batch.masked_lm_ids).long().flatten(), reduction="none")
    weights = torch.tensor(batch.masked_lm_weights).double().flatten()
    return (losses * weights).sum() / weights.sum()


def mixed() -> Mixed:
    return Mixed(OBJECTIVE, TASK.batch, TASK.theirs, TASK.labels, TASK.problem_type)


def test_every_update_is_that_of_torch(ops: OpSet) -> None:
    """In torch, too, what a batch does not use has the gradient 0."""
    task = mixed()
    model, plan = task.model(), recipe(OBJECTIVE, task.config)
    optimizer, state = adamw(model, plan), initial_state(ops, plan, task.params())
    for step, batch in enumerate(task.batches(9)):
        optimizer.zero_grad()
        loss = their_loss(model, batch)
        (loss + sum(0 * p.sum() for p in model.parameters())).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        state, result = train_step(ops, plan, state, batch)
        assert abs(result.loss - loss.item()) < 1e-10, f"step {step}"
        named = dict(model.named_parameters())
        assert named.keys() == state.params.keys()
        for name, p in named.items():
            ours, theirs = ops.xp.to_numpy(state.params[name]), p.detach().numpy()
            assert np.abs(ours - theirs).max() < 1e-10, f"step {step}: {name}"


def test_what_a_batch_does_not_use_has_no_gradient(ops: OpSet) -> None:
    task = mixed()
    plan = recipe(OBJECTIVE, task.config)
    state = initial_state(ops, plan, task.params())
    of_task, of_words = (gradients(ops, plan, state, batch)[1] for batch in list(task.batches(2)))
    unused = {name for name, g in of_task.items() if not np.any(ops.xp.to_numpy(g))}
    assert unused == {name for name in of_task if name.startswith("cls.")}
    unused = {name for name, g in of_words.items() if not np.any(ops.xp.to_numpy(g))}
    assert unused == {name for name in of_words if name.startswith(("classifier.", "bert.pooler."))}


def test_chunks_of_a_batch_add_up(ops: OpSet) -> None:
    task = mixed()
    for batch in task.batches(2):
        whole, parts = (recipe(OBJECTIVE, task.config, chunks=chunks) for chunks in (1, 3))
        one, several = (gradients(ops, plan, initial_state(ops, plan, task.params()), batch)[1]
                        for plan in (whole, parts))  # fmt: skip
        for name, grad in one.items():
            np.testing.assert_allclose(
                ops.xp.to_numpy(several[name]), ops.xp.to_numpy(grad), rtol=0, atol=1e-12, err_msg=name
            )


def test_padded_and_packed_drop_the_same(ops: OpSet) -> None:
    padded, packed = (trajectory(ops, mixed(), 4, packed=packed) for packed in (False, True))
    np.testing.assert_allclose(padded, packed, rtol=0, atol=1e-10)


def test_its_parameters_are_those_of_both() -> None:
    config = TASK.config
    both = parameter_shapes(config, OBJECTIVE.heads, num_labels=3)
    objectives = ClassificationObjective(), PretrainingObjective(next_sentence=False)
    one, other = (parameter_shapes(config, each.heads, num_labels=3) for each in objectives)
    assert both == one | other
