"""Mistakes in RoBERTa, DistilBERT and ALBERT are found where they are, and named right or not at all."""

import pytest

from . import MISTAKES, OF_VARIANTS
from .causes import FAMILIES, IDS
from .measure import measure, measure_all
from .variant_causes import ACCEPTED
from .variant_causes import FAMILIES as OWN_FAMILIES
from .variant_causes import IDS as OWN

NAMED = {
    "roberta-positions-over-padding": "positions are counted over padding, which stands in front of some rows;",
    "distilbert-token-types-added": "one row more, the same for all tokens, is added to the embeddings;",
    "albert-norms-exchanged": "gamma and beta of layer.N.attention_norm (all layers) are those of output of",
    "albert-gradient-of-first-layer": "the gradient of parameters that layers share",
}  # fmt: skip
SHARE = 0.9
"""Of the mistakes, whose cause has to be named."""
BY_NAME = {one.name: one for one in OF_VARIANTS}


def test_every_mistake_has_a_cause_of_the_lists() -> None:
    assert set(ACCEPTED) == set(BY_NAME)
    assert len(BY_NAME) == len(OF_VARIANTS)
    assert not {one.name for one in MISTAKES} & set(BY_NAME)
    named = {cause for causes in ACCEPTED.values() for cause in causes}
    assert named <= {*IDS, *OWN}
    assert set(OWN) <= named
    assert {name.partition(".")[0] for name in OWN} <= {*FAMILIES, *OWN_FAMILIES}


def test_every_network_has_mistakes_of_its_own() -> None:
    assert {one.section for one in OF_VARIANTS} == {"roberta", "distilbert", "albert"}
    assert all(one.case["variant"] == one.section for one in OF_VARIANTS)
    assert len(OF_VARIANTS) >= 25


@pytest.mark.parametrize("name", NAMED)
def test_a_mistake_is_found_where_it_is_and_named(name: str) -> None:
    outcome = measure(BY_NAME[name], diagnosis=True)
    assert outcome.detected
    assert outcome.report.first == outcome.expected
    found = outcome.report.diagnosis
    assert found is not None
    assert outcome.cause == "right", found
    assert found.causes[0].sentence.startswith(NAMED[name])
    assert not found.left


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7001, 7002])
def test_every_mistake_is_found_where_it_is(seed: int) -> None:
    outcomes = list(measure_all(OF_VARIANTS, seed=seed))
    assert {o.mistake.name: (o.report.first, o.expected) for o in outcomes if not (o.detected and o.right)} == {}


@pytest.mark.slow
def test_no_mistake_is_given_a_wrong_name() -> None:
    outcomes = {o.mistake.name: o for o in measure_all(OF_VARIANTS, diagnosis=True)}
    assert {name: o.report.diagnosis for name, o in outcomes.items() if o.cause in ("WRONG", "failed", "none")} == {}
    missed = [name for name, o in outcomes.items() if o.cause != "right"]
    assert len(missed) <= (1 - SHARE) * len(outcomes), missed


@pytest.mark.slow
def test_without_the_right_cause_no_mistake_is_given_a_name() -> None:
    outcomes = list(measure_all(OF_VARIANTS, without_own=True))
    found = {o.mistake.name: o.report.diagnosis for o in outcomes}
    assert {name: one for name, one in found.items() if one is None or one.causes or one.outcome == "failed"} == {}
