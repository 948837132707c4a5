"""`pretrain --init MODEL`: phase 2 with longer sequences, another domain, another objective."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from .asking import bertref

WORDS = ("river", "stone", "clock", "letter", "garden", "brother", "morning", "key")


def write_text(folder: Path, name: str = "text.txt", line: str = "The {0} carries the {1}.") -> None:
    sentences = [[line.format(w, WORDS[i - k]) for k in range(4)] for i, w in enumerate(WORDS)]
    text = "\n\n".join("\n".join(document) for document in sentences)
    (folder / name).write_text(text, encoding="utf-8")


def pretrain(folder: Path, out: str, *options: str, text: str = "text.txt", steps: int = 8) -> str:
    """A run at a constant rate; what it says."""
    done = bertref(
        "pretrain", text, "--out", out, "--steps", str(steps), "--vocab-size", "80", "--batch-size", "4", "--seq-len",
        "16", "--save-every", "4", "--eval-on", "none", "--schedule", "constant", "--warmup-steps", "0", *options,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `first` is a model of masked words and next sentences, with a checkpoint from the middle of its run."""
    folder = tmp_path_factory.mktemp("init")
    write_text(folder)
    pretrain(folder, "first")
    return folder


def weights(path: Path) -> dict[str, np.ndarray]:
    return load_file(path / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_no_step_writes_the_same_weights(folder: Path) -> None:
    pretrain(folder, "same", "--init", "first", steps=0)
    assert equal(folder / "same", folder / "first")
    recorded = json.loads((folder / "same" / "run.json").read_text())["init"]
    assert recorded["path"] == "first"
    assert len(recorded["sha256"]) == 64


def test_it_goes_on_with_longer_sequences_and_other_text(folder: Path) -> None:
    write_text(folder, "other.txt", "A {1} follows the {0} home and nobody remembers the {1}.")
    pretrain(folder, "longer", "--init", "first", "--seq-len", "48", text="other.txt", steps=3)
    assert not equal(folder / "longer", folder / "first")
    for name in ("config.json", "vocab.txt"):
        assert (folder / "longer" / name).read_bytes() == (folder / "first" / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--config", "base"), "--config base contradicts --init first: num_hidden_layers is 2 there, not 12"),
        (("--dialect", "google"), "--dialect google contradicts --init first: gelu,"),
        (("--cased",), "--cased contradicts --init first"),
        (("--seq-len", "600"), "--seq-len 600 is longer than the model's 512 positions"),
        (("--vocab", "vocab.txt"), "--vocab vocab.txt: is another vocabulary"),
        (("--init-optimizer",), "holds no optimiser state"),
        (("--init", "nowhere"), "nowhere: no such folder or file"),
    ],
)
def test_what_contradicts_the_model_is_refused(folder: Path, more: tuple[str, ...], message: str) -> None:
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nriver\n", encoding="utf-8")
    done = bertref("pretrain", "text.txt", "--init", "first", "--out", "refused", *more, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (folder / "refused").exists()


def test_missing_heads_are_made_and_named(folder: Path) -> None:
    pretrain(folder, "words", "--init", "first", "--objective", "mlm", steps=0)
    assert not [name for name in weights(folder / "words") if "pooler" in name or "seq_relationship" in name]
    lines = pretrain(folder, "heads", "--init", "words", steps=0).splitlines()
    named = [line for line in lines if "newly made" in line]
    assert len(named) == 1
    assert "pooler" in named[0]
    assert "next-sentence head" in named[0]
    found, kept = weights(folder / "heads"), weights(folder / "words")
    assert found.keys() == weights(folder / "first").keys()
    assert all(array.tobytes() == found[name].tobytes() for name, array in kept.items())


def test_resuming_is_bit_equal(folder: Path) -> None:
    pretrain(folder, "whole", "--init", "first", "--seed", "3")
    shutil.copytree(folder / "whole", folder / "parts")
    (folder / "parts" / "model.safetensors").unlink()
    shutil.rmtree(folder / "parts" / "checkpoint-8")
    said = pretrain(folder, "parts", "--init", "first", "--seed", "3", "--resume")
    assert "Resuming after step 4" in said
    assert equal(folder / "whole", folder / "parts")


def test_with_the_optimiser_s_state_a_run_is_as_if_it_had_never_ended(folder: Path) -> None:
    pretrain(folder, "second-half", "--init", "first/checkpoint-4", "--init-optimizer")
    assert equal(folder / "second-half", folder / "first")
    pretrain(folder, "from-zero", "--init", "first/checkpoint-4", steps=4)
    assert not equal(folder / "from-zero", folder / "first")
