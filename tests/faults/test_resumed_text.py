"""A resumed run goes on with the text that it has learnt from, or says that it is another one now."""

import json
from pathlib import Path
from typing import Any

import pytest

import bertref

from .asking import bertref as command

CONFIG = {
    "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8,
    "max_position_embeddings": 24,
}  # fmt: skip
LETTERS = "abcdefghij"


def prepare(folder: Path, name: str, documents: int) -> Path:
    """A prepared corpus of so many documents of six sentences."""
    vocab = folder / "vocab.txt"
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]) + "\n", encoding="utf-8")
    text = folder / f"{name}.txt"
    sentences = [[" ".join(LETTERS[(d + s + i) % 10] for i in range(5)) for s in range(6)] for d in range(documents)]
    text.write_text("\n\n".join("\n".join(document) for document in sentences) + "\n", encoding="utf-8")
    done = command("prepare", text, "--vocab", vocab, "--out", folder / name, "--sentences", "line")
    assert done.returncode == 0, done.stderr
    return folder / name


def run(corpus: Path, out: Path, stop: int, **changes: Any) -> Any:
    config = out.parent / "config.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    options = bertref.PretrainOptions(
        corpus=(str(corpus),), out=str(out), config=str(config), steps=8, batch_size=4, seq_len=16, save_every=2,
        eval_on="none", **changes,
    )  # fmt: skip
    left = iter(range(stop - 1, -1, -1))
    return bertref.pretrain(options, should_stop=lambda: next(left) == 0)


def test_the_counts_of_the_passes_are_in_the_training_state(tmp_path: Path) -> None:
    run(prepare(tmp_path, "corpus", 4), tmp_path / "out", 7)
    state = json.loads((tmp_path / "out/checkpoint-7/training_state.json").read_text(encoding="utf-8"))
    assert state["version"] == 2
    counts = state["pass_counts"]
    assert len(counts) >= 2
    assert sum(counts) >= 7 * 4


def test_a_text_that_has_changed_is_refused(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, "corpus", 4)
    run(corpus, tmp_path / "out", 3)
    corpus.rename(tmp_path / "old")
    prepare(tmp_path, "longer", 9).rename(corpus)
    with pytest.raises(ValueError, match=r"pass 0 has \d+ instances, not the \d+ of the resumed run"):
        run(corpus, tmp_path / "out", 8, resume=True)
