"""Fine-tuning for labels of words, from start to end."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import bertref
from bertref.data.tasks.conll import token_part
from bertref.errors import InputError
from bertref.evaluation import evaluate_part
from bertref.evaluation.column_files import write_columns
from bertref.tasks.tokens import TokenSettings

from . import tiny
from .running import Log, cache  # noqa: F401

POS = "Ada NOUN\nwent VERB\n\nit NOUN\nrained VERB\n"


def test_it_learns_and_the_model_answers(tmp_path: Path) -> None:
    log = Log()
    result = tiny.run(tmp_path, "conll", tiny.SENTENCES, log, steps=60, learning_rate=5e-3, max_length=40)
    assert result.metrics["f1"] == 1
    assert result.metrics["accuracy"] == 1
    assert {"precision", "recall", "loss"} < set(result.metrics)
    model = bertref.load(result.out)
    assert model.labels == ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")
    found = [(span.text, span.label) for span in model.tag("Ada Lovelace lived in London.")]
    assert found == [("Ada Lovelace", "PER"), ("London", "LOC")]
    part = token_part("train", tmp_path / "train.txt")
    again = evaluate_part(model, "token-classification", part, TokenSettings(40))
    assert again.metrics["f1"].value == 1
    write_columns(tmp_path / "predicted.txt", again.answers)
    assert (tmp_path / "predicted.txt").read_text().startswith("Ada B-PER B-PER\nLovelace I-PER I-PER\n")
    assert json.loads((result.out / "results.json").read_text())["metric"] == "f1"


def test_long_sentences_are_learnt_through_windows(tmp_path: Path) -> None:
    data = tiny.SENTENCES.replace("\n\n", "\n")
    log = Log()
    tiny.run(tmp_path, "token-classification", data, log, max_length=8)
    (start,) = log.of("start")
    assert (start["examples"], start["units"] > 3) == (1, True)
    assert any("1 of 1 examples were longer than a sequence" in each["text"] for each in log.of("message"))


def test_parts_of_speech_are_chosen_by_accuracy(tmp_path: Path) -> None:
    result = tiny.run(tmp_path, "token-classification", POS)
    assert set(result.metrics) == {"accuracy", "loss"}
    assert json.loads((result.out / "results.json").read_text())["metric"] == "accuracy"
    with pytest.raises(InputError, match="no metric 'f1' for labels that are no entities"):
        tiny.run(tmp_path, "token-classification", POS, metric="f1", out=str(tmp_path / "other"))


def test_a_mistyped_tag_is_named(tmp_path: Path) -> None:
    log = Log()
    tiny.run(tmp_path, "token-classification", tiny.SENTENCES.replace("York I-LOC", "York X-LOC"), log)
    said = "The label X-LOC (train.txt, line 8, word 5) is no tag of entities (B-..., I-...) as the others"
    assert sum(said in each["text"] for each in log.of("message")) == 1
    model, data = str(tmp_path / "out"), str(tmp_path / "train.txt")
    notes: list[str] = []
    bertref.evaluate(bertref.EvaluateOptions("token-classification", data, model=model, max_length=40), notes.append)
    assert sum(each.startswith("The label X-LOC is no tag") for each in notes) == 1


@pytest.mark.parametrize("data", [POS, tiny.SENTENCES])
def test_labels_of_one_sort_are_nothing_to_name(tmp_path: Path, data: str) -> None:
    log = Log()
    tiny.run(tmp_path, "token-classification", data, log)
    assert not any("no tag" in each["text"] for each in log.of("message"))


def test_class_weights_and_smoothing_count(tmp_path: Path) -> None:
    losses = {}
    for name, changes in {
        "plain": {}, "balanced": {"class_weights": "balanced"}, "given": {"class_weights": "1,2,2,2,2"},
        "smooth": {"label_smoothing": 0.1},
    }.items():  # fmt: skip
        log = Log()
        tiny.run(tmp_path, "conll", tiny.SENTENCES, log, steps=1, log_every=1, out=str(tmp_path / name), **changes)
        losses[name] = log.of("step")[0]["loss"]
    assert len(set(losses.values())) == 4


def test_one_label_and_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every word has the label 'O'; there is nothing to tell apart"):
        tiny.run(tmp_path, "conll", "it O\nrained O\n")
    (tmp_path / "dev.txt").write_text("it O\n\nAda B-LOC\nwent B-X\n")
    with pytest.raises(InputError, match=r"dev.txt, line 3, word 2: the label 'B-X' is unknown; there are O, B-LOC"):
        tiny.run(tmp_path, "conll", tiny.SENTENCES, dev=str(tmp_path / "dev.txt"))


@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_wnut17(tmp_path: Path, data_dir: Path, layout: str) -> None:
    """Fifty sentences of real text in windows; padded and packed learn the same."""
    path = data_dir / "data" / "wnut17" / "dev.conll"
    sentences = list(islice(token_part("dev", path).read(), 50))
    text = "\n".join("".join(f"{w}\t{label}\n" for w, label in zip(s.words, s.labels or (), strict=True))
                     for s in sentences)  # fmt: skip
    result = tiny.run(tmp_path, "conll", text, max_length=16, batch_size=8, layout=layout, dropout=0.0)
    other = tiny.run(
        tmp_path, "conll", text, max_length=16, batch_size=8, layout="padded", dropout=0.0, out=str(tmp_path / "other")
    )
    assert result.metrics["loss"] == pytest.approx(other.metrics["loss"], rel=1e-10)
    assert np.isfinite(result.metrics["loss"])
