"""Questions on contexts: both versions, answers that stand elsewhere, and files that are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertref.data.tasks.examples import Answer, SpanExample
from bertref.data.tasks.squad import NOWHERE, _nearest, squad_part
from bertref.errors import InputError

from .files import read, write

CONTEXT = "Ann met Bob. Bob met Cid."


def qa(key: str = "q1", *answers: tuple[str, int], **more: Any) -> dict[str, Any]:
    given = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": key, "question": "Who?", "answers": given, **more}


def squad(path: Path, *qas: Any, context: Any = CONTEXT, **more: Any) -> Path:
    content = {
        "version": "1.1",
        "data": [{"title": "People", "paragraphs": [{"context": context, "qas": qas}]}],
        **more,
    }
    return write(path, json.dumps(content))


def test_questions(tmp_path: Path) -> None:
    path = squad(
        tmp_path / "a.json.gz",
        qa("1", ("Ann", 0), ("Bob", 13)),
        qa("2", is_impossible=True, plausible_answers=[{"text": "Ann", "answer_start": 0}]),
    )
    found = [
        SpanExample("1", "Who?", CONTEXT, (Answer("Ann", 0), Answer("Bob", 13)), group="People"),
        SpanExample("2", "Who?", CONTEXT, answerable=False, group="People"),
    ]
    assert read(squad_part("train", path, training=True)) == found
    assert read(squad_part("dev", path, training=False)) == found


def test_questions_without_answers_are_for_prediction_only(tmp_path: Path) -> None:
    path = squad(tmp_path / "a.json", {"id": "1", "question": "Who?"}, qa("2"))
    assert [(e.answers, e.answerable) for e in read(squad_part("test", path, training=False))] == [((), None)] * 2
    with pytest.raises(InputError, match="question 1: no answer is given; training needs one"):
        read(squad_part("train", path, training=True))


def test_an_answer_elsewhere_is_found_and_counted_once(tmp_path: Path) -> None:
    path = squad(tmp_path / "a.json", qa("1", ("Bob", 12)), qa("2", ("Bob", 1)), qa("3", ("Dan", 3)),
                 qa("4", ("Dan", 3), ("Cid", -2)))  # fmt: skip
    said: list[str] = []
    examples = read(squad_part("dev", path, said.append, training=False))
    assert [[a.start for a in e.answers] for e in examples] == [[13], [8], [NOWHERE], [NOWHERE, 21]]
    moved = f"{path}: 3 of 5 answers are not at their answer_start; the nearest place with the same text was taken"
    nowhere, first = f"{path}: 2 of 5 answers are not in their context and", "; the first is that of question 3"
    assert said == [moved, f"{nowhere} count as they are{first}"]
    said.clear()
    training = read(squad_part("train", path, said.append, training=True))
    assert [(e.place, e.answers) for e in training] == [
        ("1", (Answer("Bob", 13),)), ("2", (Answer("Bob", 8),)), ("4", (Answer("Cid", 21),)),
    ]  # fmt: skip
    left = f"{path}: left out 1 questions without an answer to learn from, the first is 3"
    assert said == [moved, f"{nowhere} are left out{first}", left]


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", "")
    with pytest.raises(InputError, match=r"a\.json: is empty$"):
        read(squad_part("train", path, training=True))


def test_of_several_places_the_nearest_is_taken(tmp_path: Path) -> None:
    """Rome stands at 0, 23, 37 and 53."""
    context = "Rome is old. People in Rome say that Rome will last. Rome!"
    starts = [0, 1, 13, 36, 25, 46, 50, 99, -3]
    path = squad(tmp_path / "a.json", *(qa(str(i), ("Rome", start)) for i, start in enumerate(starts)), context=context)
    said: list[str] = []
    examples = read(squad_part("train", path, said.append, training=True))
    assert [e.answers[0].start for e in examples] == [0, 0, 23, 37, 23, 53, 53, 53, 0]
    assert said == [
        f"{path}: 8 of 9 answers are not at their answer_start; the nearest place with the same text was taken"
    ]


def test_impossible_questions_with_answers_are_counted(tmp_path: Path) -> None:
    path = squad(tmp_path / "a.json", qa("1", ("Ann", 0), is_impossible=True), qa("2", is_impossible=True), qa("3",
                 ("Bob", 8)))  # fmt: skip
    said: list[str] = []
    examples = read(squad_part("train", path, said.append, training=True))
    assert [(e.answerable, len(e.answers)) for e in examples] == [(False, 0), (False, 0), (True, 1)]
    assert said == [
        f"{path}: 1 of 3 questions have answers, but is_impossible: true, and are taken as without; the first is 1"
    ]


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=3), st.integers(0, 15))
def test_the_nearest_occurrence(context: str, text: str, start: int) -> None:
    places = [i for i in range(len(context)) if context.startswith(text, i)]
    assert _nearest(context, text, start) == min(places, key=lambda i: (abs(i - start), i), default=NOWHERE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "'data' is missing or not a list; SQuAD's JSON has it"),
        ('{"id": "1"}\n{"id": "2"}\n', "more than one JSON value; SQuAD's own layout is read, "
         '{"data": [{"title", "paragraphs": [{"context", "qas"}]}]}'),
        ('{"id": "1", "question": "a", "context": "b"}', "are not SQuAD's articles; SQuAD's own layout is read"),
        ('[{"id": "1", "question": "a", "context": "b"}]', "are not SQuAD's articles; SQuAD's own layout is read"),
        ('{"version": "1", "data": [{"id": "1", "question": "a", "context": "b"}]}', "are not SQuAD's articles"),
        ('{"data": [{"paragraphs": []}]}', "article 1: 'title' is missing or not a string"),
        ('{"data": []}', "no questions in it"),
        (b'"\xff"', "not UTF-8: a wrong byte at offset 1"),
    ],
)
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path / "a.json", content)
    with pytest.raises(InputError) as caught:
        read(squad_part("dev", path, training=False))
    assert str(caught.value).startswith(f"{path}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("questions", "context", "message"),
    [
        ([qa("1", ("Ann", 0)), qa("1", ("Bob", 8))], CONTEXT, "the question id '1' occurs twice"),
        ([qa("1", ("Ann", 0))], " ", "article 1 (People), paragraph 1: 'context' is empty"),
        ([qa("1", question="")], CONTEXT, "question 1: 'question' is empty"),
        ([qa("1", ("", 0))], CONTEXT, "question 1: 'text' is empty"),
        ([qa("1", ("Ann", "0"))], CONTEXT, "question 1: 'answer_start' is missing or not a whole number"),  # type: ignore[arg-type]
        ([qa("1", ("Ann", True))], CONTEXT, "'answer_start' is missing or not a whole number"),
        ([{"id": 1}], CONTEXT, "paragraph 1: 'id' is missing or not a string"),
    ],
)
def test_bad_questions(tmp_path: Path, questions: list[Any], context: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(squad_part("dev", squad(tmp_path / "a.json", *questions, context=context), training=False))
    assert message in str(caught.value)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read: No such file"):
        read(squad_part("dev", tmp_path / "none.json", training=False))
    path = tmp_path / "a.json.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(InputError, match="can't be unpacked"):
        read(squad_part("dev", path, training=False))


def test_the_published_files(data_dir: Path) -> None:
    said: list[str] = []
    first = list(squad_part("dev", data_dir / "data/squad/dev-v1.1.json.gz", said.append, training=False).read())
    assert len(first) == 10570
    assert len({e.group for e in first}) == 48
    second = list(
        squad_part("dev", data_dir / "data/squad/dev-v2.0.cs224n.json.gz", said.append, training=False).read()
    )
    assert len(second) == 6078
    assert sum(e.answerable is False for e in second) == 3168
    for example in (*first, *second):
        assert all(example.context.startswith(text, start) for text, start in example.answers)
    assert said == []
