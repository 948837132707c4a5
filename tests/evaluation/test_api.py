"""`bertref.evaluate`: a small model of each kind on small data; its figures are those of its own answers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import bertref
from bertref import EvaluateOptions, FinetuneOptions
from bertref.errors import InputError
from bertref.evaluation import KINDS as KINDS_OF_TASKS
from bertref.evaluation import EvaluateResult
from bertref.evaluation.files import eval_results
from bertref.evaluation.records import Record, worst
from bertref.metrics.value import UNDEFINED, Value
from tests.inference.saved import labels, make

CASES = [
    ("classification", "texts.csv", "texts"), ("regression", "grades.csv", "grades"),
    ("multi-label", "several.csv", "several"), ("multiple-choice", "choices.csv", "choices"),
    ("token-classification", "words.conll", "tokens"), ("question-answering", "squad.json", "questions"),
    ("squad2", "squad2.json", "questions"),
]  # fmt: skip
WORDS = "the who where when what wrote lived in rain it book city love london went he".split()
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "texts": ("BertForSequenceClassification", labels("bad", "good", "odd")),
    "unnamed": ("BertForSequenceClassification", {"num_labels": 2}),
    "grades": ("BertForSequenceClassification", {**labels("grade"), "problem_type": "regression"}),
    "several": ("BertForSequenceClassification",
                {**labels("a", "b"), "problem_type": "multi_label_classification"}),
    "mnli": ("BertForSequenceClassification", labels("entailment", "neutral", "contradiction")),
    "tokens": ("BertForTokenClassification", labels("O", "B-PER", "I-PER")),
    "questions": ("BertForQuestionAnswering", {}),
    "choices": ("BertForMultipleChoice", {}),
}  # fmt: skip


def text(i: int) -> str:
    return " ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(2, 7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and 12 examples for each of them."""
    path = tmp_path_factory.mktemp("evaluate")
    for name, (kind, settings) in KINDS.items():
        make(path / name, kind, **settings)
    names = ["bad", "good", "odd"]
    table(path / "texts.csv", "text,label", [f"{text(i)},{names[i % 3]}" for i in range(12)])
    table(path / "one.csv", "text,label", [f"{text(i)},good" for i in range(4)])
    table(path / "unknown.csv", "text,label", [f"{text(0)},good", f"{text(1)},ugly"])
    table(path / "pairs.tsv", "index\tsentence1\tsentence2", [f"{i}\t{text(i)}\t{text(i + 1)}" for i in range(3)])
    table(path / "grades.csv", "text,label", [f"{text(i)},{i / 4}" for i in range(12)])
    table(path / "several.csv", "text,label", [f'{text(i)},"{["a", "b", "a,b", ""][i % 4]}"' for i in range(12)])
    table(path / "choices.csv", "sent1,sent2,ending0,ending1,label", [f"{text(i)},it,rain,{text(i + 1)},{i % 2}"
                                                                      for i in range(12)])  # fmt: skip
    (path / "words.conll").write_text("\n\n".join(f"he B-PER\n{WORDS[i]} I-PER\nin O" for i in range(12)) + "\n")
    questions = [{"id": f"q{i}", "question": f"who {WORDS[i]}?", "answers": [{"text": "love", "answer_start": 4}]}
                 for i in range(6)]  # fmt: skip
    article = {"title": "t", "paragraphs": [{"context": "ada love london", "qas": questions}]}
    squad = {"version": "1.1", "data": [article]}
    (path / "squad.json").write_text(json.dumps(squad))
    for question in questions[::2]:
        question.update(answers=[], is_impossible=True)
    (path / "squad2.json").write_text(json.dumps(squad))
    return path


