"""Explanations against autograd through transformers, and what must hold of them; twins with a fault are caught."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertref
from bertref.inference.explain import attribution, gradients
from bertref.text import Vocab
from tests.inference.saved import labels, make

from .oracle import Oracle, check

TEXTS = [("Ada Lovelace lived in London.",), ("Who  wrote it?", "Zoë's café -- it rained!")]
NAMES = ("bad", "good", "so-so")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explain")


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    return make(folder / "three", "BertForSequenceClassification", **labels(*NAMES))


@pytest.fixture(scope="module")
def guesser(folder: Path) -> Any:
    return make(folder / "masks", "BertForMaskedLM")


def load(folder: Path, **options: Any) -> bertref.Model:
    return bertref.load(folder, **{"dtype": "float64", **options})


def oracle_of(folder: Path, network: Any, texts: tuple[str, ...], found: Any) -> Oracle:
    """For the label and the runner-up that the explanation names."""
    label, other = NAMES.index(found.label), NAMES.index(found.other)
    return Oracle.of(folder, network, texts, lambda logits: logits[:, label] - logits[:, other])


@pytest.mark.parametrize("texts", TEXTS, ids=["text", "pair"])
def test_integrated_gradients_are_autograds(folder: Path, network: Any, texts: tuple[str, ...]) -> None:
    found = load(folder / "three").explain(*texts)
    check(found, *oracle_of(folder / "three", network, texts, found).integrated())
    assert [w.text for w in found.words] == [texts[w.segment][w.start : w.end] for w in found.words]
    assert (found.text, found.pair) == (texts[0], texts[1] if len(texts) > 1 else None)


@pytest.mark.parametrize("texts", TEXTS, ids=["text", "pair"])
def test_gradient_times_input_is_autograds(folder: Path, network: Any, texts: tuple[str, ...]) -> None:
    found = load(folder / "three").explain(*texts, method="gradient")
    check(found, *oracle_of(folder / "three", network, texts, found).times_input())
    assert not found.complete
    assert found.nodes == 1


@pytest.mark.parametrize("method", ["integrated", "gradient"])
@pytest.mark.parametrize("mask", [0, 1])
def test_guesses_for_masks_are_explained(folder: Path, guesser: Any, method: str, mask: int) -> None:
    text = "Ada [MASK] lived in [MASK] ."
    model = load(folder / "masks")
    found = model.explain(text, method=method, mask=mask)
    best, second = (guess.token for guess in model.predict(text)[mask].top[:2])
    assert (found.label, found.other) == (best, second)
    ids = [model.tokenizer.vocab.ids[token] for token in (best, second)]
    weights = torch.zeros(len(model.tokenizer.vocab), dtype=torch.float64)
    weights[ids[0]], weights[ids[1]] = 1, -1
    place = (2, 5)[mask]
    assert found.position == place
    oracle = Oracle.of(folder / "masks", guesser, (text,), lambda logits: logits[:, place] @ weights)
    oracle = replace(oracle, kept=frozenset({place}))
    check(found, *(oracle.integrated() if method == "integrated" else oracle.times_input()))


@pytest.mark.parametrize("backend", ["numpy", "torch", "strict"])
def test_integrated_gradients_are_complete(folder: Path, network: Any, backend: str) -> None:
    """To rounding in float64, where the rule has converged; and the target is what the scores say."""
    model = load(folder / "three", backend=backend)
    for texts in TEXTS:
        found = model.explain(*texts)
        assert found.gap <= 1e-12
        assert found.complete
        assert found.nodes == 64
        assert found.sum == pytest.approx(sum(word.value for word in found.words), rel=1e-14)
        scores = dict(model.classify(*texts))
        assert found.value == pytest.approx(np.log(scores[found.label] / scores[str(found.other)]), rel=1e-9)
        assert found.label == max(scores, key=lambda label: scores[label])


def test_float32_is_complete_to_the_printed_tolerance(folder: Path, network: Any) -> None:
    for texts in TEXTS:
        exact, found = load(folder / "three").explain(*texts), load(folder / "three", dtype="float32").explain(*texts)
        assert found.complete
        np.testing.assert_allclose([w.value for w in found.words], [w.value for w in exact.words], rtol=0, atol=1e-4)


def wrong_baseline(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Vocab, "pad", property(lambda vocab: vocab.unk))


def scaled_weights(patch: pytest.MonkeyPatch) -> None:
    right = attribution.gauss_legendre

    def scaled(nodes: int) -> Any:
        places, weights = right(nodes)
        return places, 1.001 * weights

    patch.setattr(attribution, "gauss_legendre", scaled)


def cls_included(patch: pytest.MonkeyPatch) -> None:
    right = attribution.read

    def included(*args: Any) -> Any:
        reading = right(*args)
        first = reading.words[0]._replace(tokens=(0, *reading.words[0].tokens))
        return replace(reading, words=(first, *reading.words[1:]))

    patch.setattr(attribution, "read", included)


def shifted_nodes(patch: pytest.MonkeyPatch) -> None:
    right = attribution.gauss_legendre
    patch.setattr(attribution, "gauss_legendre", lambda nodes: (right(nodes)[0] * 0.999, right(nodes)[1]))


def wrong_sign(patch: pytest.MonkeyPatch) -> None:
    right = attribution.label_target
    patch.setattr(attribution, "label_target", lambda *a: replace(t := right(*a), weights=abs(t.weights)))


@pytest.mark.parametrize("fault", [wrong_baseline, scaled_weights, cls_included, shifted_nodes, wrong_sign])
def test_a_twin_with_a_fault_is_caught(
    folder: Path, network: Any, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = TEXTS[1]
    model = load(folder / "three")
    oracle = oracle_of(folder / "three", network, texts, model.explain(*texts))
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check(model.explain(*texts), *oracle.integrated())


# What is integrated: functions whose integrals are known


def with_function(patch: pytest.MonkeyPatch, function: Any) -> None:
    """Puts `function`, of vectors (N, S, H) -> values (N), gradients (N, S, H), in place of the model."""
    patch.setattr(attribution, "values_and_gradients", lambda _loaded, _target, _encoding, vectors: function(vectors))


def with_step(patch: pytest.MonkeyPatch, height: float) -> None:
    """F = tanh(height · Σ v), where v goes from -1.3 at [PAD] to 1: the steeper, the harder to integrate."""

    def function(vectors: Any) -> Any:
        y = np.tanh(height * vectors.sum((1, 2)))
        return y, (height * (1 - y**2))[:, None, None] * np.ones_like(vectors)

    def word_vectors(_loaded: Any, ids: list[int]) -> Any:
        return np.where(np.array(ids) == 0, -1.3, 1.0)[:, None]

    with_function(patch, function)
    patch.setattr(attribution, "word_vectors", word_vectors)


def test_of_a_linear_function_both_methods_are_exact(
    folder: Path, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder / "three")
    ids = model.tokenizer.encode(TEXTS[0][0]).input_ids
    slopes = np.random.default_rng(3).normal(size=(len(ids), 24))
    with_function(monkeypatch, lambda v: ((v * slopes).sum((1, 2)), np.broadcast_to(slopes, v.shape)))
    table = model.params["bert.embeddings.word_embeddings.weight"]
    for method, baseline in (("integrated", table[0]), ("gradient", np.zeros(24))):
        found = model.explain(TEXTS[0][0], method=method)
        tokens = ((table[ids] - baseline) * slopes).sum(1)
        pieces = [model.tokenizer.tokenize(word.text) for word in found.words]
        assert max(map(len, pieces)) > 1
        bounds = np.cumsum([1, *map(len, pieces)])
        want = [tokens[a:b].sum() for a, b in pairwise(bounds)]
        np.testing.assert_allclose([word.value for word in found.words], want, rtol=1e-12)
        assert found.gap <= 1e-12


def test_a_polynomials_integral_is_exact(folder: Path, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """F = Σ v⁴/4: the value of a token is Σ (x⁴ - x'⁴)/4, as it is a sum of functions of one variable each."""
    model = load(folder / "three")
    with_function(monkeypatch, lambda v: ((v**4 / 4).sum((1, 2)), v**3))
    found = model.explain("it rain")
    table = model.params["bert.embeddings.word_embeddings.weight"]
    ids = model.tokenizer.encode("it rain").input_ids[1:-1]
    want = ((table[ids] ** 4 - table[0] ** 4) / 4).sum(1)
    np.testing.assert_allclose([word.value for word in found.words], want, rtol=1e-12)


@pytest.mark.parametrize("nodes", [64, 128, 256, 512])
def test_more_nodes_are_taken_where_they_are_needed(
    folder: Path, network: Any, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder / "three")
    with_step(monkeypatch, {64: 0.5, 128: 16.0, 256: 32.0, 512: 64.0}[nodes])
    found = model.explain("it rain")
    assert (found.nodes, found.complete) == (nodes, True)


def test_a_gap_that_stays_is_said(folder: Path, network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(folder / "three")
    with_step(monkeypatch, 1e6)
    found = model.explain("it rain")
    assert found.nodes == 512
    assert not found.complete
    assert found.difference == 2
    assert found.gap == abs(found.sum - 2) > 0.1


@pytest.mark.parametrize("nodes", [64, 128, 256, 512])
def test_the_rule_is_exact_for_polynomials(nodes: int) -> None:
    places, weights = attribution.gauss_legendre(nodes)
    for degree in (0, 1, nodes, 2 * nodes - 1):
        assert weights @ places**degree == pytest.approx(1 / (degree + 1), rel=1e-12)


def test_memory_bounds_the_batches_and_changes_nothing(
    folder: Path, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder / "three")
    right, sizes = attribution.values_and_gradients, list[int]()

    def counted(*args: Any) -> Any:
        sizes.append(len(args[-1]))
        return right(*args)

    monkeypatch.setattr(attribution, "values_and_gradients", counted)
    whole = model.explain(TEXTS[0][0])
    assert sizes == [1, 1, 64]
    sizes.clear()
    monkeypatch.setattr(gradients, "CACHE_BYTES", 1_000_000)
    parts = model.explain(TEXTS[0][0])
    assert max(sizes) < 64
    assert sum(sizes) == 66
    np.testing.assert_allclose([w.value for w in parts.words], [w.value for w in whole.words], rtol=1e-11)
