"""Answers that somebody else computed: every way to write them says the same; what is wrong is said with its line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref.data.tasks.examples import Answer, ChoiceExample, Part, SpanExample, TextExample, TokenExample
from bertref.errors import InputError
from bertref.evaluation.given_choices import given_choices
from bertref.evaluation.given_spans import given_spans
from bertref.evaluation.given_texts import given_texts
from bertref.evaluation.given_tokens import given_tokens

LABELS = ("bad", "good", "odd")
TRUTH = ("good", "bad", "odd", "good")
SAID = ["good", "odd", "odd", "bad"]


def part(examples: list[Any]) -> Part:
    return Part("dev", (), lambda: iter(examples))


TEXTS = part([TextExample(f"d.csv, line {i + 2}", "a", label=label) for i, label in enumerate(TRUTH)])


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def lines(values: list[Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


SCORES = [[0.1, 0.7, 0.2], [0.2, 0.3, 0.5], [0.0, 0.1, 0.9], [0.5, 0.25, 0.25]]
WAYS: dict[str, tuple[str, str]] = {
    "a label a line": ("p.txt", "\n".join(SAID)),
    "glue": ("p.tsv", "index\tprediction\n" + "".join(f"{i}\t{label}\n" for i, label in enumerate(SAID))),
    "glue, another order": ("p.tsv", "index\tprediction\n" + "".join(f"{i}\t{SAID[i]}\n" for i in (2, 0, 3, 1))),
    "a column": ("p.csv", "prediction,note\n" + "".join(f"{label},x\n" for label in SAID)),
    "json": ("p.jsonl", lines([{"prediction": label} for label in SAID])),
    "scores by label": ("p.jsonl", lines([{"scores": dict(zip(LABELS, row, strict=True))} for row in SCORES])),
    "scores in order": ("p.jsonl", lines([{"scores": row, "index": i} for i, row in enumerate(SCORES)])),
    "probabilities": ("test_results.tsv", "".join("\t".join(map(str, row)) + "\n" for row in SCORES)),
    "places": ("p.jsonl", lines([{"prediction": label, "place": f"d.csv, line {i + 2}"}
                                 for i, label in enumerate(SAID)])),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_the_same(way: str, tmp_path: Path) -> None:
    found = given_texts("classification", TEXTS, written(tmp_path, *WAYS[way]), LABELS)
    assert [LABELS[number] for number in found.predictions] == SAID
    assert found.targets is not None
    assert [LABELS[number] for number in found.targets] == list(TRUTH)
    if "scores" in way or "prob" in way:
        np.testing.assert_array_equal(found.scores, SCORES)
    else:
        assert found.scores is None


def test_labels_are_those_of_the_data_if_nobody_says_them(tmp_path: Path) -> None:
    assert given_texts("classification", TEXTS, written(tmp_path, "p.txt", "\n".join(SAID)), ()).labels == LABELS


def test_numbers_and_several_labels(tmp_path: Path) -> None:
    numbers = part([TextExample(f"{i}", "a", label=float(i)) for i in range(3)])
    found = given_texts("regression", numbers, written(tmp_path, "p.txt", "1\n2.5\n-3e0"), ())
    np.testing.assert_array_equal(found.predictions, [[1], [2.5], [-3]])
    several = part([TextExample("1", "a", label=("good", "bad")), TextExample("2", "b", label=())])
    wanted = lines([{"prediction": ["odd"]}, {"prediction": []}])
    found = given_texts("multi-label", several, written(tmp_path, "p.jsonl", wanted), LABELS)
    np.testing.assert_array_equal(found.predictions, [[0, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(found.targets, [[1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.txt", "good\nbad\nodd", "p.txt: holds 3 predictions, but there are 4 examples"),
        ("p.txt", "good\n\nodd\nbad\ngood", "p.txt, line 2: is blank"),
        ("p.txt", "good\nbad\nugly\nodd", "p.txt, line 3: the label 'ugly' is unknown; there are bad, good, odd"),
        ("p.tsv", "index\tprediction\n0\tgood\n0\tbad\n1\todd\n2\tbad\n", "line 3: the index 0 comes twice"),
        ("p.tsv", "index\tprediction\n0\tgood\n1\tbad\n2\todd\n4\tbad\n", "line 5: the index '4' is none of"),
        ("p.tsv", "index\tprediction\n0\tgood\nx\tbad\n2\todd\n3\tbad\n", "line 3: the index 'x' is none of"),
        ("p.tsv", "index\tprediction\n3\tgood\n1\tbad\n", "2 of 4 examples have no prediction; the first is index 0"),
        ("p.tsv", "index\tanswer\n0\tgood\n", "no column 'prediction'; there are 'index', 'answer'"),
        ("p.csv", "index,prediction\n0,good\n1,\n2,odd\n3,bad\n", "line 3: the prediction is empty"),
        ("p.tsv", "0.1\t0.9\n" * 4, "line 1: the scores have to be a number for each of the labels bad, good, odd"),
        ("p.jsonl", '{"prediction": "good"}\n{"label": "bad"}\n', 'line 2: has neither "prediction" nor "scores"'),
        ("p.jsonl", lines([{"scores": {"good": 1, "fine": 0}}] * 4), "line 1: the label 'fine' is unknown"),
        ("p.jsonl", lines([{"scores": [1, 2, float("nan")]}] * 4), "line 1: the target is nan"),
        ("p.jsonl", lines([*[{"prediction": "good"}] * 3, {"scores": SCORES[0]}]), "some predictions have scores"),
        ("p.jsonl", lines([{"prediction": "good", "place": "other, line 2"}] * 4), "line 1: is about 'other, line 2'"),
        ("nothing.txt", "", "holds 0 predictions"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        given_texts("classification", TEXTS, written(tmp_path, name, content), LABELS)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_an_index_orders_the_answers(tmp_path_factory: Any, said: list[str], random: Any) -> None:
    folder = tmp_path_factory.mktemp("given")
    order = list(range(len(said)))
    random.shuffle(order)
    table = "index\tprediction\n" + "".join(f"{i}\t{said[i]}\n" for i in order)
    texts = part([TextExample(f"{i}", "a", label="bad") for i in range(len(said))])
    found = given_texts("classification", texts, written(folder, "p.tsv", table), LABELS)
    assert [LABELS[number] for number in found.predictions] == said


# ---------------------------------------------------------------------------------------------------------------------
# questions

QUESTIONS = part([
    SpanExample("q1", "Who?", "Ada left.", (Answer("Ada", 0),)),
    SpanExample("q2", "What?", "Ada left.", (Answer("left", 4), Answer("Ada left", 0))),
])  # fmt: skip
WITH_NONE = part([*QUESTIONS.read(), SpanExample("q3", "When?", "Ada left.", (), False)])


def test_questions_by_the_rule_of_each_version(tmp_path: Path) -> None:
    path = written(tmp_path, "predictions.json", '{"q1": "the Ada!", "q9": "x"}')
    first = given_spans(QUESTIONS, path, None, 0.0, unanswerable=None)
    assert (first.unanswerable, first.scores.overall.exact.value) == (False, 50)
    assert (first.scores.missing, first.scores.unknown) == (1, 1)
    second = given_spans(WITH_NONE, path, None, 0.0, unanswerable=None)
    assert (second.unanswerable, second.scores.overall.exact.value) == (True, 100)
    assert second.scores.overall.total == 1


def test_null_odds_decide_above_the_threshold(tmp_path: Path) -> None:
    path = written(tmp_path, "predictions.json", '{"q1": "Ada", "q2": "left", "q3": "Ada"}')
    odds = written(tmp_path, "null_odds.json", '{"q1": -3, "q2": -1, "q3": 2.5}')
    scored = [given_spans(WITH_NONE, path, odds, threshold, unanswerable=True).scores for threshold in (0.0, 3.0, -2.0)]
    assert [round(scores.overall.exact.value) for scores in scored] == [100, 67, 67]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"q1": "a", "q1": "b"}', "the question id 'q1' comes twice"),
        ('{"q1": null}', "question q1: the prediction is null; a text is needed"),
        ('{"x": "a"}', "answers none of the 2 questions"),
        ('["a"]', "a JSON object is needed"),
        ('{"q1": ', "not JSON"),
    ],
)
def test_wrong_answers_to_questions(content: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "predictions.json", content)
    with pytest.raises(InputError, match=message) as error:
        given_spans(QUESTIONS, path, None, 0.0, unanswerable=False)
    assert str(path) in str(error.value)


# ---------------------------------------------------------------------------------------------------------------------
# words, choices

WORDS = part([
    TokenExample("e.txt, line 1", ("EU", "left"), ("B-ORG", "O")),
    TokenExample("e.txt, line 4", ("New York", ".", "Ada"), ("B-LOC", "O", "B-PER")),
])  # fmt: skip
COLUMNS: dict[str, tuple[str, str]] = {
    "three columns": ("p.txt", "EU B-ORG B-ORG\nleft O O\n\nNew_York B-LOC O\n. O O\nAda B-PER B-PER\n"),
    "tabs": ("p.tsv", "EU\tB-ORG\nleft\tO\n\nNew_York\tO\n.\tO\nAda\tB-PER\n\n"),
    "labels alone": ("p.conll", "-DOCSTART-\n\nB-ORG\nO\n\n\nO\nO\nB-PER"),
    "json": ("p.jsonl", lines([{"prediction": ["B-ORG", "O"]}, {"prediction": ["O", "O", "B-PER"]}])),
}


@pytest.mark.parametrize("way", COLUMNS)
def test_labels_of_words(way: str, tmp_path: Path) -> None:
    found = given_tokens(WORDS, written(tmp_path, *COLUMNS[way]), ())
    assert found.by_sentence(found.predictions) == [("B-ORG", "O"), ("O", "O", "B-PER")]
    assert found.targets is not None
    assert found.by_sentence(found.targets) == [example.labels for example in WORDS.read()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("EU O\nleft O\n\nNew O\n. O\nAda O\n", "p.txt, line 4: the word is 'New', but the data have 'New York' here"),
        ("O\nO\n\nO\nO\n", "p.txt, line 4: the sentence has 2 labels, but 3 words"),
        ("O\nO\nO\nO\nO\n", "holds 1 sentences, but the data have 2"),
        ("O\nB-X\n\nO\nO\nO\n", "p.txt, line 2: the label 'B-X' is unknown"),
    ],
)
def test_wrong_labels_of_words(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        given_tokens(WORDS, written(tmp_path, "p.txt", content), ("O", "B-ORG", "B-LOC", "B-PER"))
    assert message in str(error.value)


def test_choices(tmp_path: Path) -> None:
    choices = part([ChoiceExample(f"{i}", "a", ("b", "c", "d"), label) for i, label in enumerate((0, 2))])
    read: Callable[[str, str], Any] = lambda name, text: given_choices(choices, written(tmp_path, name, text))  # noqa: E731
    assert read("p.txt", "2\n2").predictions.tolist() == [2, 2]
    scored = read("p.jsonl", lines([{"scores": [1, 3, 2]}, {"prediction": 0, "scores": [1, 2, 3]}]))
    assert scored.predictions.tolist() == [1, 0]
    assert scored.targets.tolist() == [0, 2]
    for text, message in (("2\n3", "line 2: the prediction is '3'; .* 0 to 2"), ("2", "holds 1 predictions")):
        with pytest.raises(InputError, match=message):
            read("p.txt", text)
    with pytest.raises(InputError, match="3 numbers, one for each choice"):
        read("p.jsonl", lines([{"scores": [1, 2]}] * 2))
