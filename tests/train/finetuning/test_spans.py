"""Fine-tuning on questions: it learns where the answer is, both layouts agree, and the model answers afterwards."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

import bertref
from bertref.api import AnswerOptions
from bertref.errors import InputError
from bertref.train.finetuning.run import FinetuneResult
from tests import small_run

from . import running
from .running import cache  # noqa: F401
from .squad_parts import write_parts


def squad(path: Path, count: int, seed: int, *, unanswerable: bool = False) -> Path:
    """Questions for the subject of a sentence among three; every third has no answer where some have none."""
    rng = random.Random(seed)
    paragraphs = []
    for i in range(count):
        subjects = rng.sample(small_run.SUBJECTS, 4)
        objects = rng.sample(small_run.OBJECTS, 4)
        facts = [(s, rng.choice(small_run.VERBS), o) for s, o in zip(subjects, objects, strict=True)]
        context = " ".join(f"{' '.join(fact)}." for fact in facts[:3])
        without = unanswerable and i % 3 == 0
        subject, verb, what = facts[3] if without else rng.choice(facts[:3])
        given = [] if without else [{"text": subject, "answer_start": context.index(f"{subject} {verb} {what}.")}]
        qa = {"id": f"q{i}", "question": f"{verb} {what}?", "answers": given, "is_impossible": without}
        paragraphs.append({"context": context, "qas": [qa]})
    content = {"version": "1.1", "data": [{"title": "facts", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run(folder: Path, out: str = "out", **changes: Any) -> tuple[FinetuneResult, Any]:
    """A run of 5 steps on windows of 26 tokens."""
    some = changes.get("task") in ("squad2", "question-answering")
    given = {
        "task": "squad", "max_length": 26, "stride": 8, "steps": 5, "eval_every": 0,
        "data": str(squad(folder / "train.json", 40, 1, unanswerable=some)),
        "dev": str(squad(folder / "dev.json", 12, 2, unanswerable=some)), **changes,
    }  # fmt: skip
    return running.run(folder, out, **given)


def test_a_run_ends_with_a_model_that_answers(tmp_path: Path) -> None:
    result, log = run(tmp_path)
    assert result.status == "finished"
    (start,) = log.of("start")
    assert (start["examples"], start["metric"], start["labels"]) == (40, "f1", 0)
    assert start["units"] > 60, "contexts must need windows"
    assert any("has no question-answering head; newly made" in v["text"] for v in log.of("message"))
    options = AnswerOptions(max_seq_length=26, doc_stride=8)
    model = bertref.load(tmp_path / "out")
    part = json.loads((tmp_path / "dev.json").read_text())["data"][0]["paragraphs"]
    right = [
        model.answer(p["qas"][0]["question"], p["context"], options).best[0].text == p["qas"][0]["answers"][0]["text"]
        for p in part
    ]
    assert result.metrics["exact_match"] == pytest.approx(100 * sum(right) / len(right))
    assert json.loads((tmp_path / "out" / "results.json").read_text())["metrics"] == result.metrics
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["BertForQuestionAnswering"]
    assert "pipeline_tag: question-answering" in (tmp_path / "out" / "README.md").read_text()


def test_it_learns(tmp_path: Path) -> None:
    data = str(squad(tmp_path / "few.json", 16, 1))
    result, _ = run(tmp_path, data=data, dev=data, max_length=44, steps=40, learning_rate=1e-2, dropout=0.0)
    assert result.metrics["exact_match"] > 90


def test_both_layouts_learn_the_same(tmp_path: Path) -> None:
    changes = {"precision": "float64", "dropout": 0.0, "metric": "f1"}
    (packed, one), (padded, other) = (run(tmp_path, name, layout=name, **changes) for name in ("packed", "padded"))
    losses = [[v["loss"] for v in log.of("step")] for log in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    assert packed.metrics == padded.metrics


@pytest.mark.parametrize("task", ["squad2", "question-answering"])
def test_questions_without_an_answer(tmp_path: Path, task: str) -> None:
    result, _ = run(tmp_path, task=task, metric="best_f1")
    assert {"HasAns_f1", "NoAns_f1", "best_f1", "best_f1_thresh"} <= result.metrics.keys()
    assert result.metrics["best_f1"] >= 100 / 3 - 1e-9


def test_a_teachers_logits_are_its_own(tmp_path: Path) -> None:
    """With the model that is trained as its own teacher, the two agree at the start: KL is 0."""
    run(tmp_path, "teacher", steps=30, learning_rate=1e-2)
    changes = {"teacher": str(tmp_path / "teacher"), "model": str(tmp_path / "teacher"), "hard_weight": 0.0}
    _, log = run(tmp_path, "student", dropout=0.0, precision="float64", **changes)
    assert log.of("step")[0]["soft_loss"] == pytest.approx(0, abs=1e-6)


def test_a_set_of_the_other_version_is_refused(tmp_path: Path) -> None:
    data = squad(tmp_path / "train2.json", 8, 1, unanswerable=True)
    with pytest.raises(InputError, match=r"train2\.json, question q0: has no answer; the task for .* is squad2"):
        run(tmp_path, data=str(data))


@pytest.mark.parametrize(("task", "more"), [("squad", "$"), ("question-answering", ", or is_impossible: true")])
def test_an_answer_that_is_not_given_is_said_with_its_file(tmp_path: Path, task: str, more: str) -> None:
    data = squad(tmp_path / "train1.json", 8, 1)
    content = json.loads(data.read_text())
    content["data"][0]["paragraphs"][2]["qas"][0]["answers"] = []
    data.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"train1.json, question q2: no answer is given; training needs one{more}"):
        run(tmp_path, task=task, data=str(data))


def test_the_parts_of_the_two_development_files_share_no_article(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "data" / "squad"
    counts = write_parts(folder / "dev-v1.1.json.gz", folder / "dev-v2.0.cs224n.json.gz", tmp_path)
    assert [counts[name] for name in ("squad/train-v1.1.json", "squad/dev-v1.1.json")] == [7595, 2975]
    titles = {
        name: {article["title"] for article in json.loads((tmp_path / name).read_text())["data"]} for name in counts
    }
    for version, train, dev in (("squad/{}-v1.1.json", 32, 16), ("squad2/{}-v2.0.json", 12, 4)):
        learnt, scored = titles[version.format("train")], titles[version.format("dev")]
        assert (len(learnt), len(scored)) == (train, dev)
        assert not learnt & scored
