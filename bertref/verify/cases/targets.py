"""What a case's answers are compared with: labels for every head, or given gradients of outputs.

    sequence_classification  labels (B): the right class
    regression               labels (B, K): the wanted numbers
    multi_label              labels (B, K): 1 where a text has the label, else 0
    token_classification     labels (B, S): the right class; -100 at padding, [CLS] and about every third token
    question_answering       start_positions, end_positions (B): the answer's first and last column; S where there is
                             none, which counts for nothing
    multiple_choice          labels (B / C): the right one of a question's C choices, which stand one after the other
    encoder, pooler          upstream.sequence (B, S, H), upstream.pooled (B, H): the gradients of the outputs, as if
    sentence_embedding       upstream.sentence (B, H)      loss.total were the sum of their products with the outputs

Heads of pre-training have theirs in the batch. `HEADS` says by which name a user asks for one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...data.batch import IGNORED_LABEL, Batch
from ...errors import InputError
from ...rng import generator
from ...topology import SENTENCE_DENSE
from ..records import PRETRAINING, Arrays, Case

HEADS: Mapping[str, tuple[str, ...]] = {
    "pretraining": PRETRAINING,
    "masked_lm": ("masked_lm",),
    "next_sentence": ("next_sentence",),
    "sequence_classification": ("sequence_classification",),
    "regression": ("sequence_classification",),
    "multi_label": ("sequence_classification",),
    "token_classification": ("token_classification",),
    "question_answering": ("question_answering",),
    "multiple_choice": ("multiple_choice",),
    "encoder": (),
    "pooler": ("pooler",),
    "sentence_embedding": (),
}
"""The objectives by the names with which users ask for them -> the heads of the model."""

TASK_HEADS = ("sequence_classification", "token_classification", "multiple_choice", "question_answering")
"""The heads of a model that belong to a task. Only Hugging Face's class tells them apart: three share a name."""
PROBLEMS = {
    "regression": "regression", "multi_label": "multi_label_classification",
    "sequence_classification": "single_label_classification",
}  # fmt: skip
"""An objective of a sequence classifier -> what Hugging Face calls it."""

LABELLED = ("sequence_classification", "regression", "multi_label", "token_classification")
"""Those that have a number of labels."""


def check_head(head: str, labels: int | None = None, choices: int | None = None) -> None:
    """Raises `InputError` for an unknown head, and for numbers that it has no use for or that are too small."""
    if head not in HEADS:
        raise InputError(f"case: no head {head!r}; there are {', '.join(HEADS)}")
    if labels is not None and (head not in LABELLED or labels < 1):
        raise InputError(f"case: {labels} labels for {head}; labels, 1 or more, are for {', '.join(LABELLED)}")
    if choices is not None and (head != "multiple_choice" or choices < 2):
        raise InputError(f"case: {choices} choices for {head}; choices, 2 or more, are for multiple_choice")


def objective_of(heads: tuple[str, ...], num_labels: int = 2) -> str | None:
    """The objective of a model with these heads, as Hugging Face takes it where nothing else is said: one label is a
    number. None for heads that come together in no class of theirs."""
    if heads == ("sequence_classification",) and num_labels == 1:
        return "regression"
    return next((name for name, wanted in HEADS.items() if wanted == heads), None)


