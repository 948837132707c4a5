"""The material of `bench finetune`: what a run of `bertref finetune` would be asked, and batches with random answers.

For question answering a sequence is a question of a dozen tokens and a context, and the answer is somewhere in the
context; for classification it is a text of one segment with one of two labels.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.tasks.batches import ClassificationBatch, SpanBatch
from ..data.tasks.catalogue import data_set_info
from ..optim import Schedule
from ..train.finetuning.options import FinetuneOptions
from . import inputs
from .job import Job

STEPS = 1000
"""Those that the schedule is made for."""

QUESTION = 12
"""Tokens of a question, at most."""

LABELS = ("LABEL_0", "LABEL_1")


def options(job: Job) -> FinetuneOptions:
    """The options of the `bertref finetune` whose step is timed; its rate is the task's own."""
    return FinetuneOptions(
        task=job.task, data="made of the seed", model=str(Path(job.folder) / "model"), steps=STEPS,
        batch_size=job.batch_size, learning_rate=data_set_info(job.task).learning_rate, dropout=job.dropout,
        backend=job.backend, precision=job.dtype, kernels=job.kernels, recompute=job.recompute, seed=job.seed,
    )  # fmt: skip


def peer_schedule(job: Job) -> Schedule:
    """The linear schedule of a peer, as `bertref finetune` has it."""
    given = options(job)
    assert given.learning_rate is not None
    return Schedule(kind="huggingface", peak=given.learning_rate, steps=STEPS, warmup_steps=round(given.warmup * STEPS))


def batches(job: Job, vocab_size: int) -> list[SpanBatch | ClassificationBatch]:
    """The job's batches, each padded to its longest sequence."""
    make = _spans if job.task == "question-answering" else _classification
    random = np.random.default_rng((job.seed, len(job.lengths)))
    rows = inputs.rows(job, vocab_size)
    starts = range(0, len(rows), job.batch_size)
    return [make(rows[start : start + job.batch_size], start, random) for start in starts]


def compared_batch(job: Job, vocab_size: int) -> SpanBatch | ClassificationBatch:
    """The batch that the sides are compared on: the first one. For question answering its sequences are as long as the
    shortest, because transformers lets padding have a part in the softmax over positions, and ours doesn't."""
    if job.task == "question-answering":
        first = job.batches[0]
        job = replace(job, lengths=(min(first),) * len(first))
    return batches(job, vocab_size)[0]


def _common(rows: list[list[int]], first: int) -> dict[str, npt.NDArray[Any]]:
    arrays = {name: array.astype(np.int32) for name, array in inputs.padded(rows).items()}
    return {**arrays, "example": np.arange(first, first + len(rows), dtype=np.int64)}


def _classification(rows: list[list[int]], first: int, random: np.random.Generator) -> ClassificationBatch:
    labels = random.integers(len(LABELS), size=len(rows), dtype=np.int32)
    return ClassificationBatch(**_common(rows, first), labels=labels)


def _spans(rows: list[list[int]], first: int, random: np.random.Generator) -> SpanBatch:
    """[CLS] question [SEP] context [SEP]: the token after the question becomes the mark between the segments."""
    arrays = _common(rows, first)
    answers = np.zeros((2, len(rows)), np.int32)
    for b, row in enumerate(rows):
        mark = min(1 + QUESTION, len(row) // 2)
        arrays["input_ids"][b, mark] = inputs.SEP
        arrays["token_type_ids"][b, mark + 1 : len(row)] = 1
        answers[:, b] = np.sort(random.integers(mark + 1, len(row) - 1, 2))
    return SpanBatch(**arrays, start_positions=answers[0], end_positions=answers[1])
