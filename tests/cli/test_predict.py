"""`bertref predict` for every head; what it prints is what the Python API gives."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import bertref as library
from bertref import heads
from bertref.api import AnswerOptions
from bertref.cli.prediction_tasks import BELONGS, TASKS, Wish, chosen_task
from tests.cli_helpers import bertref, beside_the_load, in_process
from tests.inference.saved import TEXT, labels, make

KINDS = {
    "pretraining": ("BertForPreTraining", {}),
    "texts": ("BertForSequenceClassification", labels("bad", "good", "[b]odd")),
    "grades": ("BertForSequenceClassification", {**labels("grade"), "problem_type": "regression"}),
    "tokens": ("BertForTokenClassification", labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC")),
    "questions": ("BertForQuestionAnswering", {}),
    "choices": ("BertForMultipleChoice", {}),
    "encoder": ("BertModel", {}),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind."""
    path = tmp_path_factory.mktemp("predict")
    for name, (kind, settings) in KINDS.items():
        make(path / name, kind, **settings)
    return path


def predicted(folder: Path, *arguments: str, **options: Any) -> list[dict[str, Any]]:
    done = in_process("predict", "--model", folder, "--dtype", "float64", "--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    assert beside_the_load(done.stderr) == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line.pop("schema") == 1 for line in found)
    return found


def load(folder: Path) -> library.Model:
    return library.load(folder, dtype="float64")


def test_texts_get_labels(models: Path) -> None:
    model = load(models / "texts")
    found = predicted(models / "texts", "It rained.", "Who?")
    want = model.classify_batch(["It rained.", "Who?"])
    for line, text, scores in zip(found, ["It rained.", "Who?"], want, strict=True):
        assert line.pop("labels") == [{"label": s.label, "score": pytest.approx(s.score)} for s in scores]
        assert line.pop("scores") == pytest.approx(dict(scores))
        assert (line.pop("label"), line.pop("score")) == (scores[0].label, pytest.approx(scores[0].score))
        assert line == {"task": "sequence-classification", "text": text, "problem_type": "single_label_classification"}
    (pair,) = predicted(models / "texts", "It rained.", "--pair", "Who?")
    assert pair["pair"] == "Who?"
    assert pair["labels"][0]["score"] == pytest.approx(model.classify("It rained.", "Who?")[0].score)
    (grade,) = predicted(models / "grades", "It rained.")
    assert grade["problem_type"] == "regression"
    assert grade["labels"][0]["score"] == pytest.approx(load(models / "grades").classify("It rained.")[0].score)


def test_words_get_labels(models: Path, tmp_path: Path) -> None:
    model = load(models / "tokens")
    (tmp_path / "t.txt").write_text(f"{TEXT.splitlines()[0]}\n\nx\n", encoding="utf-8")
    found = predicted(models / "tokens", "--file", str(tmp_path / "t.txt"))
    assert [line["task"] for line in found] == ["token-classification"] * 2
    want = model.tag(TEXT.splitlines()[0])
    assert [(s["start"], s["end"], s["label"], s["text"]) for s in found[0]["spans"]] == [
        (s.start, s.end, s.label, s.text) for s in want
    ]
    (tokens,) = predicted(models / "tokens", "--aggregation", "tokens", "café")
    assert [s["text"] for s in tokens["spans"]] == list("café")


def test_questions_are_answered_from_texts(models: Path) -> None:
    model, context = load(models / "questions"), TEXT
    options = AnswerOptions(top_k=3)
    want = model.answer("Who wrote it?", context, options)
    answers = [{**a._asdict(), "score": pytest.approx(a.score), "probability": pytest.approx(a.probability)}
               for a in want.best]  # fmt: skip
    ways = [
        predicted(models / "questions", "--top-k", "3", "--question", "Who wrote it?", "--context", context),
        predicted(models / "questions", "--top-k", "3", "--question", "Who wrote it?", context),
        predicted(models / "questions", "--top-k", "3", "--context", context, "--file", "-", stdin="Who wrote it?\n"),
    ]
    for (line,) in ways:
        assert line["question"] == "Who wrote it?"
        assert line["context"] == context
        assert line["answers"] == answers
        assert line["no_answer_score"] == pytest.approx(want.no_answer_score)
    (none,) = predicted(models / "questions", "--question", "Who?", context, "--null-threshold", "-99",
                        "--max-answer-length", "2", "--doc-stride", "7")  # fmt: skip
    assert none["answers"][0]["text"] == ""
    options = AnswerOptions(null_threshold=-99, max_answer_length=2, doc_stride=7)
    assert [a["text"] for a in none["answers"]] == [a.text for a in model.answer("Who?", context, options).best]


def test_choices_are_ranked(models: Path) -> None:
    (line,) = predicted(models / "choices", "He went in.", "--choice", "It rained.", "--choice", "Who?")
    want = load(models / "choices").choose("He went in.", ["It rained.", "Who?"])
    assert [(c["number"], c["text"]) for c in line["choices"]] == [(c.number, c.text) for c in want]
    assert [c["probability"] for c in line["choices"]] == pytest.approx([c.probability for c in want])


def test_a_model_of_pre_training_does_both_of_its_tasks(models: Path) -> None:
    (masks,) = predicted(models / "pretraining", "the [MASK]")
    assert masks["task"] == "fill-mask"
    (pair,) = predicted(models / "pretraining", "It rained.", "--pair", "He went in.")
    assert pair["task"] == "next-sentence"
    assert pair["is_next"] == pytest.approx(load(models / "pretraining").next_sentence("It rained.", "He went in."))


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        ("texts", ["It rained."], ["It rained.", "good", "[b]odd", "%"]),
        ("grades", ["It rained."], ["grade"]),
        ("tokens", ["Ada Lovelace", "--aggregation", "words"], ["Ada", "Lovelace", "4-12", "%"]),
        ("questions", ["--question", "Who?", "--context", TEXT], ["Who?", "%", "["]),
        ("questions", ["--question", "Who?", "--context", TEXT, "--null-threshold", "-99"], ["(no answer)"]),
        ("choices", ["a", "--choice", "[red]b", "--choice", "c"], ["[red]b", "c", "%"]),
        ("pretraining", ["the [MASK]", "--top-k", "20"], ["the [MASK]", "%"]),
    ],
)
def test_people_get_a_picture(
    models: Path, name: str, arguments: list[str], shown: list[str]
) -> None:
    done = in_process("predict", "--model", str(models / name), *arguments)
    assert done.returncode == 0, done.stderr
    for part in shown:
        assert part in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("encoder", ["It rained."], "no head for fill-mask; it is an encoder alone: see bertref features"),
        ("texts", ["--task", "fill-mask", "a [MASK]"], "no head for fill-mask; it does sequence-classification"),
        ("texts", ["a", "--choice", "b"], "no head for multiple-choice"),
        ("questions", ["a"], "question-answering needs --question or --context"),
        ("questions", ["a", "--question", "b", "--context", "c"], "or one of them and texts"),
        ("choices", ["a"], "multiple-choice needs --choice"),
        ("choices", ["a", "--choice", "b"], "give at least two"),
        ("pretraining", ["a", "--task", "next-sentence"], "next-sentence needs --pair"),
        ("pretraining", ["a [MASK]", "--pair", "b", "--task", "fill-mask"], "--pair goes with .* not with fill-mask"),
        ("tokens", ["a", "--null-threshold", "1"], "--null-threshold goes with question-answering, not with token"),
    ],
)
def test_wrong_use_is_one_or_two_lines(
    models: Path, name: str, arguments: list[str], message: str
) -> None:
    done = in_process("predict", "--model", str(models / name), *arguments)
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert len(beside_the_load(done.stderr).splitlines()) <= 2
    assert done.stdout == ""