def table(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def evaluate(folder: Path, task: str, data: str, model: str, **changes: Any) -> EvaluateResult:
    given = {"max_length": 24, "dtype": "float64", **changes}
    return bertref.evaluate(EvaluateOptions(task, str(folder / data), model=str(folder / model), **given))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_texts_are_judged_by_what_the_model_says_of_each(folder: Path, tmp_path: Path) -> None:
    result = evaluate(folder, "classification", "texts.csv", "texts", out=str(tmp_path), worst=3, vectors=7)
    model = bertref.load(folder / "texts", dtype="float64")
    said = [model.classify(text(i))[0] for i in range(12)]
    truth = [["bad", "good", "odd"][i % 3] for i in range(12)]
    part = result.parts["dev"]
    found = part.evaluation.metrics
    assert found["accuracy"].value == sklearn_metrics.accuracy_score(truth, [best.label for best in said])
    wanted = sklearn_metrics.f1_score(truth, [best.label for best in said], average="macro")
    assert found["f1_macro"].value == pytest.approx(wanted, abs=1e-12)
    assert result.metrics["accuracy"] == found["accuracy"].value

    records = lines(tmp_path / "predictions.jsonl")
    assert [record["prediction"] for record in records] == [best.label for best in said]
    assert [record["truth"] for record in records] == truth
    assert records[4]["place"] == "texts.csv, line 6"
    rows = np.array([list(map(float, line.split("\t"))) for line in
                     (tmp_path / "test_results.tsv").read_text().split("\n")[:-1]])  # fmt: skip
    np.testing.assert_array_equal(rows, [list(record["scores"].values()) for record in records])
    np.testing.assert_allclose(rows.max(axis=1), [best.score for best in said], rtol=1e-12)
    marks = np.array(truth)[:, None] == ["bad", "good", "odd"]
    assert found["brier"].value == pytest.approx(((rows - marks) ** 2).sum(axis=1).mean(), abs=1e-12)
    log_loss = sklearn_metrics.log_loss(truth, rows, labels=["bad", "good", "odd"])
    assert found["loss"].value == pytest.approx(log_loss, abs=1e-12)

    wrong = [(best.score, i) for i, (best, label) in enumerate(zip(said, truth, strict=True)) if best.label != label]
    assert [record.place for record in part.worst] == [
        f"texts.csv, line {i + 2}" for _, i in sorted(wrong, reverse=True)[:3]
    ]
    assert part.vectors is not None
    assert part.vectors.points.shape == (7, 2)
    vectors = np.array([model.encode([text(i)])[0, 0] for i in range(7)])
    spread = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(part.vectors.points, axis=0), spread[:2], rtol=1e-10)


def test_its_own_predictions_give_its_own_metrics(folder: Path, tmp_path: Path) -> None:
    """What evaluation writes, it reads: no figure changes, but that the loss needs logits."""
    for task, data, model in CASES:
        out = tmp_path / model
        first = evaluate(folder, task, data, model, out=str(out))
        options = {"labels": bertref.load(folder / model).labels} if model in ("texts", "several", "tokens") else {}
        again = bertref.evaluate(
            EvaluateOptions(task, str(folder / data), predictions=str(out / "predictions.jsonl"), **options)
        )
        known = {name: value for name, value in first.metrics.items() if not name.startswith("best_")}
        wanted = {name: value for name, value in known.items() if name != "loss"}
        assert again.metrics == pytest.approx(wanted, abs=1e-12, nan_ok=True), task
        assert wanted, task


def test_the_columns_of_words_are_read_again(folder: Path, tmp_path: Path) -> None:
    first = evaluate(folder, "conll", "words.conll", "tokens", out=str(tmp_path))
    again = bertref.evaluate(
        EvaluateOptions("conll", str(folder / "words.conll"), predictions=str(tmp_path / "predictions.txt"))
    )
    assert again.metrics["f1"] == first.metrics["f1"]
    squad = evaluate(folder, "squad", "squad.json", "questions", out=str(tmp_path / "squad"))
    again = bertref.evaluate(
        EvaluateOptions("squad", str(folder / "squad.json"), predictions=str(tmp_path / "squad" / "predictions.json"))
    )
    assert again.metrics == squad.metrics


