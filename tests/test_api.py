"""The Python API: encode, predict, next sentence, features, on every backend."""

from pathlib import Path

import numpy as np
import pytest

import bertref
from tests.checkpoint.test_folder import WORDS, make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "model"
    make(path)
    return path


def test_every_mask_gets_its_candidates(folder: Path) -> None:
    model = bertref.load(folder, dtype="float64")
    masks = model.predict("one [MASK] three [MASK]", top_k=len(WORDS))
    assert [mask.position for mask in masks] == [2, 4]
    for mask in masks:
        chances = [guess.probability for guess in mask.top]
        assert sum(chances) == pytest.approx(1)
        assert chances == sorted(chances, reverse=True)
        assert {guess.token for guess in mask.top} == set(WORDS)


def test_a_batch_gives_what_single_texts_give(folder: Path) -> None:
    model = bertref.load(folder, dtype="float64")
    texts = ["[MASK]", "one two [MASK] ?", "three [MASK] [MASK]"]
    batch = model.predict_batch(texts)
    for text, masks in zip(texts, batch, strict=True):
        for one, other in zip(model.predict(text), masks, strict=True):
            assert one.position == other.position
            assert [g.probability for g in one.top] == pytest.approx([g.probability for g in other.top], rel=1e-12)


@pytest.mark.parametrize("spec", ["torch", "strict"])
def test_backends_agree(folder: Path, spec: str) -> None:
    ours, theirs = (bertref.load(folder, backend=name, dtype="float64") for name in ("numpy", spec))
    texts = ["one two", "three ? one two three"]
    np.testing.assert_allclose(ours.encode(texts), theirs.encode(texts), rtol=1e-12, atol=1e-13)
    assert ours.next_sentence("one", "two ?") == pytest.approx(theirs.next_sentence("one", "two ?"), rel=1e-12)


def test_features_are_probes(folder: Path) -> None:
    model = bertref.load(folder)
    found = model.features(["one", "one two three"], ["sequence", "layer.1.probs", "pooled", "embeddings.sum"])
    assert found["sequence"].shape == (2, 5, 24)
    assert not found["sequence"][0, 3:].any()
    np.testing.assert_allclose(found["layer.1.probs"][1].sum(axis=-1), 1, rtol=1e-5)
    assert found["pooled"].shape == (2, 24)
    with pytest.raises(bertref.InputError, match="nonsense"):
        model.features(["one"], ["nonsense"])


def test_a_model_is_shown_without_its_weights(folder: Path) -> None:
    shown = repr(bertref.load(folder))
    assert "hidden_size=24" in shown
    assert "array" not in shown
    assert len(shown) < 600


def test_what_can_not_be_done_is_said(folder: Path) -> None:
    model = bertref.load(folder)
    with pytest.raises(bertref.InputError, match=r"no \[MASK\] in 'one'"):
        model.predict("one")
    with pytest.raises(bertref.InputError, match=r"13 tokens.*at most 12"):
        model.predict("[MASK] " + "one " * 10)
    with pytest.raises(bertref.InputError, match="top_k"):
        model.predict("[MASK]", top_k=0)
    with pytest.raises(bertref.InputError, match="float16"):
        bertref.load(folder, dtype="float16")
