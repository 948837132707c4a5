"""`bertref evaluate` and `finetune --predict-on`: what they print and leave behind, and what they refuse."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bertref.cli.evaluate import evaluate as evaluate_command
from tests.cli_helpers import Done, bertref, beside_the_load, in_process
from tests.inference.saved import labels, make
from tests.train.finetuning import running

GOOD, BAD = "the book", "the rain"
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluate")
    make(path / "texts", "BertForSequenceClassification", **labels("bad", "good"))
    make(path / "questions", "BertForQuestionAnswering")
    rows = [f"{GOOD if i % 2 else BAD} {'he went' * (i % 3)},{'good' if i % 3 else 'bad'}" for i in range(20)]
    (path / "dev.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (path / "unknown.csv").write_text("text,label\na,good\nb,[b]ugly\n", encoding="utf-8")
    (path / "one.csv").write_text("text,label\na,good\nb,good\n", encoding="utf-8")
    contexts = [{"context": "Ada went to London in 1852.", "qas": [
        {"id": "q1", "question": "Who went?", "answers": [{"text": "Ada", "answer_start": 0}]},
        {"id": "q2", "question": "Where?", "answers": [{"text": "London", "answer_start": 12},
                                                       {"text": "to London", "answer_start": 9}]},
        {"id": "q3", "question": "When?", "answers": [{"text": "in 1852", "answer_start": 19}]},
    ]}]  # fmt: skip
    squad = {"version": "1.1", "data": [{"title": "Ada", "paragraphs": contexts}]}
    (path / "dev-v1.1.json").write_text(json.dumps(squad), encoding="utf-8")
    (path / "predictions.json").write_text('{"q1": "the Ada.", "q3": "1852", "q9": "x"}', encoding="utf-8")
    return path


def evaluate(folder: Path, *arguments: str) -> Done:
    return in_process("evaluate", *arguments, cwd=folder)


def test_a_model_is_judged_drawn_and_written(folder: Path) -> None:
    done = evaluate(
        folder, "classification", "dev.csv", "--model", "texts", "--bootstrap", "20", "--worst", "2", "--charts",
        "--plot", "out/a.png", "--plot-vectors", "v.svg", "--out", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert beside_the_load(done.stderr) == ""
    assert "\x1b" not in done.stdout
    stored = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    accuracy = stored["metrics"]["accuracy"]
    interval = stored["parts"]["dev"]["intervals"]["accuracy"]
    assert re.search(rf"accuracy +{accuracy:.4f} +{interval['low']:.4f} to {interval['high']:.4f}", done.stdout)
    for shown in ("classification, dev: 20 examples, texts", "95% interval", "macro average", "true \\ predicted",
                  "how sure", "mean probability", "ROC of good", "precision of good",
                  "The most confident mistakes"):  # fmt: skip
        assert shown in done.stdout
    assert sum(line.startswith("dev.csv, line ") for line in done.stdout.split("\n")) == 2
    assert (folder / "out" / "a.png").read_bytes().startswith(PNG)
    assert "<svg" in (folder / "v.svg").read_text(encoding="utf-8")
    assert {path.name for path in (folder / "out").iterdir()} == {
        "results.json", "eval_results.txt", "predictions.jsonl", "test_results.tsv", "a.png"
    }  # fmt: skip


def test_squads_predictions_need_no_model(folder: Path) -> None:
    """Exact match 1 of 3; F1 (1 + 0 + 2/3) / 3, because "in 1852" has two words of which one is said."""
    done = evaluate(folder, "squad", "dev-v1.1.json", "--predictions", "predictions.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"exact_match +33\.33\n", done.stdout)
    assert re.search(r"f1 +55\.56\n", done.stdout)
    assert "3 questions  1 without a prediction, counted as wrong  1 predictions for no question" in done.stdout


def test_json_is_one_object(folder: Path) -> None:
    done = bertref("evaluate", "squad", "dev-v1.1.json", "--predictions", "predictions.json", "--json", cwd=folder)
    found = json.loads(done.stdout)
    assert found["schema"] == 1
    assert found["metrics"]["exact_match"] == pytest.approx(100 / 3)
    assert found["parts"]["dev"]["counts"]["predictions for no question"] == 1


def test_finetuning_answers_further_data(tmp_path: Path) -> None:
    folder = running.prepared(tmp_path)
    (folder / "new.csv").write_text("text\nthe river\nthe long road\n", encoding="utf-8")
    given = ["finetune", "classification", "train.csv", "--dev", "dev.csv", "--model", "model", "--batch-size", "8",
             "--max-length", "24", "--out", "a", "--steps", "3", "--predict-on", "new.csv"]  # fmt: skip
    done = in_process(*given, "--predict-on", "dev", cwd=folder, BERTREF_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    answers = folder / "a" / "predictions"
    assert len((answers / "new" / "predictions.jsonl").read_text(encoding="utf-8").split("\n")) == 3
    assert "eval_accuracy = " in (answers / "dev" / "eval_results.txt").read_text(encoding="utf-8")
    assert "global_step = 3\n" in (answers / "dev" / "eval_results.txt").read_text(encoding="utf-8")
    again = in_process(*given[:-2], "--resume", "--predict-on", "dev", cwd=folder)
    assert (again.returncode, "this run has finished" in again.stderr) == (0, True)
    wrong = in_process(*given, "--predict-on", "tset", cwd=folder)
    assert wrong.returncode == 2
    assert wrong.stderr == "bertref: --predict-on 'tset': there is no such file, and no such part of the data\n"


@pytest.fixture
def said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("BERTREF_MODEL", raising=False)
    return partial(evaluate, folder)


KINDS: dict[str, tuple[str, str, dict[str, Any], str, list[str]]] = {
    "regression": ("grades.csv", "text,grade\na,1\nb,2.5\nc,3\n", labels("grade"), "BertForSequenceClassification",
                   ["Numbers"]),
    "multi-label": ("tags.csv", 'text,label\na,"x,y"\nb,x\nc,y\nd,\n',
                    {**labels("x", "y"), "problem_type": "multi_label_classification"},
                    "BertForSequenceClassification", ["ROC", "Precision and recall", "Probabilities"]),
    "token-classification": ("words.txt", "ada B-PER\nwent O\n\nlondon B-LOC\n", labels("O", "B-PER", "B-LOC"),
                             "BertForTokenClassification", ["By type"]),
}  # fmt: skip


@pytest.mark.parametrize("task", KINDS)
def test_every_kind_has_its_picture(task: str, said: Any, tmp_path: Path) -> None:
    name, content, settings, network, panels = KINDS[task]
    make(tmp_path / "model", network, **settings)
    (tmp_path / name).write_text(content, encoding="utf-8")
    extra = ["--label", "grade"] if task == "regression" else []
    done = said(task, str(tmp_path / name), "--model", str(tmp_path / "model"), "--charts", "--plot",
                str(tmp_path / "a.svg"), *extra)  # fmt: skip
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert [panel for panel in panels if f"<!-- {panel} -->" not in drawn] == []


def test_what_is_undefined_says_so(said: Any) -> None:
    done = said("classification", "one.csv", "--model", "texts", "--bootstrap", "5")
    assert re.search(r"auc +undefined +undefined\n", done.stdout)
    assert "nan" not in done.stdout
    found = json.loads(said("classification", "one.csv", "--model", "texts", "--json").stdout)
    assert found["metrics"]["auc"] is None
    assert "auc" in found["parts"]["dev"]["undefined"]


def test_the_largest_errors_of_numbers(said: Any, tmp_path: Path) -> None:
    name, content, settings, network, _ = KINDS["regression"]
    make(tmp_path / "model", network, **settings)
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = said("regression", str(tmp_path / name), "--label", "grade", "--model", str(tmp_path / "model"),
                "--worst", "3")  # fmt: skip
    _, shown = done.stdout.split("The largest errors\n")
    line = r"grades.csv, line \d: -?\d+(?:\.\d{1,4})?, but \d(?:\.5)? \(error \d+(?:\.\d{1,4})?\)\n"
    assert len(re.findall(line, shown)) == 3


def test_glues_average(said: Any, tmp_path: Path) -> None:
    from tests.evaluation.test_glue_results import LARGE, write

    for task, metrics in LARGE.items():
        write(tmp_path, task, metrics)
    assert "GLUE's average (leaderboard): 80.5" in said("glue", str(tmp_path)).stdout
    found = json.loads(said("glue", str(tmp_path), "--average", "table1", "--json").stdout)
    assert round(100 * found["value"], 1) == 82.1
    (tmp_path / "rte" / "results.json").unlink()
    done = said("glue", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "GLUE's average needs all its tasks; missing: rte" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classification", "dev.csv"], "give --model .or set BERTREF_MODEL., whose answers .*, or --predictions"),
        (["classification", "dev.csv", "--model", "texts", "--out", "one.csv"], "--out one.csv: is a file; a folder"),
        (["classification", "dev.csv", "--model", "texts", "--out", "one.csv/a"], "--out one.csv: is a file; a folder"),
        (["squad", "dev-v1.1.json", "--model", "questions", "--plot", "a.png"], "--plot: there is no curve or table of "
         "question-answering to draw"),
        (["classification", "dev.csv", "--model", "texts", "--plot-vectors", "a.png", "--vectors", "1"],
         "--vectors is 1; it must be at least 2"),
        (["classification", "dev.csv", "--model", "texts", "--vectors", "5"], "--vectors does nothing without --p"),
        (["classification", "dev.csv", "--predictions", "p.txt", "--plot-vectors", "a.png"],
         "--plot-vectors goes with --model"),
        (["classification", "dev.csv", "--model", "texts", "--average", "leaderboard"], "--average is for glue"),
        (["SST_2", "dev.csv", "--model", "texts"], "but those of sst-2 are 0, 1"),
        (["squda", "dev.csv", "--model", "texts"], r"task 'squda' \(is it 'squad'\?\); .*, conll, glue\n"),
        (["squad_v2", "dev-v1.1.json", "--model", "texts"], "no head for question-answering"),
        (["glue", ".", "--worst", "3"], "--worst says nothing of glue"),
        (["glue", ".", "--model", "texts"], "--model says nothing of glue"),
        (["classification", "dev.csv", "--model", "nowhere"], "nowhere: no such folder"),
        (["classification", "unknown.csv", "--model", "texts"], r"unknown.csv, line 3: the label '\[b\]ugly' is"),
        (["classification", "dev.csv", "--model", "texts", "--label", "stars"], "no column 'stars'; there are"),
        (["classification", "dev.csv", "--model", "questions"], "no head for sequence-classification; it does quest"),
        (["squad", "dev-v1.1.json", "--model", "texts"], "no head for question-answering; it does sequence-class"),
        (["classification", "dev.csv", "--predictions", "none.txt"], "none.txt: can't be read"),
        (["classification", "dev.csv", "--predictions", "dev.csv"], "dev.csv: no column 'prediction'"),
        (["squad", "dev-v1.1.json", "--predictions", "predictions.json", "--worst", "1"], "has no scores"),
        (["squad", "dev-v1.1.json", "--predictions", "predictions.json", "--null-odds", "predictions.json"],
         "every question has an answer; --null-odds"),
        (["classification", "dev.csv", "--model", "texts", "--plot", "nowhere/a.png"], "its folder does not exist"),
        (["classification", "dev.csv", "--model", "texts", "--plot", "a.xyz"], "a.xyz: pictures end in"),
        (["classification", "dev.csv", "--model", "texts", "--confidence", "2"], "--confidence is 2.0"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_or_two_lines(said: Any, arguments: list[str], message: str) -> None:
    done = said(*arguments)
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr
    assert len(beside_the_load(done.stderr).split("\n")) <= 3
    assert done.stdout == ""


def test_the_help_has_examples() -> None:
    assert (evaluate_command.help or "").count("bertref evaluate") >= 3
