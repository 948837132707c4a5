"""SQuAD's JSON, versions 1.1 and 2.0, plain or `.gz`: articles of paragraphs, each with questions.

    {"version": "v2.0", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [
        {"id": ..., "question": ..., "answers": [{"text": ..., "answer_start": ...}], "is_impossible": false}]}]}]}

(Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822.) An answer whose `answer_start` does not point at its
text is taken where the text occurs nearest to it. If the context does not have the text at all, nothing can be learned
from it: a part for training leaves out the answer, and a question that has no other, as the original's `run_squad.py`
does; other parts keep the text, by which predictions are scored, with the start `NOWHERE`. All are counted and said.

A file is one JSON value and is held in memory while it is read (SQuAD's own have 30 to 45 MB); its questions are not.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from .examples import Answer, Part, SpanExample
from .notes import Notes, once

NOWHERE = -1
"""The start of an answer that its context does not have."""
_KINDS = {"data": list, "paragraphs": list, "qas": list, "answers": list, "title": str, "context": str, "question": str,
          "id": str, "text": str, "answer_start": int}  # fmt: skip
_WORDS = {list: "a list", str: "a string", int: "a whole number"}


LAYOUT = 'SQuAD\'s own layout is read, {"data": [{"title", "paragraphs": [{"context", "qas"}]}]}'


@dataclass
class _Counts:
    """Of one reading: questions, answers, those found elsewhere than at their start; the questions of those found
    nowhere, questions left out, and those that are impossible and have answers."""

    questions: int = 0
    answers: int = 0
    moved: int = 0
    nowhere: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    contradictory: list[str] = field(default_factory=list)


def squad_part(
    name: str, path: Path, notes: Notes | None = None, *, training: bool, answered: bool = False
) -> Part:
    """A part of questions, each of them `answered` as in version 1.1; each one's place is its id, its group the
    article's title.

    Raises `InputError`, when the part is read, for a file that is not SQuAD's JSON, an id that occurs twice, an empty
    question, context or answer, a question that is impossible where each is `answered`; for an unknown answer only in
    a part for training.
    """
    tell = once(notes)

    def read() -> Iterator[SpanExample]:
        counts = _Counts()
        yield from _questions(path, counts, training=training, answered=answered)
        _report(path, counts, tell, training=training)

    return Part(name, (path,), read, {"training": training})


def _report(path: Path, counts: _Counts, tell: Notes, *, training: bool) -> None:
    if counts.moved:
        tell(f"{path}: {counts.moved} of {counts.answers} answers are not at their answer_start; "
             "the nearest place with the same text was taken")  # fmt: skip
    if counts.nowhere:
        what = "are left out" if training else "count as they are"
        tell(f"{path}: {len(counts.nowhere)} of {counts.answers} answers are not in their context and {what}; the "
             f"first is that of question {counts.nowhere[0]}")  # fmt: skip
    if counts.contradictory:
        tell(f"{path}: {len(counts.contradictory)} of {counts.questions} questions have answers, but is_impossible: "
             f"true, and are taken as without; the first is {counts.contradictory[0]}")  # fmt: skip
    if counts.left_out:
        tell(f"{path}: left out {len(counts.left_out)} questions without an answer to learn from, the first is "
             f"{counts.left_out[0]}")  # fmt: skip


def load_json(path: Path) -> Any:
    """The value in a JSON file, plain or `.gz`. Raises `InputError` if it can't be read or is none."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix.lower() == ".gz" else data).decode("utf-8-sig")
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8: a wrong byte at offset {error.start}; convert the file first") from None
    except ValueError as error:
        if not text.strip():
            raise InputError(f"{path}: is empty") from None
        if "Extra data" in str(error):
            raise InputError(f"{path}: more than one JSON value; {LAYOUT}") from None
        raise InputError(f"{path}: not JSON: {error}") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: can't be unpacked: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from None


