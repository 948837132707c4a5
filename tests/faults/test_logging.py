"""What a run shows and writes on the way changes no bit of what it learns."""

import json
from pathlib import Path

import pytest

from .asking import bertref

STEPS = 12
SENTENCES = "The {0} carries the {1}.\nA {1} follows the {0} home.\nNobody remembers the {0}.\n"
WORDS = ("river", "stone", "clock", "letter", "garden", "brother", "morning", "key")


def run(folder: Path, out: str, *options: str) -> list[dict[str, object]]:
    """A small run; its events."""
    text = "\n".join(SENTENCES.format(word, WORDS[i - 3]) for i, word in enumerate(WORDS))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    done = bertref(
        "pretrain", "text.txt", "--out", out, "--steps", str(STEPS), "--batch-size", "4", "--seq-len", "24",
        "--vocab-size", "80", "--held-out", "0.2", "--log-json", f"{out}.jsonl", *options,
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / f"{out}.jsonl").read_text(encoding="utf-8").splitlines()]


def weights(folder: Path, out: str) -> bytes:
    return (folder / out / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights after a run that shows its first and last step alone."""
    folder = tmp_path_factory.mktemp("quiet")
    run(folder, "out", "--log-every", "1000")
    return weights(folder, "out")


@pytest.mark.parametrize(
    "options",
    [
        ("--log-every", "1"),
        ("--log-every", "5", "--eval-every", "3", "--save-every", "4"),
        ("--log-every", "1", "--json", "--tensorboard", "board"),
    ],
    ids=" ".join,
)
def test_what_is_shown_changes_no_bit(tmp_path: Path, quiet: bytes, options: tuple[str, ...]) -> None:
    run(tmp_path, "out", *options)
    assert weights(tmp_path, "out") == quiet


def test_a_batch_in_chunks_shows_the_figures_of_the_whole(tmp_path: Path) -> None:
    """Those of the first step, for which both runs have the same weights."""
    whole, parts = (
        next(event for event in run(tmp_path, f"in-{chunks}", "--accumulate", chunks) if event["event"] == "step")
        for chunks in ("1", "4")
    )
    for name in ("masked_lm_accuracy", "masked_lm_loss", "next_sentence_accuracy", "next_sentence_loss"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-5), name
