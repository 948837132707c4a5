"""Against seqeval: its default and its strict mode, on sequences that no tagger would be proud of."""

import re
from typing import Any

import pytest
import seqeval.metrics as theirs
import seqeval.scheme as their_schemes
from hypothesis import given
from hypothesis import strategies as st

from bertref.errors import InputError
from bertref.metrics.averages import Scores
from bertref.metrics.entities import SCHEMES, Entity, entities, entity_report

from .oracles import quietly, same

STRICT = sorted(set(SCHEMES) - {"lenient"})


@st.composite
def sentences(draw: st.DrawFn, prefixes: str) -> tuple[list[list[str]], list[list[str]]]:
    """Labels and predictions of 1 to 5 sentences, some of them equal to the labels."""
    labels = st.sampled_from(["O", *(f"{p}{kind}" for p in prefixes for kind in ("-PER", "-LOC", "-A-B", ""))])
    true = draw(st.lists(st.lists(labels, max_size=9), min_size=1, max_size=5))
    found = [
        list(words) if draw(st.booleans()) else draw(st.lists(labels, min_size=len(words), max_size=len(words)))
        for words in true
    ]
    return true, found


def agree(pair: tuple[list[list[str]], list[list[str]]], ours: str, **mode: Any) -> None:
    report = entity_report(*pair, scheme=ours)
    wanted = quietly(theirs.classification_report, *pair, output_dict=True, **mode)
    found = {**report.rows, "micro avg": report.micro, "macro avg": report.macro, "weighted avg": report.weighted}
    assert list(found) == list(wanted)
    for name, row in found.items():
        assert isinstance(row, Scores)
        same([row.precision.value, row.recall.value, row.f1.value, row.support], list(wanted[name].values()))
    for average, row in (("micro", report.micro), ("macro", report.macro), ("weighted", report.weighted)):
        same(row.f1, quietly(theirs.f1_score, *pair, average=average, **mode))
    if any(pair[0]):
        same(report.accuracy, theirs.accuracy_score(*pair))


@given(pair=sentences("BIES"))
def test_lenient(pair: Any) -> None:
    agree(pair, "lenient")


@pytest.mark.parametrize("scheme", STRICT)
@given(data=st.data())
def test_strict(scheme: str, data: st.DataObject) -> None:
    pair = data.draw(sentences(SCHEMES[scheme].prefixes))
    agree(pair, scheme, mode="strict", scheme=getattr(their_schemes, scheme))


def test_entities_of_a_sentence() -> None:
    labels = ["I-PER", "I-PER", "B-PER", "O", "I-LOC", "B-ORG"]
    assert entities(labels) == [("PER", 0, 2), ("PER", 2, 3), ("LOC", 4, 5), ("ORG", 5, 6)]
    assert entities(labels, "IOB2") == [Entity("PER", 2, 3), Entity("ORG", 5, 6)]
    assert entities([]) == []


def test_no_entity_is_undefined() -> None:
    report = entity_report([["O", "O"]], [["O", "O"]])
    assert report.rows == {}
    assert report.micro.f1.undefined
    assert report.macro.f1.undefined
    assert report.weighted.f1.undefined
    assert report.accuracy.value == 1.0
    assert entity_report([], []).accuracy.undefined


def test_refused() -> None:
    with pytest.raises(InputError, match="'NOUN' is none of the scheme lenient: O, B-TYPE, I-TYPE, E-TYPE, S-TYPE"):
        entity_report([["NOUN"]], [["O"]])
    for label in ("E-PER", "", "BPER", "OTHER", "b-PER"):
        with pytest.raises(InputError, match=re.escape(f"the label {label!r}")):
            entities([label], "IOB2")
    with pytest.raises(InputError, match="sentence 2 has 1 labels and 2 predictions"):
        entity_report([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(InputError, match="1 sentences, and predictions for 2"):
        entity_report([["O"]], [["O"], ["O"]])
    with pytest.raises(InputError, match="no scheme 'IOB'"):
        entities(["O"], "IOB")