def _questions(path: Path, counts: _Counts, *, training: bool, answered: bool) -> Iterator[SpanExample]:
    seen: set[str] = set()
    content = load_json(path)
    _refuse_flat(content, path)
    for a, article in enumerate(_get(content, "data", f"{path}")):
        title = _get(article, "title", f"{path}, article {a + 1}")
        for p, paragraph in enumerate(_get(article, "paragraphs", f"{path}, article {a + 1}")):
            where = f"{path}, article {a + 1} ({title}), paragraph {p + 1}"
            context = _filled(paragraph, "context", where)
            for qa in _get(paragraph, "qas", where):
                key = _filled(qa, "id", where)
                if key in seen:
                    raise InputError(f"{path}: the question id {key!r} occurs twice; an id stands for one question")
                seen.add(key)
                at = f"{path}, question {key}"
                example = _example(qa, key, context, title, at, counts)
                if answered and example.answerable is False:
                    raise InputError(f"{at}: has no answer; the task for such questions is squad2")
                usable = _for_training(example, at, answered=answered) if training else example
                if usable:
                    yield usable
                else:
                    counts.left_out.append(key)
    if not seen:
        raise InputError(f"{path}: no questions in it")


def _refuse_flat(content: Any, path: Path) -> None:
    """Raises `InputError` for questions without articles, as the scripts of transformers read them."""
    rows = content.get("data", [content]) if isinstance(content, dict) else content
    if isinstance(rows, list) and rows and isinstance(rows[0], dict) and {"question", "context"} <= rows[0].keys():
        raise InputError(f"{path}: its questions are not SQuAD's articles; {LAYOUT}")


def _for_training(example: SpanExample, where: str, *, answered: bool) -> SpanExample | None:
    """With those answers only that are in the context; None if that leaves nothing to learn."""
    if example.answerable is None:
        instead = "" if answered else ", or is_impossible: true"
        raise InputError(f"{where}: no answer is given; training needs one{instead}")
    answers = tuple(answer for answer in example.answers if answer.start != NOWHERE)
    return replace(example, answers=answers) if answers or not example.answerable else None


def _example(qa: Any, key: str, context: str, title: str, where: str, counts: _Counts) -> SpanExample:
    question = _filled(qa, "question", where)
    counts.questions += 1
    if qa.get("is_impossible", False):
        if qa.get("answers"):
            counts.contradictory.append(key)
        return SpanExample(key, question, context, answerable=False, group=title)
    given = _get(qa, "answers", where) if "answers" in qa else []
    answers = tuple(_answer(answer, context, key, where, counts) for answer in given)
    return SpanExample(key, question, context, answers, True if answers else None, title)


def _answer(answer: Any, context: str, key: str, where: str, counts: _Counts) -> Answer:
    text, start = _filled(answer, "text", where), _get(answer, "answer_start", where)
    counts.answers += 1
    if start >= 0 and context.startswith(text, start):
        return Answer(text, start)
    found = _nearest(context, text, max(start, 0))
    counts.moved += found != NOWHERE
    if found == NOWHERE:
        counts.nowhere.append(key)
    return Answer(text, found)


def _nearest(context: str, text: str, start: int) -> int:
    """Where `text` occurs nearest to `start`, the earlier of two; `NOWHERE` if it doesn't."""
    before, after = context.rfind(text, 0, start + len(text)), context.find(text, start)
    return min(
        (place for place in (before, after) if place >= 0), key=lambda place: abs(place - start), default=NOWHERE
    )


def _filled(record: Any, key: str, where: str) -> str:
    value: str = _get(record, key, where)
    if not value.strip():
        raise InputError(f"{where}: {key!r} is empty")
    return value


def _get(record: Any, key: str, where: str) -> Any:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
        raise InputError(f"{where}: {key!r} is missing or not {_WORDS[_KINDS[key]]}; SQuAD's JSON has it")
    return value
