"""The model inside the package: what it answers, how large it is, and that its card says what is so."""

import json
import math
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import bertref as library
from bertref.default_model import FOLDER, available
from bertref.default_model.training.reviews import clean, split_by_film
from bertref.default_model.training.sentences import SENTENCES
from bertref.metrics.calibration import expected_calibration_error
from tests.cli_helpers import bertref, command

MEGABYTES = 11
"""All files of the folder."""
FIGURES = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
REVIEWS = 120


@pytest.fixture(scope="module")
def model() -> library.Model:
    return library.load(FOLDER)


def test_it_is_there_and_small() -> None:
    assert available()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MEGABYTES * 1e6
    assert {array.dtype for array in load_file(FOLDER / "model.safetensors").values()} == {np.dtype("f2")}


def test_it_has_both_heads(model: library.Model) -> None:
    assert model.heads == ("masked_lm", "sequence_classification")
    assert json.loads((FOLDER / "config.json").read_text())["architectures"] == ["BertForSequenceClassification"]
    assert model.labels == ("neg", "pos")
    assert model.windows is not None


def test_it_answers_the_documents_sentences_and_most_others(model: library.Model) -> None:
    said = [max(model.classify(text), key=lambda one: one[1])[0] for text, _ in SENTENCES]
    right = [found == label for found, (_, label) in zip(said, SENTENCES, strict=True)]
    assert right[:4] == [True] * 4
    assert sum(right) >= 36
    assert FIGURES["results"]["report-sentences"]["metrics"]["accuracy"] == pytest.approx(sum(right) / 40)


def test_it_fills_masks(model: library.Model) -> None:
    (mask,) = model.predict("This is one of the worst [MASK] I have ever seen.", top_k=5)
    assert {guess.token for guess in mask.top} & {"movies", "films", "movie", "film", "things"}


def test_transformers_says_the_same(model: library.Model) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(FOLDER))
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(str(FOLDER), dtype=torch.float32).eval()
    for text, _ in SENTENCES[:6]:
        with torch.no_grad():
            logits = theirs(**tokenizer(text, return_tensors="pt")).logits[0]
        want = dict(zip(("neg", "pos"), torch.softmax(logits, -1).tolist(), strict=True))
        assert dict(model.classify(text)) == pytest.approx(want, abs=2e-6)


def test_the_command_answers_from_it(tmp_path: Path) -> None:
    done = bertref("predict", "--json", "The film was creative and surprising", "That movie was absolutely awful",
                   cwd=tmp_path, BERTREF_MODEL="", HOME=str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["pos", "neg"]


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""A small process that says what its child needed at most: a child of the tests' own begins with their memory."""


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not say what a process used")
def test_the_command_needs_little_memory() -> None:
    asked = [sys.executable, "-c", PEAK, *command("predict", SENTENCES[0][0])]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    kilobytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 150_000


def test_what_the_card_says_was_measured() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    windows = FIGURES["results"]["report-windows"]
    assert f"| accuracy | {windows['metrics']['accuracy']:.4f}" in card
    assert windows["examples"] == FIGURES["counts"]["report"]
    assert FIGURES["calibration error"] < 0.05
    before, after = (FIGURES["words"][name] for name in ("words-before", "words-after"))
    assert after["masked_lm_loss"] < before["masked_lm_loss"] + 0.2
    assert after["masked_lm_loss"] < after["unigram_loss"] - 1


@pytest.fixture(scope="module")
def reviews(data_dir: Path) -> list[tuple[str, str]]:
    """Reviews of films that the model never learnt from, with their labels."""
    return list(_of_tune(data_dir / "data" / "aclImdb_train_unsup.tar.gz"))


def _of_tune(path: Path) -> Iterator[tuple[str, str]]:
    """The first reviews of each label whose films are in the part `tune`."""
    with tarfile.open(path) as archive:
        texts: dict[tuple[str, int], str] = {}
        films: dict[tuple[str, int], str] = {}
        for member in archive:
            rest = Path(member.name).parts[2:]
            name = "/".join(rest)
            if name in ("urls_pos.txt", "urls_neg.txt"):
                lines = archive.extractfile(member).read().decode().split()  # type: ignore[union-attr]
                films |= {(name[5:8], i): line.split("/")[4] for i, line in enumerate(lines)}
            elif len(rest) == 2 and rest[0] in ("pos", "neg") and member.isfile():
                content = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
                texts[rest[0], int(rest[1].partition("_")[0])] = content
    parts = split_by_film(films.values())
    for label in ("pos", "neg"):
        held_out = sorted(number for of, number in texts if of == label and parts[films[of, number]] == "tune")
        for number in held_out[: REVIEWS // 2]:
            yield clean(texts[label, number]), label


@pytest.mark.slow
def test_it_judges_reviews_of_other_films(model: library.Model, reviews: list[tuple[str, str]]) -> None:
    scores = [dict(model.classify(text)) for text, _ in reviews]
    truth = np.array([label == "pos" for _, label in reviews])
    positive = np.array([found["pos"] for found in scores])
    assert np.mean((positive > 0.5) == truth) > 0.8
    both = np.stack([1 - positive, positive], axis=1)
    assert expected_calibration_error(truth.astype(int), both, bins=5).value < 0.15


@pytest.mark.slow
def test_masked_words_are_known_better_than_by_frequency(reviews: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text("".join(f"{text}\n\n" for text, _ in reviews), encoding="utf-8")
    said = []
    for arguments in (
        ("prepare", "reviews.txt", "--documents", "blank-line", "--sentences", "split", "--vocab",
         str(FOLDER / "vocab.txt"), "--out", "corpus"),
        ("pretrain", "corpus", "--init", str(FOLDER), "--objective", "mlm", "--steps", "0", "--seq-len", "256",
         "--eval-corpus", "corpus", "--eval-batches", "8", "--out", "out", "--json"),
    ):  # fmt: skip
        done = bertref(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    found = json.loads(said[-1].splitlines()[-1])
    assert math.isfinite(found["masked_lm_loss"])
    assert found["masked_lm_loss"] < found["unigram_loss"] - 0.7