def test_intervals_hold_the_figure_and_repeat(folder: Path) -> None:
    for task, data, model, name in [
        ("classification", "texts.csv", "texts", "accuracy"), ("conll", "words.conll", "tokens", "accuracy"),
        ("squad", "squad.json", "questions", "f1"), ("swag", "choices.csv", "choices", "accuracy"),
    ]:  # fmt: skip
        first, again = (evaluate(folder, task, data, model, bootstrap=50).parts["dev"] for _ in range(2))
        found = first.intervals[name]
        assert found == again.intervals[name]
        assert found.low <= first.evaluation.metrics[name].value <= found.high
        assert set(first.intervals) <= set(first.evaluation.metrics)


def test_what_is_drawn_from_is_the_whole(folder: Path) -> None:
    """Every example once gives the metrics themselves; twice, too."""
    for task, data, model in CASES:
        evaluation = evaluate(folder, task, data, model).parts["dev"].evaluation
        count, metrics = KINDS_OF_TASKS[evaluation.kind].resampled(evaluation.answers)
        for rows in (np.arange(count), np.arange(2 * count) // 2):
            found = {name: value.value for name, value in metrics(rows).items()}
            wanted = {name: value.value for name, value in evaluation.metrics.items() if name in found}
            assert found == pytest.approx(wanted, nan_ok=True)
            assert {"accuracy", "spearman", "f1"} & found.keys()


def test_one_class_only_is_undefined_where_it_is(folder: Path) -> None:
    found = evaluate(folder, "classification", "one.csv", "texts").parts["dev"]
    assert found.evaluation.metrics["auc"].undefined
    assert not found.evaluation.metrics["accuracy"].undefined
    assert found.report.roc == {}


def test_labels_without_names_are_the_tasks(folder: Path, tmp_path: Path) -> None:
    table(tmp_path / "dev.tsv", "sentence\tlabel", [f"{text(i)}\t{i % 2}" for i in range(4)])
    said: list[str] = []
    options = EvaluateOptions("sst-2", str(tmp_path), model=str(folder / "unnamed"))
    assert bertref.evaluate(options, said.append).parts["dev"].report.confusion.labels == ("0", "1")  # type: ignore[union-attr]
    assert "The model's labels have no names; they are taken as 0, 1 (--labels)." in said


def test_a_train_part_that_is_judged_is_said(folder: Path, tmp_path: Path) -> None:
    """The folder of the film reviews without "test"; not where the part is named."""
    for label in ("neg", "pos"):
        (tmp_path / "train" / label).mkdir(parents=True)
        (tmp_path / "train" / label / "0_1.txt").write_text(text(1))
    said: list[str] = []
    options = EvaluateOptions("imdb", str(tmp_path), model=str(folder / "unnamed"))
    assert list(bertref.evaluate(options, said.append).parts) == ["train"]
    note = f"{tmp_path}: there is no dev and no test part; the train part is judged"
    assert said.count(note) == 1
    said.clear()
    bertref.evaluate(replace(options, parts=("train",)), said.append)
    assert note not in said


def test_mnli_has_two_parts_and_ax_comes_from_its_model(folder: Path, tmp_path: Path) -> None:
    glue = tmp_path / "MNLI"
    glue.mkdir()
    header, words = "index\tsentence1\tsentence2\tgold_label", ["entailment", "neutral", "contradiction"]
    for i, name in enumerate(["dev_matched", "dev_mismatched", "test_matched", "test_mismatched"]):
        rows = [f"{j}\t{text(i + j)}\t{text(j)}\t{words[j % 3]}" for j in range(4)]
        table(glue / f"{name}.tsv", header, rows)
    rows = [f"{j}\t{text(j)}\t{text(j + 1)}" for j in range(3)]
    table(tmp_path / "diagnostic.tsv", "index\tsentence1\tsentence2", rows)
    result = evaluate(folder, "mnli", str(glue), "mnli", out=str(tmp_path / "dev"))
    assert list(result.parts) == ["dev", "dev-mismatched"]
    stored = json.loads((tmp_path / "dev" / "results.json").read_text())
    assert {"accuracy", "dev-mismatched/accuracy"} <= set(stored["metrics"])
    assert (tmp_path / "dev" / "eval_results_dev-mismatched.txt").is_file()

    evaluate(folder, "mnli", str(glue), "mnli", out=str(tmp_path / "test"), parts=("test", "test-mismatched"))
    evaluate(folder, "ax", str(tmp_path / "diagnostic.tsv"), "mnli", out=str(tmp_path / "test"))
    for name, count in (("MNLI-m", 4), ("MNLI-mm", 4), ("AX", 3)):
        header, *rows = (tmp_path / "test" / f"{name}.tsv").read_text().split("\n")[:-1]
        assert header == "index\tprediction"
        assert [row.split("\t")[0] for row in rows] == [str(i) for i in range(count)]
        assert {row.split("\t")[1] for row in rows} <= set(words)
    assert {path.name for path in (tmp_path / "dev").glob("*.tsv")} == {
        "test_results.tsv", "test_results_dev-mismatched.tsv"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "data", "model", "changes", "message"),
    [
        ("classification", "unknown.csv", "texts", {}, r"unknown.csv, line 3: the label 'ugly' is unknown"),
        ("classification", "texts.csv", "tokens", {}, "no head for sequence-classification; it does token-class"),
        ("squad", "squad.json", "texts", {}, "no head for question-answering; it does sequence-classification"),
        ("regression", "grades.csv", "texts", {}, "does single_label_classification, but the task is regression"),
        ("classification", "texts.csv", "grades", {}, "this model does regression, but the task is classification"),
        ("classification", "texts.csv", "texts", {"text": "review"}, "no column 'review'; there are 'text', 'label'"),
        ("classification", "texts.csv", "texts", {"labels": ("a", "b")}, "names 2 labels, but the model has 3"),
        ("classification", "texts.csv", "texts", {"max_length": 49}, "longer than the model's 48 positions"),
        ("classification", "texts.csv", "texts", {"parts": ("all",)}, "--part is 'all'; a file is train, dev or test"),
        ("ax", "pairs.tsv", "texts", {}, "texts: its labels are bad, good, odd, but those of ax are entailment, "
         "neutral, contradiction; choose a model of that task"),
        ("ax", "pairs.tsv", "unnamed", {}, "unnamed: its labels are LABEL_0, LABEL_1, but those of ax are"),
        ("ax", "pairs.tsv", "tokens", {}, "no head for sequence-classification"),
        ("ax", "pairs.tsv", "grades", {}, "does regression, but the task is classification"),
        ("classification", "nothing.csv", "texts", {}, "nothing.csv: no such file or folder"),
        ("classification", "texts.csv", "texts", {"confidence": 0.9}, "--confidence does nothing without --bootstrap"),
        ("classification", "texts.csv", "texts", {"null_threshold": 1.0}, "--null-threshold does nothing for class"),
        ("regression", "grades.csv", "grades", {"max_answer_length": 9}, "--max-answer-length does nothing for regr"),
        ("conll", "words.conll", "tokens", {"max_query_length": 9}, "--max-query-length does nothing for token-class"),
        ("classification", "texts.csv", "texts", {"stride": 9}, "--stride does nothing without --windows"),
        ("squad", "squad.json", "questions", {"truncate": "tail"}, "--truncate does nothing for question-answering"),
        ("swag", "choices.csv", "choices", {"labels": ("a",)}, "--labels does nothing for multiple-choice"),
        ("conll", "words.conll", "tokens", {"vectors": 5}, "--plot-vectors is for texts"),
        ("classification", "texts.csv", "texts", {"out": "texts"}, "is the model's own folder"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    folder: Path, task: str, data: str, model: str, changes: dict[str, Any], message: str
) -> None:
    if "out" in changes:
        changes = {"out": str(folder / changes["out"])}
    with pytest.raises(InputError, match=message):
        evaluate(folder, task, data, model, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"give --model \(or set BERTREF_MODEL\), whose answers are judged, or --predictions"),
        ({"model": "a", "predictions": "b"}, "give --model or --predictions, not both"),
        ({"predictions": "a", "max_examples": 3}, "--max-examples goes with --model"),
        ({"predictions": "a", "vectors": 3}, "--plot-vectors goes with --model"),
        ({"predictions": "a", "max_length": 64}, "--max-length goes with --model"),
        ({"predictions": "a", "windows": True}, "--windows goes with --model"),
        ({"predictions": "a", "max_answer_length": 9}, "--max-answer-length goes with --model"),
        ({"predictions": "a", "dtype": "float64"}, "--dtype goes with --model"),
        ({"model": "a", "vectors": 1}, "--vectors is 1; it must be at least 2, or 0 for none"),
        ({"model": "a", "null_odds": "b"}, "--null-odds goes with --predictions"),
        ({"model": "a", "bootstrap": -1}, "--bootstrap is -1; it must be at least 0"),
        ({"model": "a", "confidence": 1.0}, "--confidence is 1.0"),
    ],
)
def test_options_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EvaluateOptions("rte", "data", **changes)


