"""What a data set is made of, whatever file it came in: one record for each kind of task, and the parts of a set.

Every example carries `place`, which errors and predictions name: "train.tsv, line 17" or the id of a question. Labels
are words as the file spells them; numbering them is the task's business. An example without its answer (a test set's)
has None for it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal[
    "classification", "regression", "multi-label", "question-answering", "multiple-choice", "token-classification"
]
"""What is asked of an example."""


@dataclass(frozen=True, slots=True)
class TextExample:
    """A text or a pair of texts, with its label (classification), number (regression) or labels (multi-label).

    `group` names what it belongs together with, so that a split can keep groups together: a film, an author.
    """

    place: str
    text: str
    pair: str | None = None
    label: str | float | tuple[str, ...] | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A context and its possible continuations, each ready to be the second segment; `label` numbers the right one."""

    place: str
    context: str
    choices: tuple[str, ...]
    label: int | None = None
    group: str | None = None


class Answer(NamedTuple):
    """A stretch of a context: `text` = context[start : start + len(text)].

    A part that is not for training may have answers that their context lacks; their start is negative.
    """

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class SpanExample:
    """A question on a context with the answers that people gave, () where there is none in it (SQuAD 2.0) or where they
    are not known; `answerable` is None in the latter case."""

    place: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    answerable: bool | None = True
    group: str | None = None


@dataclass(frozen=True, slots=True)
class TokenExample:
    """The words of a sentence, each with its label; None for all where they are not known."""

    place: str
    words: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    group: str | None = None


Example: TypeAlias = TextExample | ChoiceExample | SpanExample | TokenExample


@dataclass(frozen=True)
class Part:
    """One part of a data set. `read` gives its examples in the order of the file, anew each time it is called.

    `files` are those that it is read from: what is made of them is cached under their content. `settings` says how
    they are read, as far as it changes the examples.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], Iterator[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DataSet:
    """The parts of a data set by name ("train", "dev", "test", "dev-mismatched", ...), of one kind.

    `labels` are known in advance, in the order of their numbers; None: they are to be found in the training part.
    """

    kind: Kind
    parts: Mapping[str, Part]
    labels: tuple[str, ...] | None = None
