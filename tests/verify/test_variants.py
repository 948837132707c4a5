"""verify on RoBERTa, DistilBERT and ALBERT: right models are called right."""

from typing import Any

import pytest

from bertref.errors import InputError
from bertref.verify import TransformersSubject, check, generate
from tests.variant_cases import made

RIGHT = [
    ("roberta", "ForMaskedLM"), ("roberta", "ForSequenceClassification"), ("roberta", "ForMultipleChoice"),
    ("distilbert", "ForMaskedLM"), ("distilbert", "ForSequenceClassification"), ("distilbert", "ForQuestionAnswering"),
    ("albert", "ForPreTraining"), ("albert", "ForTokenClassification"), ("albert in groups", "ForMaskedLM"),
]  # fmt: skip
QUICK = (("roberta", "ForSequenceClassification"), ("distilbert", "ForSequenceClassification"),
         ("albert", "ForPreTraining"))  # fmt: skip


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


@pytest.mark.parametrize("variant", ["roberta", pytest.param("distilbert", marks=pytest.mark.slow),
                                     pytest.param("albert", marks=pytest.mark.slow)])  # fmt: skip
def test_a_stock_model_of_a_variant_is_right(variant: str) -> None:
    case = generate(3, variant=variant)
    assert case.config.max_length == case.batch.input_ids.shape[1]
    assert case.objective == ("pretraining" if variant == "albert" else "masked_lm")
    assert check(TransformersSubject(), case).verdict == "right"


def test_a_head_that_a_network_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="RoBERTa has no head for next_sentence"):
        generate(0, variant="roberta", head="next_sentence")
    with pytest.raises(InputError, match="no variant 'gpt2'; there are bert, roberta"):
        generate(0, variant="gpt2")
