"""Every mistake has causes, every cause an id of the list, every id a family."""

from bertref.verify.diagnosis.families import HYPOTHESES

from . import MISTAKES
from .causes import ACCEPTED, FAMILIES, IDS
from .variant_causes import FAMILIES as OF_VARIANTS


def test_every_mistake_has_a_cause_of_the_list() -> None:
    assert set(ACCEPTED) == {one.name for one in MISTAKES}
    for one in MISTAKES:
        assert one.causes, one.name
        assert set(one.causes) <= set(IDS), one.name


def test_every_id_belongs_to_a_family_and_to_a_mistake() -> None:
    assert {name.partition(".")[0] for name in IDS} == set(FAMILIES)
    assert all(IDS.values())
    assert set(IDS) == {cause for one in MISTAKES for cause in one.causes}


def test_every_hypothesis_belongs_to_a_family() -> None:
    """Some name what none of the mistakes is; those about stored integers are tried with files."""
    assert {one.id.partition(".")[0] for one in HYPOTHESES if not one.integers} <= {*FAMILIES, *OF_VARIANTS}
