"""Class weights and label smoothing are torch's, for texts and for tokens; what can't be is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertref import backends
from bertref.errors import InputError
from bertref.objectives import ClassificationObjective, TokenObjective
from bertref.objectives import classes as classes_module
from bertref.opset import OpSet
from bertref.train.step import gradients, initial_state

from .fine_tuning import TASKS, Task, arguments, check_steps, recipe

WEIGHTS = (0.3, 2.0, 1.1)
SETTINGS: list[dict[str, Any]] = [
    {"class_weights": WEIGHTS},
    {"label_smoothing": 0.1},
    {"label_smoothing": 0.25, "class_weights": WEIGHTS},
    {"label_smoothing": 1.0, "class_weights": (0.0, 2.0, 1.0)},
]


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def with_settings(name: str, settings: dict[str, Any]) -> Task:
    return replace(TASKS[name], objective=replace(TASKS[name].objective, **settings))


def torchs(settings: dict[str, Any]) -> Any:
    """torch's cross-entropy of transformers' logits, with these settings."""
    weight = torch.tensor(settings["class_weights"], dtype=torch.float64) if "class_weights" in settings else None

    def loss(model: Any, batch: Any) -> torch.Tensor:
        given = arguments(batch)
        labels = given.pop("labels").reshape(-1)
        logits = model(**given).logits.reshape(len(labels), -1)
        return F.cross_entropy(logits, labels, weight=weight, label_smoothing=settings.get("label_smoothing", 0.0))

    return loss


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ["classification", "token-classification"])
def test_weights_and_smoothing_are_those_of_torch(
    ops: OpSet, name: str, settings: dict[str, Any], packed: bool
) -> None:
    check_steps(ops, with_settings(name, settings), 3, torchs(settings), packed=packed, chunks=2)


def unweighted_smoothing(patch: pytest.MonkeyPatch) -> None:
    whole = classes_module.smoothed
    patch.setattr(classes_module, "smoothed", lambda xp, logits, targets: whole(
        xp, logits, replace(targets, spread=xp.ones_like(targets.spread))))  # fmt: skip


def smoothing_of_ignored_tokens(patch: pytest.MonkeyPatch) -> None:
    whole = classes_module.smoothed
    patch.setattr(classes_module, "smoothed", lambda xp, logits, targets: whole(
        xp, logits, replace(targets, counted=xp.ones_like(targets.counted))))  # fmt: skip


def a_thousandth_more_smoothing(patch: pytest.MonkeyPatch) -> None:
    whole = classes_module.smoothed
    patch.setattr(classes_module, "smoothed", lambda xp, logits, targets: whole(
        xp, logits, replace(targets, smoothing=targets.smoothing * 1.001)))  # fmt: skip


@pytest.mark.parametrize("fault", [unweighted_smoothing, smoothing_of_ignored_tokens, a_thousandth_more_smoothing])
def test_the_check_rejects_a_twin_with_a_fault(ops: OpSet, monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    settings = {"label_smoothing": 0.25, "class_weights": WEIGHTS}
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_steps(ops, with_settings("token-classification", settings), 1, torchs(settings))


@pytest.mark.parametrize("objective", [ClassificationObjective, TokenObjective])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label_smoothing": -0.1}, r"label smoothing is -0.1; it must be in \[0, 1\]"),
        ({"label_smoothing": float("nan")}, "label smoothing is nan"),
        ({"class_weights": (1.0, -1.0)}, "class weights .* must be 0 or more"),
        ({"class_weights": (0.0, 0.0)}, "not all 0"),
        ({"class_weights": (1.0, float("inf"))}, "class weights"),
    ],
)
def test_settings_without_a_meaning_are_refused(objective: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective(**settings)


def test_weights_that_do_not_fit_the_labels_are_refused(ops: OpSet) -> None:
    batch = next(TASKS["classification"].batches(1))
    batch.labels[:] = [0, 1, 2, 1, 0]
    for weights, message in (
        ((1.0, 2.0), "2 of them, and there is a label 2"),
        ((1.0,) * 4, "4 of them; the model has 3"),
    ):
        task = with_settings("classification", {"class_weights": weights})
        with pytest.raises(InputError, match=message):
            _first_gradients(ops, task, batch)


def _first_gradients(ops: OpSet, task: Task, batch: Any) -> Any:
    plan = recipe(task.objective, task.config)
    return gradients(ops, plan, initial_state(ops, plan, task.params()), batch)


def test_accuracy_counts_rows_without_weights(ops: OpSet) -> None:
    batch = next(TASKS["classification"].batches(1))
    plain, _ = _first_gradients(ops, TASKS["classification"], batch)
    weighted, _ = _first_gradients(ops, with_settings("classification", {"class_weights": WEIGHTS}), batch)
    right = [float(ops.xp.to_numpy(outcome.figures["accuracy"].total)) for outcome in (plain, weighted)]
    assert right[0] == right[1]
    assert float(ops.xp.to_numpy(weighted.figures["accuracy"].weight)) == len(batch)
    assert float(ops.xp.to_numpy(weighted.figures["loss"].weight)) == pytest.approx(
        np.asarray(WEIGHTS)[batch.labels].sum()
    )
