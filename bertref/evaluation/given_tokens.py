"""Labels of words that somebody else computed, in columns as conlleval.pl reads them, or in JSON lines.

    EU B-ORG B-ORG      the predicted label is the last column; the word, if there are several columns, the first
    rejects O O

    {"prediction": ["B-ORG", "O"]}
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.pretraining.text_files import JSONL, ending, read_lines
from ..data.tasks.conll import DOCUMENT
from ..data.tasks.examples import Part
from ..errors import InputError
from ..tasks.labels import found_labels, number_of, numbers_of
from ..tasks.tokens import label_numbers
from .column_files import SPACE
from .given import read_given
from .tokens import TokenAnswers, Words


class _Row(NamedTuple):
    """`word` is None where there is one column. `where` names file and line."""

    where: str
    word: str | None
    label: str


def given_tokens(part: Part, path: Path, labels: Sequence[str]) -> TokenAnswers:
    """The labels in a file for the words of a part. `labels` in their order; (): those of the part and of the file.

    Raises `InputError` naming file and line: for another word than the part's, a sentence of another length, an unknown
    label (if they are given); and for another number of sentences.
    """
    examples = list(part.read())
    sentences = [example.words for example in examples]
    targets = [example.labels for example in examples]
    if ending(path) in JSONL:
        rows = _json_sentences(path, [example.place for example in examples])
    else:
        rows = list(_sentences(path))
    if len(rows) != len(sentences):
        raise InputError(f"{path}: holds {len(rows)} sentences, but the data have {len(sentences)}")
    for words, some in zip(sentences, rows, strict=True):
        _check(words, some)
    known = [each for each in targets if each is not None]
    if not labels:
        labels = found_labels([*known, *([row.label for row in some] for some in rows)])
    table = numbers_of(labels)
    said = [number_of(table, row.label, row.where) for some in rows for row in some]
    true = [numbers for example in examples if (numbers := label_numbers(example, table)) is not None]
    truth = np.concatenate([np.zeros(0, np.int64), *true]) if len(true) == len(examples) else None
    return TokenAnswers(tuple(labels), sentences, np.array(said, np.int64), truth)


def _sentences(path: Path) -> Iterator[list[_Row]]:
    rows: list[_Row] = []
    for number, line in enumerate(read_lines(path), 1):
        columns = [column for column in SPACE.split(line) if column]
        if columns and not line.startswith(DOCUMENT):
            word = columns[0] if len(columns) > 1 else None
            rows.append(_Row(f"{path}, line {number}", word, columns[-1]))
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def _json_sentences(path: Path, places: Sequence[str]) -> list[list[_Row]]:
    found = []
    for answer in read_given(path, places):
        if not isinstance(answer.prediction, list):
            raise InputError(f'{answer.where}: "prediction" has to be a list, a label for each word')
        found.append([_Row(answer.where, None, str(label)) for label in answer.prediction])
    return found


def _check(words: Words, rows: Sequence[_Row]) -> None:
    for word, row in zip(words, rows, strict=False):
        if row.word is not None and row.word != SPACE.sub("_", word):
            raise InputError(f"{row.where}: the word is {row.word!r}, but the data have {word!r} here")
    if len(words) != len(rows):
        raise InputError(f"{rows[0].where if rows else 'an empty sentence'}: the sentence has {len(rows)} labels, but "
                         f"{len(words)} words")  # fmt: skip
