"""Mistakes in RoBERTa, DistilBERT and ALBERT are found where they are, and each has causes of the list."""

import pytest

from . import MISTAKES, OF_VARIANTS
from .causes import FAMILIES, IDS
from .measure import measure, measure_all
from .variant_causes import ACCEPTED
from .variant_causes import FAMILIES as OWN_FAMILIES
from .variant_causes import IDS as OWN

SAMPLE = ("roberta-positions-over-padding", "distilbert-token-types-added", "albert-gradient-of-first-layer")
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


@pytest.mark.parametrize("name", SAMPLE)
def test_a_mistake_is_found_where_it_is(name: str) -> None:
    outcome = measure(BY_NAME[name])
    assert outcome.detected
    assert outcome.report.first == outcome.expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7001, 7002])
def test_every_mistake_is_found_where_it_is(seed: int) -> None:
    outcomes = list(measure_all(OF_VARIANTS, seed=seed))
    assert {o.mistake.name: (o.report.first, o.expected) for o in outcomes if not (o.detected and o.right)} == {}
