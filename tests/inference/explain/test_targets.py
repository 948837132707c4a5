"""Which logits are explained, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bertref
from bertref.checkpoint.text_windows import TextWindows
from tests.inference.saved import labels, make

KINDS = {
    "two": ("BertForSequenceClassification", labels("bad", "good")),
    "three": ("BertForSequenceClassification", labels("bad", "good", "so-so")),
    "several": (
        "BertForSequenceClassification", {**labels("rain", "sun"), "problem_type": "multi_label_classification"}
    ),
    "grade": ("BertForSequenceClassification", labels("grade")),
    "numbers": ("BertForSequenceClassification", {**labels("warm", "wet"), "problem_type": "regression"}),
    "tags": ("BertForTokenClassification", labels("O", "B-X")),
    "masks": ("BertForMaskedLM", {}),
    "encoder": ("BertModel", {}),
}  # fmt: skip
TEXT = "It rained, and he lived in London."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bertref.Model]:
    path = tmp_path_factory.mktemp("targets")
    for name, (kind, settings) in KINDS.items():
        make(path / name, kind, **settings)
    return {name: bertref.load(path / name, dtype="float64") for name in KINDS}


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def test_a_label_is_compared_with_the_best_of_the_others(models: dict[str, bertref.Model]) -> None:
    first, second, third = models["three"].classify(TEXT)
    for label, other in ((None, second), (second.label, first), (third.label, first)):
        found = models["three"].explain(TEXT, label=label)
        own = dict(models["three"].classify(TEXT))[found.label]
        assert (found.label, found.other) == (label or first.label, other.label)
        assert found.target == f"logit({found.label}) - logit({other.label})"
        assert found.value == pytest.approx(np.log(own / other.score), rel=1e-9)
        assert found.complete
    two = models["two"]
    there, back = (two.explain(TEXT, label=label) for label in ("bad", "good"))
    assert [w.value for w in there.words] == pytest.approx([-w.value for w in back.words], rel=1e-9)


def test_labels_that_each_hold_and_numbers_stand_alone(models: dict[str, bertref.Model]) -> None:
    best, second = models["several"].classify(TEXT)
    for label, score in ((None, best.score), (second.label, second.score)):
        found = models["several"].explain(TEXT, label=label)
        assert (found.other, found.target) == (None, f"logit({found.label})")
        assert found.value == pytest.approx(logit(score), rel=1e-9)
    found = models["grade"].explain(TEXT)
    assert (found.target, found.complete) == ("logit(grade)", True)
    assert found.value == pytest.approx(models["grade"].classify(TEXT)[0].score, rel=1e-9)
    wet = models["numbers"].explain(TEXT, label="wet")
    assert wet.value == pytest.approx(models["numbers"].classify(TEXT)[1].score, rel=1e-9)


def test_an_answer_through_windows_is_not_explained(models: dict[str, bertref.Model]) -> None:
    """It is a mean over several sequences; of one window, or of a text that is cut, the explanation is the answer's."""
    model = replace(models["two"], windows=TextWindows(20))
    for text, options in (("it " * 18, {}), ("it " * 19, {"truncate": "head"}), ("it " * 60, {"truncate": "tail"})):
        scores = dict(model.classify(text, **options))
        found = model.explain(text, **options)
        assert found.value == pytest.approx(np.log(scores[found.label] / scores[str(found.other)]), rel=1e-9)
    with pytest.raises(bertref.InputError, match=r"text 1 can't be explained: it has 21 tokens.*through windows of 20"):
        model.explain("it " * 19)


@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("two", TEXT, {"method": "magic"}, "method is 'magic'; it must be one of integrated, gradient"),
        ("two", TEXT, {"label": "odd"}, "this model has no label 'odd'; it has bad, good"),
        ("two", TEXT, {"mask": 1}, "mask goes with fill-mask"),
        ("two", "", {}, "text 1 can't be explained: it has no words"),
        ("two", " \u200b ", {}, "text 1 can't be explained: it has no words"),
        ("two", "it " * 60, {}, r"text 1 has 62 tokens; this model reads at most 48\. Shorten it, or cut it"),
        ("two", TEXT, {"task": "fill-mask"}, "can be explained, no others; this model does sequence-classification"),
        ("numbers", TEXT, {}, r"this model gives 2 numbers; name one of warm, wet: label \(--label\)"),
        ("tags", TEXT, {}, "sequence-classification and fill-mask can be explained.*does token-classification"),
        ("encoder", TEXT, {}, "this model is an encoder alone"),
        ("masks", TEXT, {}, r"text 1 can't be explained: no \[MASK\] in it"),
        ("masks", "[MASK]", {}, r"it has no words beside \[MASK\]"),
        ("masks", "a [MASK]", {"mask": 1}, "mask is 1; the text has 1, numbered from 0"),
        ("masks", "a [MASK]", {"label": "a"}, "label goes with sequence-classification, not with fill-mask"),
    ],
)  # fmt: skip
def test_what_can_not_be_explained_is_said(
    models: dict[str, bertref.Model], name: str, text: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(bertref.InputError, match=message):
        models[name].explain(text, **options)