# ---------------------------------------------------------------------------------------------------------------------
# which task


def wish(**given: Any) -> Wish:
    nothing: dict[str, Any] = dict.fromkeys(("task", *BELONGS))
    return Wish(**{**nothing, "top_k": 5, **given})


ALL = ("masked_lm", "next_sentence", "question_answering", "sequence_classification")


@pytest.mark.parametrize(
    ("heads", "given", "task"),
    [
        (("masked_lm", "next_sentence"), {}, "fill-mask"),
        (("masked_lm", "next_sentence"), {"pair": "a"}, "next-sentence"),
        (("masked_lm", "sequence_classification"), {"pair": "a"}, "sequence-classification"),
        (("masked_lm", "sequence_classification"), {}, "sequence-classification"),
        (("masked_lm", "token_classification"), {"aggregation": "words"}, "token-classification"),
        (ALL, {"question": "a"}, "question-answering"),
        (ALL, {"context": "a", "null_threshold": 0.0}, "question-answering"),
        (ALL, {"task": "fill-mask"}, "fill-mask"),
        (ALL, {"task": "next-sentence", "pair": ""}, "next-sentence"),
        (("multiple_choice",), {"choice": ("a", "b")}, "multiple-choice"),
    ],
)
def test_the_task_follows_from_heads_and_options(heads: tuple[str, ...], given: dict[str, Any], task: str) -> None:
    assert chosen_task(heads, wish(**given)) == task


def test_tasks_are_named_once() -> None:
    """The command's own table loads no array library; it does what the heads do, in their order."""
    assert tuple(heads.tasks().values()) == TASKS
    assert set().union(*BELONGS.values()) <= set(TASKS)


def test_a_load_says_what_became_of_every_tensor(models: Path, tmp_path: Path) -> None:
    """On standard error, and what is missing is an error unless it is allowed."""
    folder = tmp_path / "model"
    shutil.copytree(models / "tokens", folder)
    arrays = load_file(folder / "model.safetensors")
    extra = {**arrays, "ema.decay": np.zeros(1, np.float32)}
    save_file(extra, folder / "model.safetensors", metadata={"format": "pt"})
    refused = in_process("predict", "--model", str(folder), "a")
    assert refused.returncode == 2
    assert "1 unused: ema.decay" in refused.stderr
    done = bertref("predict", "--model", str(folder), "--allow", "ema.*", "a")
    assert done.returncode == 0, done.stderr
    assert f"{len(arrays)} read; 0 missing, 1 unused" in done.stderr
