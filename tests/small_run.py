"""A pre-training run of a second: a small text of our own and a small config."""

import json
import random
from pathlib import Path

SUBJECTS = [
    "the river",
    "a stone",
    "the old clock",
    "our neighbour",
    "the wind",
    "a letter",
    "the garden",
    "her brother",
]
VERBS = ["carries", "hides", "remembers", "follows", "breaks", "finds", "answers", "leaves"]
OBJECTS = ["the morning", "a silver key", "the long road", "every word", "the quiet house", "a small fire", "the sea"]

CONFIG = {
    "vocab_size": 200, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 32, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip


def text(documents: int = 8, sentences: int = 12, seed: int = 7) -> str:
    """Documents of one sentence a line, a blank line between them."""
    rng = random.Random(seed)

    def sentence() -> str:
        return f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)} .".capitalize()

    return "\n\n".join("\n".join(sentence() for _ in range(sentences)) for _ in range(documents)) + "\n"


def write(folder: Path) -> tuple[str, str]:
    """Writes the text and the config; returns their paths."""
    corpus, config = folder / "text.txt", folder / "config.json"
    corpus.write_text(text(), encoding="utf-8")
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    return str(corpus), str(config)


def options(folder: Path, out: str = "out", **changes: object) -> dict[str, object]:
    """Keyword arguments of `PretrainOptions` for a run of 12 steps."""
    corpus, config = write(folder)
    return {
        "corpus": (corpus,), "config": config, "out": str(folder / out), "vocab_size": 100, "steps": 12,
        "batch_size": 4, "seq_len": 24, "save_every": 4, "learning_rate": 1e-2, "held_out": 0.2, "log_every": 1,
        **changes,
    }  # fmt: skip
