"""From what a person says of sequences to the settings of each kind of task: the same in training and evaluation."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol, cast

from ..data.tasks.catalogue import data_set_info
from ..data.tasks.examples import Part
from ..tasks.choices import ChoiceSettings
from ..tasks.spans import SpanSettings
from ..tasks.texts import TextSettings
from ..tasks.tokens import TokenSettings
from ..text.encoding import Truncate


class SequenceOptions(Protocol):
    """`EvaluateOptions`, `FinetuneOptions`; `max_length` is no longer None when settings are made of them."""

    @property
    def task(self) -> str: ...
    @property
    def max_length(self) -> int | None: ...
    @property
    def truncate(self) -> str | None: ...
    @property
    def windows(self) -> bool: ...
    @property
    def stride(self) -> int | None: ...
    @property
    def max_query_length(self) -> int: ...
    @property
    def max_answer_length(self) -> int: ...
    @property
    def null_threshold(self) -> float: ...


def text_settings(options: SequenceOptions) -> TextSettings:
    return TextSettings(_length(options), _truncate(options), options.windows, options.stride)


def span_settings(options: SequenceOptions) -> SpanSettings:
    info = data_set_info(options.task)
    return SpanSettings(
        _length(options), options.stride or info.stride, options.max_query_length, options.max_answer_length,
        options.null_threshold if info.unanswerable else None,
    )  # fmt: skip


def for_parts(settings: Any, options: SequenceOptions, parts: Iterable[Part], *, taught: bool = False) -> Any:
    """The settings for these parts: among questions of one's own some may have no answer, as in SQuAD 2.0, which a
    model may have been `taught`. Of SQuAD itself the name says it."""
    if options.task != "question-answering":
        return settings
    if taught or any(e.answerable is False for part in parts for e in part.read()):
        return replace(settings, null_threshold=options.null_threshold)
    return settings


def token_settings(options: SequenceOptions) -> TokenSettings:
    return TokenSettings(_length(options), options.stride)


def choice_settings(options: SequenceOptions) -> ChoiceSettings:
    return ChoiceSettings(_length(options), _truncate(options))


def _length(options: SequenceOptions) -> int:
    assert options.max_length is not None
    return options.max_length


def _truncate(options: SequenceOptions) -> Truncate:
    return cast(Truncate, options.truncate or "head")
