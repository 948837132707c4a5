"""verify on RoBERTa, DistilBERT and ALBERT: right models are called right, mistakes are found where they are."""

import warnings
from typing import Any

import numpy as np
import pytest

from bertref.verify import TransformersSubject, check
from bertref.verify.checking import DiagnosisFailed
from tests.variant_cases import made

from .variant_mistakes import MISTAKES, VariantMistake

RIGHT = [
    ("roberta", "ForMaskedLM"), ("roberta", "ForSequenceClassification"), ("roberta", "ForMultipleChoice"),
    ("distilbert", "ForMaskedLM"), ("distilbert", "ForSequenceClassification"), ("distilbert", "ForQuestionAnswering"),
    ("albert", "ForPreTraining"), ("albert", "ForTokenClassification"), ("albert in groups", "ForMaskedLM"),
]  # fmt: skip
QUICK = (("roberta", "ForSequenceClassification"), ("distilbert", "ForSequenceClassification"),
         ("albert", "ForPreTraining"))  # fmt: skip
QUICK_MISTAKES = ("positions from 0", "relu missing in the head", "gradient of one layer")
CAUSES = {
    "positions from 0": "embeddings.positions_offset", "offset 1": "embeddings.positions_offset",
    "pad id of BERT": "embeddings.positions_offset", "tanh missing in the head": "activation.missing",
    "last token pooled": "pooler.token", "projection transposed": "dense.transposed",
    "order of sentences inverted": "loss.labels_inverted",
}  # fmt: skip
"""The cause that is named; of the others none is, and nothing else may be."""


def small(name: str, kind: str, **settings: Any) -> Any:
    """A model of two layers in float32."""
    layers = {} if name == "albert in groups" else {"num_hidden_layers": 2}
    return made(name, kind, **layers, **settings).float()


@pytest.mark.parametrize(
    ("name", "kind"), [case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow) for case in RIGHT]
)
def test_a_right_model_is_called_right(name: str, kind: str) -> None:
    report = check(TransformersSubject(small(name, kind)))
    assert report.verdict == "right"
    seen = {finding.name for finding in report.findings}
    assert {"embeddings.position", "layer.1.probs", "grad:layer.0.query", "loss.total"} <= seen
    assert ("embeddings.projection" in seen) == name.startswith("albert")
    assert ("pooled" in seen) == (kind in ("ForSequenceClassification", "ForMultipleChoice", "ForPreTraining"))
    assert any(name.startswith("update:") for name in seen)


@pytest.mark.parametrize(
    "mistake",
    [one if one.name in QUICK_MISTAKES else pytest.param(one, marks=pytest.mark.slow) for one in MISTAKES],
    ids=lambda one: str(one.name),
)
def test_a_mistake_is_found_where_it_is(mistake: VariantMistake) -> None:
    width = {"embedding_size": 24} if mistake.name.startswith("projection") else {}
    model = small(mistake.network, mistake.kind, **width)
    mistake.patch(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DiagnosisFailed)
        report = check(TransformersSubject(model))
    assert report.verdict == "diverges"
    assert report.first == mistake.first
    assert report.diagnosis is not None
    named = {cause.id for cause in report.diagnosis.causes}
    assert named == ({CAUSES[mistake.name]} if mistake.name in CAUSES else set())
    assert np.isfinite(report.limit)
