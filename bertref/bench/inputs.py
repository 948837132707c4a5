"""The material of a race, the same for both sides: a model folder on the disk, and sequences made of the seed.

The weights are random but rich: biases away from 0, norms away from 1, dense layers that count beside the residual.
With the weights of a fresh model a peer that drops a bias would agree. The vocabulary is one of made-up words, each one
token, so that a text of n - 2 words is a sequence of exactly n tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checkpoint import describe_model, save_weights
from ..config import BertConfig, Numerics
from ..data.pretraining.batch import PretrainingBatch, zeros
from ..errors import InputError
from ..heads import COMBINATIONS
from ..heads import architecture_of as architecture_named
from ..init import initial_parameters
from ..optim import Schedule
from ..text import Tokenizer, Vocab
from ..text.vocab import SPECIAL_TOKENS
from ..train.finetuning.kinds import KINDS
from ..train.pretraining.options import PretrainOptions
from ..train.pretraining.setup import architecture
from .job import Job

PAD, UNK, CLS, SEP, MASK = range(5)
"""The ids of the special tokens in the made-up vocabulary."""

FIRST_WORD = len(SPECIAL_TOKENS)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def options(job: Job) -> PretrainOptions:
    """The options of the `bertref pretrain` whose step is timed."""
    return PretrainOptions(
        config=job.config, batch_size=job.batch_size, seq_len=job.seq_len, max_predictions=job.masked,
        dropout=job.dropout, backend=job.backend, precision=job.dtype, kernels=job.kernels, recompute=job.recompute,
        seed=job.seed,
    )  # fmt: skip


def peer_schedule(job: Job) -> Schedule:
    """The linear schedule of a peer's pre-training."""
    given = options(job)
    return Schedule(kind="huggingface", peak=given.rate, steps=given.steps, warmup_steps=given.warmup)


def architecture_of(job: Job) -> tuple[BertConfig, Numerics]:
    """The config, with the padding id of the sequences, and the dialect. Raises `InputError` if the sequences don't
    fit, if it has no room for words, or if the work has a second segment and the network hasn't."""
    config, numerics = architecture(options(job))
    if not job.from_text:
        config = replace(config, pad_token_id=PAD)
    if job.seq_len > config.max_length:
        raise InputError(f"--seq-len {job.seq_len} is longer than the {config.max_length} positions of {job.config}")
    if config.vocab_size <= FIRST_WORD:
        raise InputError(f"{job.config}: a vocabulary of more than {FIRST_WORD} tokens is needed")
    if config.type_vocab_size < 2 and job.command != "predict":
        raise InputError(f"{job.config}: bench {job.command} needs two segments; predict does without")
    return config, numerics


def word(number: int) -> str:
    """A word of four letters or more, another one for every number."""
    letters = ""
    while number or len(letters) < 4:
        number, rest = divmod(number, len(LETTERS))
        letters = LETTERS[rest] + letters
    return letters


def vocabulary(size: int) -> Vocab:
    """The special tokens and made-up words."""
    return Vocab((*SPECIAL_TOKENS, *(word(i) for i in range(size - FIRST_WORD))))


def heads_of(job: Job) -> tuple[str, ...]:
    """The heads of the model, by their names in `bertref.heads`."""
    own = {"finetune": (KINDS[job.task].head,), "predict": ("masked_lm",)}
    return own.get(job.command, COMBINATIONS["pretraining"].heads)


def class_of(job: Job) -> str:
    """Hugging Face's class of the model."""
    return str(architecture_named(heads_of(job)))


def rich_parameters(
    config: BertConfig, numerics: Numerics, seed: int, heads: Sequence[str] = ("pretraining",)
) -> dict[str, npt.NDArray[Any]]:
    """Initial weights in float32 with something in every bias and every norm, and with dense layers whose outputs are
    as large as their inputs, at any width: what a wrong one does is then not lost in the residual."""
    random = np.random.default_rng(seed)
    params = initial_parameters(config, numerics, seed, heads=heads)
    for name, array in params.items():
        if name.endswith(("bias", "LayerNorm.weight")):
            params[name] = array + np.float32(0.2) * random.standard_normal(array.shape, dtype=np.float32)
        elif "embeddings" not in name:
            params[name] = array / np.float32(config.initializer_range * np.sqrt(array.shape[1]))
    return params


def write_model(folder: Path, job: Job) -> None:
    """The model of a race as a Hugging Face folder, which both sides read each in its own way."""
    config, numerics = architecture_of(job)
    folder.mkdir(parents=True)
    describe_model(folder, config, numerics, Tokenizer(vocabulary(config.vocab_size)), architecture=class_of(job))
    save_weights(folder, rich_parameters(config, numerics, job.seed, heads_of(job)))


def rows(job: Job, vocab_size: int) -> list[list[int]]:
    """The ids of every sequence, framed: [CLS], words, [SEP]."""
    random = np.random.default_rng(job.seed)
    return [
        [CLS, *random.integers(FIRST_WORD, vocab_size, length - 2).tolist(), SEP] for length in job.lengths
    ]


def with_a_mask(row: list[int]) -> list[int]:
    """The sequence with its middle word masked."""
    middle = len(row) // 2
    return [*row[:middle], MASK, *row[middle + 1 :]]


def texts(sequences: list[list[int]], vocab: Vocab) -> list[str]:
    """What a person would have to write for these sequences."""
    return [" ".join(vocab.tokens[i] for i in row[1:-1]) for row in sequences]


def padded(sequences: list[list[int]]) -> dict[str, npt.NDArray[np.int64]]:
    """One batch as Hugging Face names it, padded to its longest sequence."""
    B, S = len(sequences), max(map(len, sequences))
    found = {name: np.zeros((B, S), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    for b, row in enumerate(sequences):
        found["input_ids"][b, : len(row)], found["attention_mask"][b, : len(row)] = row, 1
    return found


def pretraining_batches(job: Job, vocab_size: int) -> list[PretrainingBatch]:
    """Batches as `bertref pretrain` makes them: two segments, masked positions, a label for the second segment."""
    per_full = options(job).predictions
    result = []
    sequences = iter(rows(job, vocab_size))
    for number, lengths in enumerate(job.batches):
        random = np.random.default_rng((job.seed, number))
        batch = zeros(len(lengths), max(lengths), min(per_full, max(lengths) - 3))
        for b, length in enumerate(lengths):
            ids = np.array(next(sequences), np.int32)
            ids[length // 2] = SEP
            places = np.setdiff1d(np.arange(1, length - 1), [length // 2])
            count = min(len(places), max(1, round(per_full * length / job.seq_len)))
            positions = np.sort(random.choice(places, count, replace=False))
            batch.masked_lm_positions[b, :count], batch.masked_lm_ids[b, :count] = positions, ids[positions]
            batch.masked_lm_weights[b, :count] = 1
            ids[positions] = MASK
            batch.input_ids[b, :length], batch.attention_mask[b, :length] = ids, 1
            batch.token_type_ids[b, length // 2 + 1 : length] = 1
            batch.next_sentence_label[b] = random.integers(2)
            batch.example[b] = number * job.batch_size + b
        result.append(batch)
    return result