def test_a_threshold_needs_odds_where_answers_are_given(folder: Path) -> None:
    options = EvaluateOptions("squad2", str(folder / "squad2.json"), predictions="p.json", null_threshold=1.0)
    with pytest.raises(InputError, match="--null-threshold does nothing without --null-odds"):
        bertref.evaluate(options)


def test_sequences_are_as_long_as_in_training(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder / "texts", model)
    short = evaluate(folder, "classification", "texts.csv", str(model), max_length=4).metrics
    whole = evaluate(folder, "classification", "texts.csv", str(model), max_length=None).metrics
    assert short["loss"] != whole["loss"]
    (model / "results.json").write_text('{"best_step": 7, "options": {"max_length": 4}}', encoding="utf-8")
    found = evaluate(folder, "classification", "texts.csv", str(model), max_length=None)
    assert found.metrics["loss"] == short["loss"]
    assert found.steps == 7


def test_eval_results_are_the_originals_lines() -> None:
    metrics = {"loss": Value(0.5), "accuracy": Value(0.75), "auc": UNDEFINED}
    assert eval_results(metrics, 12) == (
        "eval_accuracy = 0.75\neval_auc = nan\neval_loss = 0.5\nglobal_step = 12\nloss = 0.5\n"
    )
    assert eval_results({"accuracy": Value(1.0)}, None) == "eval_accuracy = 1.0\n"


