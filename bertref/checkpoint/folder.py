"""A saved model: a folder that Hugging Face's loaders open as their own.

config.json            architecture and dialect
model.safetensors      the parameters, named as in `bertref.params`; the tied decoder is not stored
vocab.txt              and tokenizer_config.json
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig, Numerics, config_to_dict, read_config
from ..errors import CheckpointError
from ..files import write_file
from ..params import check
from ..text import Tokenizer
from . import tensors

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
VOCAB = "vocab.txt"


@dataclass(frozen=True)
class SavedModel:
    """What a folder holds: host arrays, architecture, dialect, tokenizer."""

    params: dict[str, npt.NDArray[Any]]
    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer


def describe_model(folder: Path, config: BertConfig, numerics: Numerics, tokenizer: Tokenizer) -> None:
    """Writes everything but the weights into an existing folder."""
    tokenizer.save_pretrained(folder, max_length=config.max_position_embeddings)
    text = json.dumps(config_to_dict(config, numerics), indent=2, sort_keys=True) + "\n"
    write_file(folder / CONFIG, text.encode())


def save_weights(folder: Path, params: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes or replaces the weights, last of all: a folder with weights is complete."""
    write_file(folder / WEIGHTS, tensors.to_bytes(params))


def load_model(folder: str | Path, *, dialect: Numerics | None = None) -> SavedModel:
    """Reads a folder that `pretrain` wrote. Raises `CheckpointError` naming what is missing or does not fit."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; a model folder with {CONFIG} and {WEIGHTS} is expected")
    if not (folder / WEIGHTS).is_file():
        checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda p: (len(p.name), p.name))
        hint = f"; its last checkpoint is {checkpoints[-1]}" if checkpoints else ""
        raise CheckpointError(f"{folder}: holds no {WEIGHTS}: training has not finished{hint}")
    config, numerics = read_config(folder / CONFIG, dialect=dialect)
    tokenizer = Tokenizer.from_pretrained(folder)
    if len(tokenizer.vocab) > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the vocabulary has {len(tokenizer.vocab)} tokens and the model's table {config.vocab_size} rows"
        )
    params = tensors.read(folder / WEIGHTS)
    try:
        check(params, config)
    except ValueError as error:
        raise CheckpointError(f"{folder / WEIGHTS}: {error}") from None
    bad = next((name for name, array in params.items() if not np.isfinite(array).all()), None)
    if bad:
        raise CheckpointError(f"{folder / WEIGHTS}: {bad} holds NaN or infinity")
    return SavedModel(params, config, numerics, tokenizer)
