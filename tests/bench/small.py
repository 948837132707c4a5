"""Jobs that take a moment: a config of two narrow layers."""

import json
from pathlib import Path
from typing import Any

from bertref.bench import Job
from bertref.bench.race import with_lengths

CONFIG = {
    "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64,
}  # fmt: skip


def config(folder: Path, **changes: Any) -> str:
    """Writes the config; returns its path."""
    path = folder / "config.json"
    path.write_text(json.dumps({**CONFIG, **changes}), encoding="utf-8")
    return str(path)


def job(folder: Path, command: str = "pretrain", **changes: Any) -> Job:
    """A job with its sequences."""
    given = {"config": config(folder), "batch_size": 3, "seq_len": 12, **changes}
    return with_lengths(Job(command, **given))