def test_the_worst_are_the_surest_of_the_wrong() -> None:
    records = [Record(str(i), "", "a", "b", right, sure) for i, (right, sure) in
               enumerate([(False, 0.6), (True, 0.99), (False, 0.9), (None, None), (False, 0.7)])]  # fmt: skip
    assert [record.place for record in worst(records, 2)] == ["2", "4"]


def test_questions_of_ones_own_may_have_no_answer(folder: Path) -> None:
    own, squad2 = (evaluate(folder, task, "squad2.json", "questions") for task in ("question-answering", "squad2"))
    assert own.metrics == squad2.metrics
    assert "NoAns_f1" in own.metrics
    assert "NoAns_f1" not in evaluate(folder, "question-answering", "squad.json", "questions").metrics
    with pytest.raises(InputError, match=r"squad2\.json, question q0: has no answer; the task for such .* is squad2"):
        evaluate(folder, "squad", "squad2.json", "questions")


def test_a_folder_holds_the_files_of_one_evaluation(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    evaluate(folder, "classification", "texts.csv", "texts", out=str(tmp_path))
    first = {path.name for path in tmp_path.iterdir()}
    assert "test_results.tsv" in first
    evaluate(folder, "squad", "squad.json", "questions", out=str(tmp_path))
    found = {path.name for path in tmp_path.iterdir()}
    assert found & first == {"mine.txt", "results.json", "predictions.jsonl", "eval_results.txt"}
    assert {"predictions.json", "nbest_predictions.json"} < found
    files = json.loads((tmp_path / "results.json").read_text())["files"]
    assert set(files) == found - {"mine.txt", "results.json"}


@pytest.mark.parametrize("content", ['{"best_step": 7, "evaluations": []}', "mine", "[]"])
def test_results_that_are_no_evaluations_are_not_replaced(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json: is not what an evaluation wrote and would be replaced"):
        evaluate(folder, "classification", "texts.csv", "texts", out=str(tmp_path))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("results.json", content)]


def test_the_files_of_an_interrupted_evaluation_are_its_successors(folder: Path, tmp_path: Path) -> None:
    """Without a `results.json`, nobody knows whose they are; what is replaced belongs to whoever replaced it."""
    evaluate(folder, "classification", "texts.csv", "texts", out=str(tmp_path))
    (tmp_path / "results.json").unlink()
    evaluate(folder, "classification", "texts.csv", "texts", out=str(tmp_path))
    files = json.loads((tmp_path / "results.json").read_text())["files"]
    assert set(files) == {path.name for path in tmp_path.iterdir()} - {"results.json"}


@pytest.mark.parametrize("option", ["predictions", "null_odds"])
def test_what_is_read_is_not_replaced(folder: Path, tmp_path: Path, option: str) -> None:
    evaluate(folder, "squad2", "squad2.json", "questions", out=str(tmp_path))
    for name in ("predictions.json", "null_odds.json"):
        (tmp_path / name).rename(tmp_path.with_name(name)) if name != f"{option}.json" else None
    places = {name: tmp_path if name == option else tmp_path.parent for name in ("predictions", "null_odds")}
    given = {name: str(place / f"{name}.json") for name, place in places.items()}
    options = EvaluateOptions("squad2", str(folder / "squad2.json"), out=str(tmp_path), **given)
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} .*would be replaced; choose another --out"):
        bertref.evaluate(options)
    assert Path(given[option]).exists()


