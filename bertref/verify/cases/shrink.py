"""Smaller questions: the smallest case that still fails is the easiest to look into."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...data.pretraining.batch import PretrainingBatch
from ...errors import InputError
from ..graph.axes import rows_of
from ..records import Case, OptimizerCase
from .targets import cut, select


def reduce_case(
    case: Case,
    *,
    rows: Sequence[int] | None = None,
    length: int | None = None,
    layers: int | None = None,
    predictions: int | None = None,
    optimizer: bool = True,
) -> Case:
    """A part of a case: these rows, the first `length` columns, the first `layers` layers, the first `predictions`
    of each row, with or without the optimiser step. What is asked for is added to `origin`, so that it can be replayed.

    Raises `InputError` for rows that the case doesn't have and for lengths below 1.
    """
    batch, wanted = case.batch, case
    if rows is not None:
        if not rows or not all(0 <= row < len(batch) for row in rows):
            raise InputError(f"case: rows {list(rows)} of a batch of {len(batch)}")
        wanted = replace(wanted, targets=select(case, np.asarray(rows)))
        batch = batch[np.asarray(rows)]
    if length is not None:
        wanted = replace(wanted, targets=cut(wanted, length))
        batch = _cut(batch, length)
    if predictions is not None:
        batch = _with_predictions(batch, predictions)
    config, params, step = case.config, case.params, case.optimizer if optimizer else None
    if layers is not None:
        config = replace(config, num_hidden_layers=layers)
        params = {name: params[name] for name in replace(case, config=config).shapes}
        step = step and _of_parameters(step, params)
    asked: dict[str, Any] = {
        "rows": None if rows is None else [int(row) for row in rows], "length": length, "layers": layers,
        "predictions": predictions, "optimizer": optimizer,
    }  # fmt: skip
    if case.origin.get("reduced"):
        raise InputError("case: it is reduced already; reduce the case that it was made from")
    return replace(
        wanted, name=f"{case.name}, reduced", config=config, params=params, batch=batch, optimizer=step,
        origin={**case.origin, "reduced": asked},
    )  # fmt: skip


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest part of `case` that still `fails`, found greedily: fewer layers, rows, columns, predictions, and no
    optimiser step, each as far as it goes, until nothing can be taken away. `case` itself must fail. Where it has
    predictions, labels of tokens, or answers, the smaller one has some, too: a loss over none is another question."""
    if case.origin.get("reduced"):
        raise InputError("case: it is reduced already; shrink the case that it was made from")
    now: dict[str, Any] = {}
    smaller = True
    while smaller:
        smaller = False
        for change in _smaller(reduce_case(case, **now), now):
            smaller_case = reduce_case(case, **{**now, **change})
            if _compared(smaller_case) == _compared(case) and fails(smaller_case):
                now, smaller = {**now, **change}, True
                break
    return reduce_case(case, **now) if now else case


def _compared(case: Case) -> bool:
    """Whether anything counts in the loss, where some of the rows, or of their tokens, may have nothing to compare."""
    if case.objective == "token_classification":
        return bool((case.targets["labels"] >= 0).any())
    if case.objective == "question_answering":
        return bool((case.targets["end_positions"] < case.batch.input_ids.shape[1]).any())
    return "predictions" not in {row.counts for row in rows_of(case)} or bool((case.batch.masked_lm_weights > 0).any())


def _smaller(case: Case, now: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Changes that make a case smaller, the boldest first."""
    layers, B = case.config.num_hidden_layers, len(case.batch)
    S, P = case.batch.input_ids.shape[1], case.batch.masked_lm_positions.shape[1]
    if now.get("optimizer", True) and case.optimizer is not None:
        yield {"optimizer": False}
    for fewer in sorted({0, 1, layers // 2, layers - 1}):
        if 0 <= fewer < layers:
            yield {"layers": fewer}
    rows = now.get("rows") or list(range(B))
    step = case.choices if case.objective == "multiple_choice" else 1
    ones = [rows[start : start + step] for start in range(0, len(rows), step)]
    if len(ones) > 1:
        yield from ({"rows": one} for one in ones)
        yield {"rows": [row for one in ones[: len(ones) // 2] for row in one]}
        yield {"rows": [row for one in ones[len(ones) // 2 :] for row in one]}
        yield from ({"rows": [row for row in rows if row not in one]} for one in ones)
    for fewer in sorted({1, 2, S // 2, S - 1}):
        if 1 <= fewer < S:
            yield {"length": fewer}
    for fewer in sorted({1, P // 2, P - 1}):
        if 1 <= fewer < P:
            yield {"predictions": fewer}


def _cut(batch: PretrainingBatch, length: int) -> PretrainingBatch:
    """The first columns; predictions beyond them become unused slots."""
    if length < 1:
        raise InputError(f"case: length {length}; at least 1 is needed")
    inside = batch.masked_lm_positions < length
    return replace(
        batch,
        input_ids=batch.input_ids[:, :length],
        attention_mask=batch.attention_mask[:, :length],
        token_type_ids=batch.token_type_ids[:, :length],
        masked_lm_positions=np.where(inside, batch.masked_lm_positions, 0).astype(np.int32),
        masked_lm_weights=np.where(inside, batch.masked_lm_weights, 0).astype(np.float32),
    )


def _with_predictions(batch: PretrainingBatch, predictions: int) -> PretrainingBatch:
    if predictions < 1:
        raise InputError(f"case: {predictions} predictions; at least 1 is needed")
    names = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
    return replace(batch, **{name: getattr(batch, name)[:, :predictions] for name in names})


def _of_parameters(step: OptimizerCase, params: dict[str, Any]) -> OptimizerCase:
    return replace(step, moments={moment: step.moments[moment] for moment in step.optimizer.names(params)})
