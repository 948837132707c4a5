"""A teacher in a run: its logits are the model's own, they are worked out once, and what can't be taught is refused."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import bertref
from bertref.errors import InputError
from bertref.objectives.imitation import PROJECTION
from bertref.text import Tokenizer, Vocab
from bertref.train.finetuning import teacher_answers
from bertref.train.finetuning.setup import FinetuneSetup, basis_of, set_up
from bertref.train.report import silent

from . import running
from .running import CONFIG, VOCAB, cache, run, weights  # noqa: F401


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher that has learnt the task."""
    folder = tmp_path_factory.mktemp("teacher")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTREF_CACHE", str(folder / "cache"))
        run(folder, "teacher", steps=120, learning_rate=1e-2, dropout=0.0, eval_every=120)
    return folder


@pytest.fixture
def taught_folder(teacher: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(teacher, tmp_path / "taught"))


def setup_of(folder: Path, **changes: Any) -> FinetuneSetup:
    options = running.options(folder, teacher=str(folder / "teacher"), **changes)
    return set_up(basis_of(options, folder / "none"), silent)


def test_logits_are_the_teachers_own(taught_folder: Path) -> None:
    setup = setup_of(taught_folder, precision="float64")
    units = setup.order.batch(0)
    batch = setup.features.batch(setup.store, units)
    texts = [text for text, _ in running.sentences(40)]
    answers = bertref.load(taught_folder / "teacher", dtype="float64").classify_batch([texts[u] for u in units])
    for row, answer in zip(batch.teacher_logits, answers, strict=True):  # type: ignore[attr-defined]
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        assert dict(zip(setup.labels, p, strict=True)) == pytest.approx({a.label: a.score for a in answer}, abs=1e-12)


def test_a_student_learns_from_the_teacher_alone(taught_folder: Path) -> None:
    """With labels that are wrong: only the teacher's answers count where the labels' weight is 0."""
    wrong = [(text, "dry" if label == "wet" else "wet") for text, label in running.sentences(40)]
    (taught_folder / "wrong.csv").write_text("text,label\n" + "".join(f'"{t}",{label}\n' for t, label in wrong))
    changes = {"data": str(taught_folder / "wrong.csv"), "teacher": str(taught_folder / "teacher"), "hard_weight": 0.0}
    result, log = run(taught_folder, "student", steps=120, learning_rate=1e-2, dropout=0.0, eval_every=120, **changes)
    assert result.metrics["accuracy"] > 0.8
    assert {"soft_loss", "hard_loss"} <= log.of("step")[0].keys()


def test_a_teacher_that_has_changed_is_refused(taught_folder: Path) -> None:
    changes = {"teacher": str(taught_folder / "teacher")}
    run(taught_folder, "halves", stop_after=5, **changes)
    run(taught_folder, "halves", stop_after=1, resume=True, **changes)
    changed = weights(taught_folder / "teacher")
    changed["classifier.bias"] = changed["classifier.bias"] + np.float32(0.25)
    save_file(changed, taught_folder / "teacher" / "model.safetensors")
    with pytest.raises(InputError, match=r"the weights of .*teacher have changed since the run began; start again"):
        run(taught_folder, "halves", resume=True, **changes)