def test_a_model_says_that_there_is_no_answer_where_it_was_taught_to(folder: Path, tmp_path: Path) -> None:
    """Whatever the data at hand are like."""
    out = tmp_path / "taught"
    bertref.finetune(FinetuneOptions(
        "question-answering", str(folder / "squad2.json"), model=str(folder / "questions"), out=str(out), steps=1,
        dev=str(folder / "squad.json"), max_length=24,
    ))  # fmt: skip
    for model, says in (("questions", False), (out, True)):
        evaluate(folder, "question-answering", "squad.json", str(model), out=str(tmp_path / f"found-{says}"))
        assert (tmp_path / f"found-{says}" / "null_odds.json").exists() == says


def test_only_files_of_the_folder_are_removed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "mine.txt").write_text("kept")
    evaluate(folder, "classification", "texts.csv", "texts", out=str(out))
    stored = json.loads((out / "results.json").read_text())
    (out / "results.json").write_text(json.dumps(stored | {"files": ["../mine.txt", *stored["files"]]}))
    evaluate(folder, "classification", "texts.csv", "texts", out=str(out))
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_scores_that_lack_a_label_name_it(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"scores": {"good": 0.9}}\n' * 4)
    options = EvaluateOptions("classification", str(folder / "one.csv"), predictions=str(path), labels=("bad", "good"))
    with pytest.raises(InputError, match=r"p\.jsonl, line 1: the scores have none for the label 'bad'"):
        bertref.evaluate(options)
