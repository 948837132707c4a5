"""A label, several, or a number for a text or a pair of texts.

    single_label_classification   softmax of the logits: the scores add up to 1
    multi_label_classification    a sigmoid each: every label holds or not, by itself
    regression                    the logits as they are

Where a config names no problem type, one label means regression and several mean one of them, as in transformers'
models; its pipeline puts a single label through a sigmoid even so. A cross-encoder's folder stores the activation
itself (`checkpoint.activation`), and its scores are what that makes of the logits.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from .. import heads
from ..arrays import Array
from ..checkpoint.text_windows import TextWindows
from ..errors import InputError
from ..text.encoding import Encoding, Truncate
from .loaded import Loaded, framed, pooled, require
from .team import Team, answered

ACTIVATIONS = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "identity",
}


class LabelScore(NamedTuple):
    """A label and its score; see the module for what the score means."""

    label: str
    score: float


class Labelled(Protocol):
    """A model with a classifier, loaded or saved."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def problem_type(self) -> str | None: ...


def problem_of(loaded: Labelled) -> str:
    """The problem type that the scores follow."""
    return loaded.problem_type or ("regression" if len(loaded.labels) == 1 else "single_label_classification")


def classify(
    loaded: Loaded,
    texts: Sequence[str],
    pairs: Sequence[str] | None = None,
    *,
    truncate: Truncate | None = None,
    windows: bool | None = None,
) -> list[list[LabelScore]]:
    """Every label with its score, best first; of regression the numbers in the order of the labels.

    Texts that are too long are cut (`truncate`), or seen through windows: those that the model records, or, with
    `windows`, of as many tokens as it reads. A text's logits are then the means of its windows'.

    Raises `TextError` for texts that are too long where neither is asked for or recorded, `InputError` where both are
    asked for, and for a model without the head.
    """
    require(loaded, "sequence_classification")
    problem = problem_of(loaded)
    logits = _text_logits(loaded, texts, pairs, truncate, windows_for(loaded, truncate, windows))
    result: list[list[LabelScore]] = []
    for row in scores(loaded, loaded.ops.xp.from_numpy(logits)):
        labelled = [LabelScore(label, float(p)) for label, p in zip(loaded.labels, row, strict=True)]
        result.append(labelled if problem == "regression" else sorted(labelled, key=lambda found: -found.score))
    return result


def windows_for(loaded: Loaded, truncate: Truncate | None, windows: bool | None) -> TextWindows | None:
    """The windows to answer through, None for none; see `classify`."""
    if windows and truncate is not None:
        raise InputError("truncate cuts a long text, windows read all of it; choose one")
    if windows is False or truncate is not None:
        return None
    return loaded.windows or (TextWindows(loaded.config.max_length) if windows else None)


def _text_logits(
    loaded: Loaded, texts: Sequence[str], pairs: Sequence[str] | None, truncate: Truncate | None,
    windows: TextWindows | None,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Logits (N, K) of N texts or pairs in their order."""
    if windows is None:
        return logits_of(loaded, framed(loaded, texts, pairs, truncate))
    from ..tasks.texts import TextSettings, pooled_by_text, sequences_of  # most answers need no windows

    settings = TextSettings(windows.max_length, windows=True, stride=windows.stride)
    sequences = sequences_of(loaded.tokenizer, texts, pairs, settings)
    logits = logits_of(loaded, [sequence for own in sequences for sequence in own])
    return pooled_by_text(logits, sequences)


def logits_of(
    loaded: Loaded, encodings: Sequence[Encoding], team: Team | None = None
) -> npt.NDArray[np.float64]:
    """Logits (N, K) of N sequences on the host, in their order; sequences of like length share a batch, and a team the
    batches."""

    def of_batch(some: list[Encoding]) -> npt.NDArray[Any]:
        return np.asarray(loaded.ops.xp.to_numpy(_logits(loaded, some)))

    rows = answered(encodings, of_batch, team, parts_of=loaded)
    return np.array(rows, np.float64).reshape(-1, len(loaded.labels))


def _logits(loaded: Loaded, some: Sequence[Encoding]) -> Array:
    """One batch's logits (B, K)."""
    return heads.sequence_classification_forward(loaded.ops, loaded.params, pooled(loaded, some))[0]


def activation_of(loaded: Loaded) -> str:
    """What makes scores of logits: the stored activation, or that of the problem type."""
    return loaded.activation or ACTIVATIONS[problem_of(loaded)]


def scores(loaded: Loaded, logits: Array) -> npt.NDArray[Any]:
    """Logits (B, K) -> scores (B, K) on the host."""
    activation = activation_of(loaded)
    if activation == "softmax":
        logits, _ = loaded.ops.softmax.forward(logits)
    found: npt.NDArray[Any] = loaded.ops.xp.to_numpy(logits)
    if activation == "sigmoid":
        return sigmoid(found)
    if activation == "relu":
        return np.asarray(np.maximum(found, 0))
    return np.asarray(np.tanh(found)) if activation == "tanh" else found


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by the half of it that can't overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))
