"""Masked words beside a task: whose turn it is, both heads learn and are saved, a stopped run goes on bit-equal."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bertref
from bertref.checkpoint import load_model
from bertref.data.pretraining.documents import Document
from bertref.data.pretraining.shards import prepare
from bertref.errors import InputError
from bertref.text import Tokenizer, Vocab
from bertref.train.finetuning.masked_words import Turns

from . import running
from .running import VOCAB, cache, run, weights  # noqa: F401

HEADS = ("masked_lm", "sequence_classification")


@given(st.integers(2, 9), st.integers(1, 60))
def test_turns_come_once_in_every_few_steps(every: int, task_steps: int) -> None:
    turns = Turns(every)
    steps = turns.steps(task_steps)
    mine = [step for step in range(steps) if not turns.is_words(step)]
    assert len(mine) == task_steps
    assert mine[-1] == steps - 1  # no more of them than the task's steps ask for
    assert [step - turns.words_before(step) for step in mine] == list(range(task_steps))
    assert [turns.words_before(step) for step in range(steps) if turns.is_words(step)] == list(
        range(steps - task_steps)
    )
    assert all(sum(turns.is_words(step) for step in range(a, a + every)) == 1 for a in range(steps))


def test_without_masked_words_every_turn_is_the_tasks() -> None:
    turns = Turns()
    assert (turns.steps(7), turns.words_before(5)) == (7, 0)
    assert not any(map(turns.is_words, range(9)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with both heads, data, and a corpus of sentences like those of the data."""
    running.model(tmp_path / "model", heads=HEADS, num_labels=2)
    running.table(tmp_path / "train.csv")
    running.table(tmp_path / "dev.csv", 24, seed=5)
    corpus(tmp_path / "corpus")
    return tmp_path


def corpus(folder: Path, tokens: list[str] | None = None, **options: Any) -> Path:
    texts = [text for text, _ in running.sentences(60, seed=9)]
    documents = [Document(tuple(texts[i : i + 3]), "text") for i in range(0, 60, 3)]
    prepare(iter(documents), Tokenizer(Vocab(tokens or list(dict.fromkeys(VOCAB))), **options), folder)
    return folder


def learn(folder: Path, out: str = "out", stop_after: int = 10**6, **changes: Any) -> Any:
    given = {"masked_words": str(folder / "corpus"), "masked_words_every": 3, **changes}
    return run(folder, out, stop_after, **given)


def test_both_heads_learn_and_are_saved(folder: Path) -> None:
    _, log = learn(folder, steps=90, learning_rate=5e-3, dropout=0.0, eval_every=90)
    words = [step["mlm_loss"] for step in log.of("step") if "mlm_loss" in step]
    assert len(words) == 30
    assert np.mean(words[-5:]) < np.mean(words[:5]) - 0.5
    saved = load_model(folder / "out")
    assert saved.heads == HEADS
    model = bertref.load(folder / "out")
    assert model.predict("the [MASK]")[0].top
    assert {found.label for found in model.classify("the river")} == {"wet", "dry"}


@pytest.mark.parametrize(("every", "log_every"), [(3, 3), (2, 4)])
def test_losses_of_both_kinds_are_shown_at_any_interval(folder: Path, every: int, log_every: int) -> None:
    """Of steps that are shown none may be one of masked words; the last of those is shown beside."""
    _, every_step = learn(folder, "all", steps=12, masked_words_every=every)
    result, log = learn(folder, "some", steps=12, masked_words_every=every, log_every=log_every)
    known = {step["step"]: step for step in every_step.of("step")}
    shown = log.of("step")
    at = [1, *range(log_every, 13, log_every)]
    words = {max((n for n in range(1, end + 1) if "mlm_loss" in known[n]), default=end) for end in at}
    assert [step["step"] for step in shown] == sorted({*at, *words})
    for step in shown:
        assert {name: step[name] for name in ("loss", "gradient_norm")} == {
            name: known[step["step"]][name] for name in ("loss", "gradient_norm")
        }
    assert result.curve == [(step["step"], step["loss"]) for step in shown]


def test_transformers_opens_the_classifier(folder: Path) -> None:
    import torch
    import transformers

    learn(folder, steps=3)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "out").eval()
    model = bertref.load(folder / "out")
    encoding = model.tokenizer.encode_batch(["the river and the sea"], None)[0]
    with torch.no_grad():
        p = torch.softmax(theirs(torch.tensor([encoding.input_ids])).logits[0], 0)
    found = {each.label: each.score for each in model.classify("the river and the sea")}
    assert found == pytest.approx({theirs.config.id2label[i]: float(p[i]) for i in range(2)}, abs=1e-5)


def test_a_stopped_run_goes_on_with_equal_bits(folder: Path) -> None:
    learn(folder, "whole", steps=11)
    learn(folder, "parts", stop_after=5, steps=11)
    learn(folder, "parts", steps=11, resume=True)
    one, other = weights(folder / "whole"), weights(folder / "parts")
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert one.keys() == other.keys()


def test_another_corpus_cannot_go_on_with_a_run(folder: Path) -> None:
    learn(folder, "parts", stop_after=5)
    with open(folder / "corpus" / "vocab.txt", encoding="utf-8") as file:
        tokens = file.read().split("\n")[:-1]
    shutil.rmtree(folder / "corpus")
    texts = [text for text, _ in running.sentences(60, seed=10)]
    prepare(iter([Document(tuple(texts), "text")]), Tokenizer(Vocab(tokens)), folder / "corpus")
    with pytest.raises(InputError, match="data to learn from have changed"):
        learn(folder, "parts", resume=True)


def test_an_epoch_is_the_tasks(folder: Path) -> None:
    """40 examples in batches of 8 are 5 steps, and 2 of masked words among them."""
    result, log = learn(folder, steps=None, epochs=2.0, eval_every=0)
    assert result.step == 15
    assert log.of("start")[0]["epochs"] == pytest.approx(2, abs=0.2)
    assert [each["step"] for each in log.of("eval")][-1] == 15


def test_what_is_no_fitting_corpus_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"train\.csv: is no corpus made by `bertref prepare`"):
        learn(folder, masked_words=str(folder / "train.csv"))
    with pytest.raises(InputError, match="another vocabulary"):
        learn(folder, masked_words=str(corpus(folder / "other", [*dict.fromkeys(VOCAB), "more"])))
    with pytest.raises(InputError, match="another casing"):
        learn(folder, masked_words=str(corpus(folder / "cased", lower_case=False)))
    with pytest.raises(InputError, match="--masked-words-every does nothing without --masked-words"):
        run(folder, masked_words_every=3)
    with pytest.raises(InputError, match="--masked-words-every is 1; it must be at least 2"):
        learn(folder, masked_words_every=1)
    assert not (folder / "out").exists()
