"""Predicted labels in columns, as conlleval.pl reads them: word, true label if it is known, predicted label.

    EU      B-ORG  B-ORG
    rejects O      O

There is one space between columns and a blank line after each sentence. conlleval cuts lines at spaces, so spaces
inside of a word or a label are written as underscores.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ..plumbing.files import write_file
from .tokens import TokenAnswers

SPACE = re.compile(r"\s")


def write_columns(path: Path, answers: TokenAnswers) -> None:
    """Writes or replaces the file. Raises `InputError` if it can't be written."""
    write_file(path, "".join(_lines(answers)).encode("utf-8", "surrogatepass"))


def _lines(answers: TokenAnswers) -> Iterator[str]:
    known = [answers.targets] if answers.targets is not None else []
    labels = [answers.by_sentence(numbers) for numbers in (*known, answers.predictions)]
    for sentence in zip(answers.sentences, *labels, strict=True):
        for row in zip(*sentence, strict=True):
            yield " ".join(SPACE.sub("_", value) for value in row) + "\n"
        yield "\n"
