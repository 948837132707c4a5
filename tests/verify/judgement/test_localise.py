"""Where an error sits, in words."""

from typing import Any

import numpy as np
import pytest

from bertref.verify.cases.case import generate
from bertref.verify.graph.steps import Graph
from bertref.verify.judgement.localise import place

CASE = generate(21)
GRAPH = Graph(CASE)


def places(name: str, error: np.ndarray) -> Any:
    error = GRAPH.axes(name).clean(error)
    return place(GRAPH, name, error, np.zeros_like(error), error)


def spread(name: str) -> np.ndarray:
    return np.random.default_rng(0).normal(size=GRAPH.axes(name).shape)


def test_an_error_everywhere_is_nowhere_in_particular() -> None:
    for name in ("layer.0.query", "layer.0.scores", "mlm.logits", "grad:bert.pooler.dense.weight"):
        assert places(name, spread(name)).concentrated == ()


def test_the_worst_element() -> None:
    error = 1e-3 * spread("layer.1.output")
    error[0, 4, 7] = -2.0
    found = places("layer.1.output", error)
    assert found.index == (0, 4, 7)
    assert found.found == -2.0
    assert {"row 0", "position 4", "channel 7"} <= set(found.concentrated)


@pytest.mark.parametrize("letter", ["A", "B"])
def test_a_segment(letter: str) -> None:
    inside = CASE.batch.token_type_ids == "AB".index(letter)
    assert f"segment {letter}" in places("embeddings.sum", spread("embeddings.sum") * inside[..., None]).concentrated


def test_a_head_of_channels_and_of_scores() -> None:
    D = CASE.config.head_size
    error = spread("layer.0.value")
    error[..., :D] = 0
    error[..., 2 * D :] = 0
    assert "head 1" in places("layer.0.value", error).concentrated
    error = spread("layer.0.scores")
    error[:, :2] = 0
    assert "head 2" in places("layer.0.scores", error).concentrated


def test_padded_keys() -> None:
    error = spread("layer.0.probs") * (CASE.batch.attention_mask == 0)[:, None, None, :]
    assert "padded keys" in places("layer.0.probs", error).concentrated


def test_several_rows_are_counted() -> None:
    name = "grad:bert.embeddings.word_embeddings.weight"
    error = spread(name)
    error[10:] = 0
    assert places(name, error).concentrated == (f"10 of {CASE.config.vocab_size} words",)


def test_a_factor_common_to_all_elements_is_nowhere_in_particular() -> None:
    """Though nearly all of the squared error is where the right values are large."""
    name = "layer.0.query"
    right = GRAPH.axes(name).clean(spread(name) * np.where(np.arange(CASE.config.hidden_size) < 5, 30.0, 1.0))
    error = 0.01 * right
    assert place(GRAPH, name, error, np.zeros_like(error), error).concentrated == (
        f"5 of {CASE.config.hidden_size} channels", "head 0")  # fmt: skip
    assert place(GRAPH, name, error, right, right + error).concentrated == ()
    error = np.where(np.arange(CASE.config.hidden_size) == 3, error, 0)
    assert place(GRAPH, name, error, right, right + error).concentrated == ("channel 3", "head 0")


def test_the_row_of_a_single_token_is_named() -> None:
    """Row 1 of every generated case."""
    error = spread("layer.1.output")
    error[np.arange(len(error)) != 1] = 0
    found = places("layer.1.output", error)
    assert found.single
    assert "row 1 (the row of a single token)" in found.concentrated
    assert not places("layer.1.output", np.where(error, 0, 1.0)).single
    assert not places("grad:bert.pooler.dense.weight", spread("grad:bert.pooler.dense.weight")).single


def test_a_number_has_no_axes() -> None:
    found = places("loss.total", np.asarray(0.5))
    assert (found.index, found.concentrated) == ((), ())


def test_not_finite_is_the_worst() -> None:
    error = spread("pooled")
    error[2, 3] = np.nan
    found = places("pooled", error)
    assert found.index == (2, 3)
    assert "row 2" in found.concentrated
