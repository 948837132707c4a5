"""bertref: the very functions that `bertref pretrain`, `bertref finetune`, `bertref.Model.encode` and `bertref predict`
call."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__, api, backends
from ...checkpoint import load_model
from ...data.batch import Batch
from ...data.tasks.examples import Part
from ...errors import InputError
from ...objectives import TOTAL
from ...opset import OpSet
from ...optim import global_norm
from ...train.finetuning.setup import basis_of
from ...train.finetuning.setup import recipe_of as finetuning_recipe
from ...train.pretraining.setup import recipe_of as pretraining_recipe
from ...train.results import StepResult
from ...train.step import State, TrainingRecipe, gradients, initial_state
from ...train.stepper import Stepper
from .. import classifying_inputs, finetuning_inputs, inputs
from ..gradient_norms import grouped_norms
from ..job import Job
from . import STEP

FEW = 8
"""Sequences whose answers are compared."""


def about(job: Job) -> dict[str, Any]:
    """What of bertref runs."""
    return {
        "name": "bertref", "version": __version__, "numpy": np.__version__, "backend": job.backend, "dtype": job.dtype,
        "kernels": sorted(backends.get(job.backend).kernels) if job.kernels else [],
    }  # fmt: skip


class TrainingSide:
    """Full training steps, one a batch, as a run makes them. `compared` is the batch of the figures."""

    units = (STEP,)

    def __init__(self, job: Job, recipe: TrainingRecipe, batches: Sequence[Batch], compared: Batch) -> None:
        backend = backends.get(job.backend)
        recipe.precision.validate(backend)
        self.recipe, self.batches, self.compared = recipe, batches, compared
        self.ops = OpSet(backend, kernels=job.kernels)
        state = initial_state(self.ops, recipe, load_model(Path(job.folder) / "model").params)
        self.stepper = Stepper(self.ops, recipe, state, _must_be_made)
        self.about = {**about(job), "packed": recipe.packed, "optimizer": recipe.optimizer.kind}

    @property
    def state(self) -> State:
        """After the last step."""
        return self.stepper.state

    def figures(self) -> dict[str, Any]:
        """Losses, the norm of all gradients, and that of every part of the model."""
        still = replace(self.recipe.settings.config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        recipe = replace(self.recipe, settings=replace(self.recipe.settings, config=still))
        outcome, grads = gradients(self.ops, recipe, self.state, self.compared)
        if recipe.shards:
            grads = recipe.shards.whole(self.ops.xp, grads)
        host = self.ops.xp.to_numpy
        return {
            "loss": float(host(outcome.losses[TOTAL])),
            "gradient norm": float(host(global_norm(self.ops.xp, grads, self.ops.updates))),
            **grouped_norms((name, host(grad)) for name, grad in grads.items()),
        }

    def run(self, unit: str) -> None:
        for batch in self.batches:
            self.stepper.step(batch)
        self.stepper.settle()
        self.ops.xp.synchronize()


def _must_be_made(result: StepResult, before: State, batch: Batch) -> None:
    if not result.updated:
        raise InputError(f"the step was not made: the loss is {result.loss}; use another --dtype")


class PretrainingSide(TrainingSide):
    """Steps of `bertref pretrain`."""

    def __init__(self, job: Job) -> None:
        config, numerics = inputs.architecture_of(job)
        recipe = pretraining_recipe(inputs.options(job), config, numerics, backends.get(job.backend))
        batches = inputs.pretraining_batches(job, config.vocab_size)
        super().__init__(job, recipe, batches, batches[0])


class FinetuningSide(TrainingSide):
    """Steps of `bertref finetune`. In question answering padding has no part in the loss, so the figures are those of a
    batch without any (`finetuning_inputs.compared_batch`); the batches of the timed work are as ragged as they are."""

    def __init__(self, job: Job) -> None:
        basis = basis_of(finetuning_inputs.options(job), Path(job.folder))
        nothing = Part("train", (), lambda: iter(()))
        recipe = finetuning_recipe(basis, finetuning_inputs.LABELS, nothing, finetuning_inputs.STEPS)
        size = basis.config.vocab_size
        batches = finetuning_inputs.batches(job, size)
        super().__init__(job, recipe, batches, finetuning_inputs.compared_batch(job, size))


class EncodingSide:
    """Texts to vectors. Sequences of one length go through `Model.encode` batch by batch; texts of many lengths all at
    once through `Model.embed`, which is free to batch them by length."""

    units = (STEP,)

    def __init__(self, job: Job) -> None:
        self.model = api.load(
            Path(job.folder) / "model", backend=job.backend, dtype=job.dtype, kernels=job.kernels
        )
        texts = inputs.texts(inputs.rows(job, self.model.config.vocab_size), self.model.tokenizer.vocab)
        self.batches = [texts[i : i + job.batch_size] for i in range(0, len(texts), job.batch_size)]
        self.ragged = job.ragged is not None
        self.about = {**about(job), "call": "Model.embed" if self.ragged else "Model.encode"}

    def figures(self) -> dict[str, Any]:
        """The vectors of the first tokens."""
        found = self.model.encode(self.batches[0])
        return {f"vector of text {i + 1}": found[i, 0].tolist() for i in range(min(FEW, len(found)))}

    def run(self, unit: str) -> None:
        if self.ragged:
            self.model.embed([text for batch in self.batches for text in batch], pooling="mean", normalize=False)
            return
        for batch in self.batches:
            self.model.encode(batch)


class PredictionSide:
    """The five likeliest words for the one mask of every text: `Model.predict_batch`."""

    units = (STEP,)

    def __init__(self, job: Job) -> None:
        self.model = api.load(
            Path(job.folder) / "model", backend=job.backend, dtype=job.dtype, kernels=job.kernels
        )
        masked = [inputs.with_a_mask(row) for row in inputs.rows(job, self.model.config.vocab_size)]
        self.texts = inputs.texts(masked, self.model.tokenizer.vocab)
        self.first = min(FEW, job.batch_size)
        self.about = {**about(job), "call": "Model.predict_batch"}

    def figures(self) -> dict[str, Any]:
        """The probabilities of the best words."""
        found = self.model.predict_batch(self.texts[: self.first])
        return {f"best of text {i + 1}": [g.probability for g in masks[0].top] for i, masks in enumerate(found)}

    def run(self, unit: str) -> None:
        self.model.predict_batch(self.texts)


class ClassificationSide:
    """A file's texts to the labels' probabilities, from text, all at once: `Model.classify_batch`. Each time the
    tokenizer has forgotten the words: it is as slow as one that has not seen them before."""

    units = (STEP,)

    def __init__(self, job: Job) -> None:
        self.model = api.load(job.model_folder, backend=job.backend, dtype=job.dtype, kernels=job.kernels)
        self.texts = classifying_inputs.texts(job)
        self.first = min(FEW, job.batch_size)
        self.about = {**about(job), "call": "Model.classify_batch"}

    def classify(self, texts: Sequence[str]) -> list[list[api.LabelScore]]:
        self.model.tokenizer.forget_words()
        return self.model.classify_batch(texts, truncate="head")

    def figures(self) -> dict[str, Any]:
        """The probabilities of the first texts, in the order of the labels."""
        found = [dict(scores) for scores in self.classify(self.texts[: self.first])]
        return {
            f"probabilities of text {i + 1}": [scores[label] for label in self.model.labels]
            for i, scores in enumerate(found)
        }

    def run(self, unit: str) -> None:
        self.classify(self.texts)
