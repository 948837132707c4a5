"""Fine-tuning runs of a second: a small random model, small data of our own, and what a run leaves behind."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertref.checkpoint import describe_model, save_weights
from bertref.config import BertConfig, Numerics
from bertref.init import initial_parameters
from bertref.text import Tokenizer, Vocab
from bertref.train.finetuning.options import FinetuneOptions
from bertref.train.finetuning.run import FinetuneResult, finetune
from tests import small_run

from ..pretraining.running import Log, StopAfter

WORDS = sorted({word for part in (small_run.SUBJECTS, small_run.VERBS, small_run.OBJECTS) for each in part
                for word in each.split()})  # fmt: skip
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
         *"abcdefghijklmnopqrstuvwxyz.,?!"]  # fmt: skip
CONFIG = BertConfig(
    vocab_size=len(dict.fromkeys(VOCAB)), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=48,
)  # fmt: skip


def model(folder: Path, config: BertConfig = CONFIG, heads: tuple[str, ...] = ("pooler",), **numbers: int) -> Path:
    """Writes a model with random weights, by default an encoder with its pooler."""
    folder.mkdir(parents=True, exist_ok=True)
    numerics = Numerics()
    architecture = {("pooler",): "BertModel"}.get(heads, "BertForSequenceClassification")
    describe_model(folder, config, numerics, Tokenizer(Vocab(list(dict.fromkeys(VOCAB)))), architecture=architecture)
    params = initial_parameters(config, numerics, 4, heads=heads, **numbers)
    save_weights(folder, {name: np.asarray(array * 4, np.float32) for name, array in params.items()})
    return folder


def sentences(count: int, seed: int = 3) -> list[tuple[str, str]]:
    """Sentences, and whether they are about water: what a small model can learn."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        subject, verb, what = (rng.choice(words) for words in (small_run.SUBJECTS, small_run.VERBS, small_run.OBJECTS))
        text = f"{subject} {verb} {what}" + rng.choice(["", " .", " and the long road"])
        found.append((text, "wet" if "river" in text or "sea" in text else "dry"))
    return found


def table(path: Path, count: int = 40, seed: int = 3) -> Path:
    """A CSV file of sentences and labels."""
    rows = "".join(f'"{text}",{label}\n' for text, label in sentences(count, seed))
    path.write_text("text,label\n" + rows, encoding="utf-8")
    return path


def options(folder: Path, out: str = "out", **changes: Any) -> FinetuneOptions:
    """Options of a run of 12 steps."""
    given: dict[str, Any] = {
        "task": "classification", "data": str(folder / "train.csv"), "dev": str(folder / "dev.csv"),
        "model": str(folder / "model"), "out": str(folder / out), "batch_size": 8, "steps": 12, "save_every": 4,
        "eval_every": 3, "log_every": 1, "learning_rate": 1e-3, "max_length": 24, **changes,
    }  # fmt: skip
    return FinetuneOptions(**given)


def prepared(folder: Path) -> Path:
    """A folder with the model and the two files of `options`."""
    if not (folder / "model").is_dir():
        model(folder / "model")
        table(folder / "train.csv")
        table(folder / "dev.csv", 24, seed=5)
    return folder


def run(folder: Path, out: str = "out", stop_after: int = 10**6, **changes: Any) -> tuple[FinetuneResult, Log]:
    log = Log()
    return finetune(options(prepared(folder), out, **changes), log, StopAfter(stop_after)), log


def weights(path: Path) -> dict[str, np.ndarray]:
    return load_file(path / "model.safetensors")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go to a folder of the test's own: import it into the test's module."""
    monkeypatch.setenv("BERTREF_CACHE", str(tmp_path_factory.mktemp("cache")))
