"""What a few samples say by chance, evened out."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref.verify.emulation.formats import FORMATS
from bertref.verify.graph.axes import Axes
from bertref.verify.judgement.judge import compare, largest_ratio
from bertref.verify.judgement.limit import LIMIT
from bertref.verify.judgement.measures import DRIFT, gains_of_rounding, measure
from bertref.verify.judgement.noise_floor import NoiseFloor, sample
from bertref.verify.judgement.reference import answer_names
from bertref.verify.judgement.settling import OF_TERMS, _settle_drifts, _steepness, _weights
from bertref.verify.judgement.terms import Terms
from bertref.verify.judgement.truth import Truth
from tests.verify.right import asked, random_case

ONE_PREDICTION = 5126
"""Seed of a case whose only prediction makes nearly all of the decoder's gradients: one element of 320 is -0.997, the
others are below 0.008."""
FUSED = ("scores", "probs", "attention_sum", "ffn_pre", "ffn_sum", "mlm.dense", "mlm.logits")
"""What fused ops don't show."""


def test_one_rounding_of_the_only_large_element_is_right(tmp_path: Path) -> None:
    """In all emulated implementations the decoder's bias happens to have hardly any error at that element."""
    subject, case = asked("numpy:dtype=float64", ONE_PREDICTION, tmp_path)
    report = compare(case, subject.answer(case), subject.precision)
    assert report.verdict == "right", report.first
    ratio = next(f.own for f in report.findings if f.name == "grad:cls.predictions.bias")
    assert ratio is not None
    assert ratio < LIMIT / 3


@cache
def sampled(precision: str) -> tuple[Truth, NoiseFloor, Terms]:
    """Two samples, so that chance has a say, of somebody who doesn't show what fused ops compute inside."""
    truth = Truth(random_case(ONE_PREDICTION), precision)
    names = [name for name in answer_names(truth.case) if not name.endswith(FUSED)]
    return truth, sample(truth, names, count=2), Terms(truth, frozenset(names))


def ratio_of(truth: Truth, floor: NoiseFloor, name: str, error: Any) -> tuple[float, str]:
    along = truth.graph.steps[name].along
    right, axes = truth(name), truth.graph.axes(name)
    return largest_ratio(measure(error, right, axes, truth(along) if along else None, drift=True), floor.own[name])


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=4)
def test_one_rounding_of_an_answer_or_of_its_terms_is_never_wrong(precision: str, seed: int) -> None:
    """However small the sampled errors happen to be."""
    draw = np.random.default_rng(seed)
    truth, floor, terms = sampled(precision)
    unit, narrow = (min(FORMATS[precision].unit, FORMATS[least].unit) for least in ("bfloat16", "float32"))
    for name in floor.own:
        right = truth(name)
        if not name.startswith("update:"):
            once = unit * np.abs(right) * draw.uniform(-1, 1, right.shape)
            ratio, where = ratio_of(truth, floor, name, once)
            assert ratio <= LIMIT, (name, where)
        if terms(name) is not None:
            each = narrow * np.sqrt(OF_TERMS * terms.squares(name)) * draw.normal(size=right.shape)
            ratio, where = ratio_of(truth, floor, name, each)
            assert ratio <= LIMIT, (name, where)


@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.0, 4.0), shape=st.sampled_from([(60,), (12, 20), (3, 200)]))
@settings(max_examples=30)
def test_a_drift_is_never_far_smaller_than_independent_errors_make_it(
    seed: int, spread: float, shape: tuple[int, ...]
) -> None:
    """Of sampled drifts that are all 0 by chance, along answers a few of whose elements are larger than all others."""
    draw = np.random.default_rng(seed)
    right = draw.normal(size=shape) * np.exp(spread * draw.normal(size=shape))
    rows = right.reshape(-1, shape[-1])
    errors, along = rows * draw.normal(size=(500, *rows.shape)), rows - rows.mean(axis=1, keepdims=True)
    products, lengths = (errors * along).sum(axis=2), np.square(along).sum(axis=1)
    made = {"gain": (products.sum(axis=1) ** 2).mean() / lengths.sum(), "gain by row": (products**2 / lengths).mean()}
    found = {"all": np.asarray([np.mean(np.square(right))])} | {DRIFT + m: np.zeros(1) for m in made}
    steep = _steepness({"all": found["all"]} | gains_of_rounding(right))
    axes = Axes(shape, ("row", "channel")[-len(shape) :])
    _settle_drifts({"x": found}, lambda _: axes, {"x": steep})  # type: ignore[arg-type, return-value]
    for m, size in made.items():
        assert found[DRIFT + m] > size / 4


def test_a_drift_of_normally_distributed_elements_is_what_it_was() -> None:
    """Nothing is found less closely where no element is much larger than the others."""
    right = np.random.default_rng(0).normal(size=(60, 40))
    steep = _steepness({"all": np.asarray([np.mean(np.square(right))])} | gains_of_rounding(right))
    assert max(steep.values()) < 1.1


def test_an_update_s_drift_is_in_proportion_to_the_weights_that_are_rounded() -> None:
    """A weight a thousand times larger than the others, whose update is, too."""
    truth, name = Truth(random_case(ONE_PREDICTION), "float32"), "bert.pooler.dense.weight"
    assert max(_steepness(_weights(truth, f"update:{name}")).values()) < 1.1
    larger = Truth(random_case(ONE_PREDICTION), "float32")
    assert larger.case.optimizer is not None
    larger.case.params[name][3, 4] *= 1000
    larger.case.optimizer.moments[f"{name}/m"][3, 4] *= 1000
    steep = _steepness(_weights(larger, f"update:{name}"))
    assert min(steep[DRIFT + "gain"], steep[DRIFT + "gain by row"]) > 5
    assert set(_weights(larger, "pooled")) == {"all"}
