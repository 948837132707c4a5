"""The gradient of the target with respect to word vectors, against finite differences."""

from pathlib import Path

import numpy as np
import pytest

import bertref
from bertref.inference.explain.gradients import values_and_gradients, word_vectors
from bertref.inference.explain.targets import label_target, word_target
from tests.inference.saved import labels, make


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_the_gradient_is_that_of_finite_differences(tmp_path: Path, kind: str) -> None:
    """Along random directions, at points that no token's vector is; central, so that the error is of third order."""
    make(tmp_path / "m", kind, **(labels("a", "b", "c") if "Class" in kind else {}))
    model = bertref.load(tmp_path / "m", dtype="float64")
    encoding = model.tokenizer.encode("Ada [MASK] lived.")
    target = label_target(model, encoding, None) if "Class" in kind else word_target(model, encoding, 0)
    random = np.random.default_rng(0)
    x = word_vectors(model, encoding.input_ids)
    points, directions = (random.normal(size=(3, *x.shape)) for _ in range(2))
    points = x + 0.3 * points
    _, grads = values_and_gradients(model, target, encoding, points)
    step = 1e-5
    high, low = (values_and_gradients(model, target, encoding, points + s * directions)[0] for s in (step, -step))
    np.testing.assert_allclose((grads * directions).sum((1, 2)), (high - low) / (2 * step), rtol=1e-7)


def test_the_models_own_vectors_give_the_models_answer(tmp_path: Path) -> None:
    make(tmp_path / "m", "BertForSequenceClassification", **labels("a", "b"))
    model = bertref.load(tmp_path / "m", dtype="float64")
    encoding = model.tokenizer.encode("Who wrote it?", "Ada.")
    x = word_vectors(model, encoding.input_ids)
    np.testing.assert_array_equal(x, model.params["bert.embeddings.word_embeddings.weight"][encoding.input_ids])
    for label, other in (("a", "b"), ("b", "a")):
        (value,), _ = values_and_gradients(model, label_target(model, encoding, label), encoding, x[None])
        scores = dict(model.classify("Who wrote it?", "Ada."))
        assert value == pytest.approx(np.log(scores[label] / scores[other]), rel=1e-10)
