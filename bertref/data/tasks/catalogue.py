"""Data sets by name, and the kinds of task for data of one's own: how each is read, judged and trained on.

The hyper-parameters are starting points. Batch 32, warm-up 0.1 and the rates 2e-5, 3e-5 and 5e-5 over 2 to 4 epochs are
the paper's (Devlin et al. 2018, appendix A.3); SQuAD's 3e-5 over 2 epochs with windows of 384, stride 128, are those of
the original's README, SWAG's 2e-5 is the paper's (section 4.4).
"""

import difflib
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ...errors import InputError
from .examples import Kind
from .glue import TASKS

Layout: TypeAlias = Literal["texts", "reviews", "glue", "xnli", "squad", "choices", "columns"]
"""Which reader: tables or folders of texts, the folders of the Large Movie Review data, and the others by name."""


@dataclass(frozen=True)
class DataSetInfo:
    """What is known of a data set before it is opened.

    `metric` chooses the best checkpoint, `metrics` are those that are reported beside it. `labels` are known in advance
    where they are not None. `unanswerable`: some questions have no answer in their context. Lengths are in tokens;
    `stride`, `max_query_length` and `max_answer_length` belong to question answering.
    """

    name: str
    kind: Kind
    layout: Layout
    metric: str
    metrics: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    unanswerable: bool = False
    max_length: int = 128
    stride: int = 128
    max_query_length: int = 64
    max_answer_length: int = 30
    batch_size: int = 32
    learning_rate: float = 5e-5
    epochs: int = 3
    warmup: float = 0.1


_GLUE_METRICS = {
    "cola": ("matthews", "accuracy"),
    "mrpc": ("f1", "accuracy"),
    "sts-b": ("pearson", "spearman"),
    "qqp": ("f1", "accuracy"),
    "ax": ("matthews", "accuracy"),
}
"""The first chooses; accuracy where a task is missing."""


def _glue(name: str) -> DataSetInfo:
    metric, *others = _GLUE_METRICS.get(name, ("accuracy",))
    return DataSetInfo(name, TASKS[name].kind, "glue", metric, tuple(others), TASKS[name].labels)


def _squad(name: str, *, unanswerable: bool = False) -> DataSetInfo:
    return DataSetInfo(
        name, "question-answering", "squad", "f1", ("exact_match",),
        unanswerable=unanswerable, max_length=384, learning_rate=3e-5, epochs=2,
    )  # fmt: skip


_ENTITIES = ("precision", "recall", "accuracy")
_INFOS = (
    DataSetInfo("classification", "classification", "texts", "accuracy", ("f1_macro", "matthews")),
    DataSetInfo("regression", "regression", "texts", "pearson", ("spearman", "mse")),
    DataSetInfo("multi-label", "multi-label", "texts", "f1_micro", ("f1_macro", "accuracy")),
    _squad("question-answering"),
    DataSetInfo("multiple-choice", "multiple-choice", "choices", "accuracy"),
    DataSetInfo("token-classification", "token-classification", "columns", "f1", _ENTITIES),
    DataSetInfo(
        "imdb", "classification", "reviews", "accuracy", ("f1", "auc"), ("neg", "pos"), learning_rate=2e-5, epochs=2
    ),
    *map(_glue, TASKS),
    DataSetInfo("xnli", "classification", "xnli", "accuracy", (), TASKS["mnli"].labels),
    _squad("squad"),
    _squad("squad2", unanswerable=True),
    DataSetInfo("swag", "multiple-choice", "choices", "accuracy", learning_rate=2e-5),
    DataSetInfo("conll", "token-classification", "columns", "f1", _ENTITIES),
)
CATALOGUE = {info.name: info for info in _INFOS}
KINDS: tuple[Kind, ...] = get_args(Kind)
ALIASES = {
    "sst2": "sst-2", "stsb": "sts-b", "squad-v1": "squad", "squad-v1.1": "squad", "squad-v2": "squad2",
    "squad-v2.0": "squad2", "conll2003": "conll", "conll-2003": "conll",
}  # fmt: skip
"""Other names that data sets have elsewhere -> their names here."""
NAMES = (*CATALOGUE, *ALIASES)
"""All names that `data_set_info` knows; it takes them in any case, and "_" for "-"."""


def known_name(name: str) -> str:
    """The name in `CATALOGUE` of a name from `NAMES`; another name as it is."""
    plain = name.lower().replace("_", "-")
    plain = ALIASES.get(plain, plain)
    return plain if plain in CATALOGUE else name


def data_set_info(name: str) -> DataSetInfo:
    """The record of a data set, or of a kind of task. Raises `InputError` for a name that is neither."""
    info = CATALOGUE.get(known_name(name))
    if info is None:
        close = difflib.get_close_matches(name.lower(), NAMES, 1)
        hint = f" (is it {close[0]!r}?)" if close else ""
        raise InputError(f"no data set or task {name!r}{hint}; there are {', '.join(CATALOGUE)}")
    return info