def targets(
    objective: str | None, batch: Batch, hidden_size: int, seed: int, *, labels: int = 2, choices: int = 2
) -> Arrays:
    """The targets of an objective for a batch, drawn from `seed`. Raises `InputError` for rows that are not whole
    questions."""
    draw = generator(seed, "case", 5)
    B, S = batch.input_ids.shape
    match objective:
        case "sequence_classification":
            return {"labels": _classes(draw, (B,), labels)}
        case "regression":
            return {"labels": _single(draw.standard_normal((B, labels)))}
        case "multi_label":
            return {"labels": _classes(draw, (B, labels), 2).astype(np.float64)}
        case "token_classification":
            return {"labels": _of_tokens(draw, batch, labels)}
        case "question_answering":
            return _spans(draw, batch)
        case "multiple_choice":
            if B % choices:
                raise InputError(f"case: {B} rows are no whole questions of {choices} choices; give B or choices")
            return {"labels": _classes(draw, (B // choices,), choices)}
        case "encoder" | "pooler" | "sentence_embedding":
            return _gradients(draw, objective, batch, (B, S, hidden_size))
    return {}


def check_targets(case: Case) -> None:
    """Raises `InputError` unless a case has the targets of its objective, in their shapes."""
    B, labels = len(case.batch), case.targets.get("labels")
    choices = B // len(labels) if case.objective == "multiple_choice" and labels is not None and len(labels) else 1
    choices = choices if B % choices == 0 else 1
    wanted = targets(case.objective, case.batch, case.config.hidden_size, 0, labels=case.num_labels, choices=choices)
    if {n: a.shape for n, a in wanted.items()} != {n: a.shape for n, a in case.targets.items()}:
        raise InputError(f"targets: those of {case.objective} are {', '.join(wanted) or 'none'}, each in its shape")


def _single(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)


def _classes(draw: np.random.Generator, shape: tuple[int, ...], count: int) -> npt.NDArray[np.int32]:
    """Not all the same, where there is more than one and more than one of them."""
    found = draw.integers(0, count, shape)
    flat = found.reshape(-1)
    if flat.size > 1 and count > 1 and (flat == flat[0]).all():
        flat[-1] = (flat[0] + 1) % count
    return found.astype(np.int32)


def _of_tokens(draw: np.random.Generator, batch: Batch, count: int) -> npt.NDArray[np.int32]:
    """Rows with unequal shares of labelled tokens, so that a mean of the rows' means is another number."""
    B, S = batch.input_ids.shape
    labels = _classes(draw, (B, S), count)
    labelled = (draw.random((B, S)) < 0.75) & (batch.attention_mask != 0) & (np.arange(S) > 0)
    labelled[0, min(1, S - 1)] = True
    return np.where(labelled, labels, IGNORED_LABEL).astype(np.int32)


def _spans(draw: np.random.Generator, batch: Batch) -> Arrays:
    """An answer in every row but one, the second of three or more: there it lies outside."""
    B, S = batch.input_ids.shape
    lengths = np.maximum(batch.attention_mask.sum(axis=1), 1)
    ends = np.sort(draw.integers(0, lengths[:, None], (B, 2)), axis=1).astype(np.int32)
    if B >= 3:
        ends[1] = S
    return {"start_positions": ends[:, 0].copy(), "end_positions": ends[:, 1].copy()}


def _gradients(draw: np.random.Generator, objective: str, batch: Batch, shape: tuple[int, int, int]) -> Arrays:
    """Gradients of about one length in total, 0 at padding: then the loss is about as large as an output, and its error
    as that of one."""
    B, _, H = shape
    of_rows = draw.standard_normal((B, H)) / np.sqrt(B * H)
    if objective == "sentence_embedding":
        return {"upstream.sentence": _single(of_rows * np.sqrt(H))}
    tokens = batch.attention_mask[..., None] != 0
    sequence = np.where(tokens, draw.standard_normal(shape) / np.sqrt(np.prod(shape)), 0.0)
    both = {"upstream.sequence": _single(sequence)}
    return both | ({"upstream.pooled": _single(of_rows)} if objective == "pooler" else {})


def select(case: Case, rows: npt.NDArray[np.int64]) -> Arrays:
    """The targets of some of the rows. Raises `InputError` for rows that are not whole questions."""
    if case.objective != "multiple_choice":
        return {name: array if name.startswith(SENTENCE_DENSE) else array[rows] for name, array in case.targets.items()}
    questions = rows.reshape(-1, case.choices) if rows.size % case.choices == 0 else None
    if questions is None or (questions != questions[:, :1] + np.arange(case.choices)).any():
        raise InputError(f"case: rows {rows.tolist()} are no whole questions of {case.choices} choices")
    return {"labels": case.targets["labels"][questions[:, 0] // case.choices]}


def cut(case: Case, length: int) -> Arrays:
    """The targets of the first `length` columns; an answer that ends beyond them lies outside."""
    if case.objective == "question_answering":
        inside = case.targets["end_positions"] < length
        return {name: np.where(inside, array, length).astype(np.int32) for name, array in case.targets.items()}
    along = {"labels"} if case.objective == "token_classification" else {"upstream.sequence"}
    return {name: array[:, :length] if name in along else array for name, array in case.targets.items()}

