"""Reviews and phrases of our own, laid out as the published data, and a small model: the training in little."""

import random
from dataclasses import replace
from pathlib import Path

from bertref.config import BertConfig
from bertref.default_model.training.recipe import Recipe, WordsStage
from bertref.default_model.training.stages import TrainingPlaces
from tests.train.finetuning import running

GOOD = ("wonderful", "moving", "funny", "clever", "warm")
BAD = ("dull", "awful", "boring", "stupid", "cold")
THINGS = ("film", "story", "plot", "acting", "music", "ending", "script", "scene")
RECIPE = Recipe(
    vocab_size=200, words=(WordsStage(16, 8, 8, 1e-3), WordsStage(32, 4, 6, 1e-3)), teacher_epochs=4.0,
    teacher_rate=2e-3, teacher_batch=16, student_epochs=3.0, student_rate=1e-3, student_batch=8, text_length=24,
)  # fmt: skip


def review(rng: random.Random, words: tuple[str, ...], sentences: int = 4) -> str:
    said = (f"The {rng.choice(THINGS)} is {rng.choice(words)}" for _ in range(sentences))
    return ".<br /><br />".join(said) + "."


def write(folder: Path, seed: int = 1, reviews: int = 60, films: int = 20) -> TrainingPlaces:
    """The data, and the places of a training in `folder`."""
    rng = random.Random(seed)
    root = folder / "aclImdb" / "train"
    for label, words in (("pos", GOOD), ("neg", BAD), ("unsup", GOOD + BAD)):
        (root / label).mkdir(parents=True)
        for i in range(reviews):
            (root / label / f"{i}_{7 if label == 'pos' else 2}.txt").write_text(review(rng, words), encoding="utf-8")
        address = "http://www.imdb.com/title/tt{:07d}/usercomments\n"
        first = 1000 if label == "unsup" else 0
        (root / f"urls_{label}.txt").write_text("".join(address.format(first + i % films) for i in range(reviews)))
    phrases = folder / "SST-2"
    phrases.mkdir()
    for part, count in (("train", 40), ("dev", 12)):
        rows = (f"a {rng.choice(GOOD if i % 2 else BAD)} {rng.choice(THINGS)} {i}\t{i % 2}\n" for i in range(count))
        (phrases / f"{part}.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    config = replace(running.CONFIG, max_position_embeddings=32)
    assert isinstance(config, BertConfig)
    return TrainingPlaces(
        folder / "aclImdb", phrases, str(running.model(folder / "teacher" / "model", config)), folder / "out"
    )
