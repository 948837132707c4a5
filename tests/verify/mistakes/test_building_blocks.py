"""Mistakes are made by rewriting parts of Hugging Face's model; rewritten without a mistake, a part is the original."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertref.verify.cases.case import generate
from bertref.verify.judgement.reference import answer_names
from bertref.verify.records import Arrays
from bertref.verify.subjects import torch_model
from bertref.verify.subjects.transformers import TransformersSubject

from . import MISTAKES, attention, embeddings, loss, mistake, optimizer

CASE = generate(4001)


def answers(patch: Callable[[Any], None] | None = None, step: Any = None) -> Arrays:
    """What a stock model in float64, patched, makes of the case."""

    def build(case: Any) -> Any:
        model = torch_model.stock(case.config, case.numerics)
        if patch:
            patch(model)
        return model

    return TransformersSubject(build, step=step, dtype="float64").answer(CASE).values


@pytest.fixture(scope="module")
def right() -> Arrays:
    return answers()


def by_hand(x: torch.Tensor, norm: Any) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + norm.eps) * norm.weight + norm.bias


@pytest.mark.parametrize(
    ("patch", "step"),
    [
        pytest.param(attention.attention(), None, id="attention"),
        pytest.param(loss.objective(), None, id="objective"),
        pytest.param(embeddings.embed(embeddings.unchanged), None, id="embeddings"),
        pytest.param(embeddings.norms(by_hand), None, id="norms"),
        pytest.param(lambda model: mistake.set_activations(model, F.gelu), None, id="activations"),
        pytest.param(None, optimizer.adamw, id="adamw"),
    ],
)
def test_without_a_mistake_nothing_changes(patch: Any, step: Any, right: Arrays) -> None:
    found = answers(patch, step)
    assert found.keys() == right.keys()
    for name, value in right.items():
        scale = max(float(np.abs(value).max()), 1e-3)
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-11 * scale, err_msg=name)


@pytest.mark.slow
def test_every_mistake_changes_something(right: Arrays) -> None:
    for one in MISTAKES:
        if one.name == "tf32-products":  # rounds the bits of float32
            continue
        found = answers(one.patch, one.step)
        assert any(
            name not in found
            or found[name].shape != value.shape
            or not np.allclose(found[name], value, rtol=1e-7, atol=0)
            for name, value in right.items()
        ), one.name


def test_the_table() -> None:
    names = [one.name for one in MISTAKES]
    assert len(set(names)) == len(names) >= 45
    known = set(answers())
    for one in MISTAKES:
        own = set(answer_names(generate(1, **one.case))) if one.case else known
        assert one.expected(CASE.config.num_hidden_layers) in own, one.name
        assert (one.patch is None) != (one.step is None), one.name
    assert {one.section for one in MISTAKES} == {
        "embeddings", "attention", "residual and feed-forward", "heads", "loss", "backward", "optimiser", "tasks",
        "met in other programs",
    }  # fmt: skip
    assert sum("bfloat16" in one.dtypes for one in MISTAKES) == 2
