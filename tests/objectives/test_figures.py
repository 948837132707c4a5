"""Figures: those of an evaluation by hand, the same from every implementation, and sums that add up."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.layers import Settings
from bertref.objectives import Outcome, PretrainingObjective, added, losses_and_gradients
from bertref.opset import OpSet
from bertref.probes import Recorder
from bertref.train.figures import evaluate, fetched

from ..metrics.pretraining_metrics import PretrainingMetrics
from ..model_cases import Case, case

OBJECTIVE = PretrainingObjective()


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def outcome_of(c: Case, ops: OpSet, **options: Any) -> tuple[Outcome, dict[str, Any]]:
    params = {name: ops.xp.from_numpy(a) for name, a in c.params.items()}
    return losses_and_gradients(
        OBJECTIVE, ops, params, c.batch, Settings(c.config, c.numerics), figures=True, **options
    )


def values(ops: OpSet, outcome: Outcome) -> dict[str, float]:
    return {name: mean.value for name, mean in fetched(ops.xp, outcome.figures).items()}


def weighted(c: Case) -> Case:
    """The case with other weights than 0 and 1."""
    weights = c.batch.masked_lm_weights * np.float32([[0.5], [2.0], [1.0], [1.0]])
    return replace(c, batch=replace(c.batch, masked_lm_weights=weights))


def by_hand(c: Case, ops: OpSet) -> dict[str, float]:
    """From the logits, on the host."""
    recorder = Recorder({"mlm.logits", "nsp.logits"})
    outcome_of(c, ops, recorder=recorder)

    def judged(name: str, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.asarray(ops.xp.to_numpy(recorder.values[name]))
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return logits.argmax(-1), -np.take_along_axis(log_probs, labels[..., None].astype(int), -1)[..., 0]

    words, word_losses = judged("mlm.logits", c.batch.masked_lm_ids)
    labels, label_losses = judged("nsp.logits", c.batch.next_sentence_label)
    metrics = PretrainingMetrics().add_masked_lm(words, c.batch.masked_lm_ids, word_losses, c.batch.masked_lm_weights)
    return metrics.add_next_sentence(labels, c.batch.next_sentence_label, label_losses).values()


def right_for_once(c: Case, ops: OpSet) -> Case:
    """The case with labels that the model gets right at some places and wrong at others."""
    recorder = Recorder({"mlm.logits"})
    outcome_of(c, ops, recorder=recorder)
    best = np.asarray(ops.xp.to_numpy(recorder.values["mlm.logits"])).argmax(-1)
    ids = np.where(np.arange(best.shape[1]) % 2 == 0, best, c.batch.masked_lm_ids).astype(np.int32)
    return replace(c, batch=replace(c.batch, masked_lm_ids=ids))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dialect", ["huggingface", "google"])
def test_figures_are_those_of_a_calculation_by_hand(ops: OpSet, packed: bool, dialect: str) -> None:
    c = right_for_once(weighted(case(dialect=dialect)), ops)
    found, want = values(ops, outcome_of(c, ops, packed=packed)[0]), by_hand(c, ops)
    assert 0 < want["masked_lm_accuracy"] < 1
    assert found == pytest.approx(want, rel=1e-12)
    assert list(found) == list(want)


def test_kernels_and_the_reference_agree() -> None:
    with_kernels, without = (OpSet(backends.get("numpy"), kernels=kernels) for kernels in (True, False))
    c = right_for_once(case(), without)
    assert values(with_kernels, outcome_of(c, with_kernels)[0]) == pytest.approx(
        values(without, outcome_of(c, without)[0]), rel=1e-12
    )


def test_figures_of_chunks_add_up(ops: OpSet) -> None:
    c = right_for_once(weighted(case(dialect="google")), ops)
    divide_by = OBJECTIVE.denominators(c.batch, c.numerics)
    total = None
    for rows in (slice(0, 1), slice(1, 4)):
        total = added(total, outcome_of(replace(c, batch=c.batch[rows]), ops, divide_by=divide_by)[0])
    assert total is not None
    assert values(ops, total) == pytest.approx(values(ops, outcome_of(c, ops)[0]), rel=1e-12)


def test_an_evaluation_counts_every_prediction_once(ops: OpSet) -> None:
    """Over batches of unequal size it is the figure of all together, not the mean of theirs."""
    c = right_for_once(case(), ops)
    params = {name: ops.xp.from_numpy(a) for name, a in c.params.items()}
    settings = Settings(c.config, c.numerics)
    parts = [c.batch[:1], c.batch[1:]]
    found = evaluate(ops, OBJECTIVE, params, parts, settings)
    assert found == pytest.approx(by_hand(c, ops), rel=1e-12)
    assert evaluate(ops, OBJECTIVE, params, [], settings) == {}


def test_without_predictions_the_share_of_right_words_is_unknown(ops: OpSet) -> None:
    c = case()
    c = replace(c, batch=replace(c.batch, masked_lm_weights=np.zeros_like(c.batch.masked_lm_weights)))
    found = values(ops, outcome_of(c, ops)[0])
    assert np.isnan(found["masked_lm_accuracy"])
    assert np.isfinite(found["next_sentence_accuracy"])


@pytest.mark.parametrize("kernels", [True, False])
def test_asking_for_figures_changes_no_bit(kernels: bool) -> None:
    ops, c = OpSet(backends.get("numpy"), kernels=kernels), case()
    seen, one = outcome_of(c, ops)
    params = {name: ops.xp.from_numpy(a) for name, a in c.params.items()}
    blind, other = losses_and_gradients(OBJECTIVE, ops, params, c.batch, Settings(c.config, c.numerics))
    assert seen.figures
    assert not blind.figures
    assert seen.losses == blind.losses
    assert {name: grad.tobytes() for name, grad in one.items()} == {n: grad.tobytes() for n, grad in other.items()}
