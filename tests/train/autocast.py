"""Pre-training steps by ours and by transformers under `torch.autocast`: the same weights, batches, rates, clipping."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bertref import BertConfig, Numerics, backends
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.init import initial_parameters
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.precision import Precision
from bertref.train.step import TrainingRecipe, initial_state, train_step
from bertref.verify.subjects.torch_model import stock

Losses = np.ndarray
NUMERICS = Numerics.preset("huggingface")
OPTIMIZER = Optimizer.from_numerics(NUMERICS)
CLIP = 1.0
MASK = 4


@dataclass(frozen=True)
class Work:
    """A config, its first weights, the batches to learn from, and the learning rates."""

    config: BertConfig
    weights: dict[str, np.ndarray]
    batches: list[PretrainingBatch]
    schedule: Schedule


def work(steps: int, rows: int, length: int, seed: int, **sizes: int) -> Work:
    """Batches of words that are as unequally frequent as those of a language, in rows of every length."""
    config = BertConfig(
        **sizes, max_position_embeddings=length, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    random = np.random.default_rng(seed)
    batches = [_batch(random, config, rows, length) for _ in range(steps)]
    schedule = Schedule(kind="huggingface", peak=1e-3, steps=steps, warmup_steps=steps // 10)
    return Work(config, initial_parameters(config, NUMERICS, seed), batches, schedule)


def _batch(random: np.random.Generator, config: BertConfig, rows: int, length: int) -> PretrainingBatch:
    P = length // 6
    frequent = 1 / np.arange(1, config.vocab_size - 4)
    ids = random.choice(np.arange(5, config.vocab_size), (rows, length), p=frequent / frequent.sum())
    lengths = np.linspace(2 * P, length, rows).astype(int)
    mask = np.arange(length) < lengths[:, None]
    positions = np.array([np.sort(random.choice(np.arange(1, n), P, replace=False)) for n in lengths])
    labels = np.take_along_axis(ids, positions, axis=1)
    np.put_along_axis(ids, positions, MASK, axis=1)
    second = (np.arange(length) >= lengths[:, None] // 2) & mask
    batch = PretrainingBatch(
        input_ids=(ids * mask).astype(np.int32), attention_mask=mask.astype(np.int32),
        token_type_ids=second.astype(np.int32), masked_lm_positions=positions.astype(np.int32),
        masked_lm_ids=labels.astype(np.int32), masked_lm_weights=np.ones((rows, P), np.float32),
        next_sentence_label=random.integers(0, 2, rows).astype(np.int32), example=np.arange(rows, dtype=np.int64),
    )  # fmt: skip
    batch.validate(config)
    return batch


def ours(work: Work, precision: str) -> Losses:
    """The loss of every step, on torch."""
    ops = OpSet(backends.get("torch"))
    recipe = TrainingRecipe(
        PretrainingObjective(), Settings(work.config, NUMERICS), OPTIMIZER, work.schedule, Precision.preset(precision),
        clip_norm=CLIP,
    )
    state = initial_state(ops, recipe, work.weights)
    losses = []
    for batch in work.batches:
        state, result = train_step(ops, recipe, state, batch)
        losses.append(result.loss)
    return np.array(losses)


def transformers(work: Work, attention: str) -> Losses:
    """The loss of every step of `BertForPreTraining`, clip_grad_norm_ and AdamW under autocast."""
    return np.array(list(_transformers(work, attention)))


def _transformers(work: Work, attention: str) -> Iterator[float]:
    model = stock(work.config, NUMERICS, attention)
    model.load_state_dict({name: torch.tensor(value) for name, value in work.weights.items()}, strict=False)
    model.tie_weights()
    groups: dict[bool, list[Any]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[OPTIMIZER.decays(name)].append(parameter)
    decays = [{"params": groups[True], "weight_decay": OPTIMIZER.weight_decay},
              {"params": groups[False], "weight_decay": 0.0}]  # fmt: skip
    optimizer = torch.optim.AdamW(decays, betas=(OPTIMIZER.beta1, OPTIMIZER.beta2), eps=OPTIMIZER.epsilon)
    for step, batch in enumerate(work.batches):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.train()(**_arguments(batch)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = work.schedule.rate(step)
        optimizer.step()
        yield loss.item()


def _arguments(batch: PretrainingBatch) -> dict[str, Any]:
    labels = np.full(batch.input_ids.shape, -100)
    np.put_along_axis(labels, batch.masked_lm_positions, batch.masked_lm_ids, axis=1)
    given = {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "token_type_ids")}
    given |= {"labels": labels, "next_sentence_label": batch.next_sentence_label}
    return {name: torch.tensor(np.asarray(value)).long() for name, value in given.items()}