def test_the_teacher_is_asked_once(taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = setup_of(taught_folder)
    monkeypatch.setattr("bertref.train.finetuning.teaching.ask", None)
    again = setup_of(taught_folder)
    np.testing.assert_array_equal(first.features.logits, again.features.logits)  # type: ignore[attr-defined]


def test_what_a_killed_run_heard_is_not_asked_again(taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    answers = teacher_answers._answers

    def at_most(count: int) -> Any:
        def counted(teacher: Any, kind: Any, store: Any, units: Any) -> Any:
            if len(asked) == count:
                raise KeyboardInterrupt
            asked.append(units.tolist())
            return answers(teacher, kind, store, units)

        return counted

    monkeypatch.setattr(teacher_answers, "TOKENS", 120)
    monkeypatch.setattr(teacher_answers, "_answers", at_most(5))
    with pytest.raises(KeyboardInterrupt):
        setup_of(taught_folder)
    before = asked[1:]  # of the first, which is asked twice, only the width was kept
    asked.clear()
    monkeypatch.setattr(teacher_answers, "_answers", at_most(-1))
    second = setup_of(taught_folder)
    assert sorted(unit for units in before + asked for unit in units) == list(range(len(second.store)))
    kept = Path(os.environ["BERTREF_CACHE"])
    assert not list(kept.glob("teacher-*.part"))
    for folder in kept.glob("teacher-*"):
        shutil.rmtree(folder)
    whole = setup_of(taught_folder)
    np.testing.assert_array_equal(second.features.logits, whole.features.logits)  # type: ignore[attr-defined]


def test_logits_that_are_no_numbers_are_refused(taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = teacher_answers._answers

    def broken(*given: Any) -> Any:
        logits, mask = answers(*given)
        return np.where(np.arange(logits.shape[-1]) == 0, np.nan, logits), mask

    monkeypatch.setattr(teacher_answers, "_answers", broken)
    with pytest.raises(InputError, match="the teacher's logits are not finite"):
        setup_of(taught_folder)


def test_how_far_the_teacher_is_is_said(taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertref.train.finetuning.teacher_answers.EVERY", -1.0)
    said: list[str] = []
    options = running.options(taught_folder, teacher=str(taught_folder / "teacher"))
    set_up(basis_of(options, taught_folder / "none"), lambda _, what: said.append(str(what.get("text"))))
    (last,) = [text for text in said if text.startswith("The teacher has read")][-1:]
    done, total = re.findall(r"[\d,]+", last)
    assert done == total
    assert int(total.replace(",", "")) > 100


def test_another_order_of_labels_is_put_right(taught_folder: Path) -> None:
    one, other = setup_of(taught_folder), setup_of(taught_folder, labels=("wet", "dry"))
    np.testing.assert_array_equal(one.features.logits[:, ::-1], other.features.logits)  # type: ignore[attr-defined]


def test_a_teacher_with_another_vocabulary_reads_the_texts_itself(taught_folder: Path) -> None:
    from bertref.checkpoint import load_model, save_weights
    from bertref.checkpoint.folder import describe_model

    saved, folder = load_model(taught_folder / "teacher"), taught_folder / "other"
    folder.mkdir()
    # the same words at other places: rows of the table move along, so that it says the same
    order = [0, 1, 2, 3, 4, *reversed(range(5, len(dict.fromkeys(VOCAB))))]
    tokens = list(dict.fromkeys(VOCAB))
    describe_model(
        folder, saved.config, saved.numerics, Tokenizer(Vocab([tokens[i] for i in order])), labels=saved.labels,
        architecture="BertForSequenceClassification", problem_type=saved.problem_type,
    )  # fmt: skip
    table = "bert.embeddings.word_embeddings.weight"
    save_weights(folder, {**saved.params, table: saved.params[table][order]})
    one, other = setup_of(taught_folder), None
    options = running.options(taught_folder, teacher=str(folder))
    other = set_up(basis_of(options, taught_folder / "none"), silent)
    np.testing.assert_allclose(one.features.logits, other.features.logits, atol=1e-5)  # type: ignore[attr-defined]
    for changes, said in (({"hidden": "cosine"}, "leave --hidden out"), ({"windows": True}, "leave --windows out")):
        with pytest.raises(InputError, match=said):
            set_up(basis_of(replace(options, **changes), taught_folder / "none"), silent)


def test_hidden_vectors_and_a_projection_that_is_not_saved(taught_folder: Path) -> None:
    changes: dict[str, Any] = {"teacher": str(taught_folder / "teacher"), "hidden": "mse"}
    _, log = run(taught_folder, "whole", **changes)
    assert "hidden_loss" in log.of("step")[0]
    assert PROJECTION in weights(taught_folder / "whole" / "checkpoint-12")
    assert PROJECTION not in weights(taught_folder / "whole")
    bertref.load(taught_folder / "whole")
    first, _ = run(taught_folder, "halves", stop_after=5, **changes)
    assert first.status == "interrupted"
    run(taught_folder, "halves", resume=True, **changes)
    ours, theirs = weights(taught_folder / "halves"), weights(taught_folder / "whole")
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    run(taught_folder, "cosine", teacher=str(taught_folder / "teacher"), hidden="cosine", steps=3)


def test_what_cant_teach_is_refused(taught_folder: Path) -> None:
    with pytest.raises(InputError, match="has no head for classification"):
        run(taught_folder, "a", teacher=str(taught_folder / "model"))
    with pytest.raises(InputError, match="its labels are dry, wet, the task's dry, wet, wide"):
        run(taught_folder, "b", teacher=str(taught_folder / "teacher"), labels=("dry", "wet", "wide"))
    narrow = replace(CONFIG, hidden_size=8)
    running.model(taught_folder / "narrow", narrow)
    with pytest.raises(InputError, match="cosine"):
        run(taught_folder, "c", model=str(taught_folder / "narrow"), teacher=str(taught_folder / "teacher"),
            hidden="cosine")  # fmt: skip
    assert not (taught_folder / "c").exists()


def test_texts_without_a_label_are_learnt_from_by_the_teachers_answers(taught_folder: Path) -> None:
    rows = [f'"{text}",{label if i < 12 else ""}\n' for i, (text, label) in enumerate(running.sentences(40))]
    (taught_folder / "some.csv").write_text("text,label\n" + "".join(rows))
    changes = {"data": str(taught_folder / "some.csv"), "teacher": str(taught_folder / "teacher")}
    result, log = run(taught_folder, "student", steps=120, learning_rate=1e-2, dropout=0.0, eval_every=120, **changes)
    assert result.metrics["accuracy"] > 0.8
    said = [each["text"] for each in log.of("message")]
    assert "train: 28 of 40 examples have no label and are learnt from by the teacher's answers alone." in said


def test_without_a_teacher_every_text_needs_a_label(taught_folder: Path) -> None:
    (taught_folder / "some.csv").write_text("text,label\nthe river,wet\nthe road,dry\nthe sea,\n")
    with pytest.raises(InputError, match=r"some\.csv, line 4: no label"):
        run(taught_folder, "student", data=str(taught_folder / "some.csv"))
