"""One text, path or name in place of several was taken apart into letters; no text at all ended in a traceback."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertref

from .models import model

ASKED = {
    "encode": lambda m: m.encode("a b c"),
    "embed": lambda m: m.embed("a b c"),
    "features": lambda m: m.features("a b c", ["layer.0.probs"]),
    "a batch": lambda m: m.predict_batch("a [MASK] c"),
}


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    return bertref.load(model(tmp_path / "model", "BertForMaskedLM", ("a", "b", "c")))


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_text_is_not_a_sequence_of_texts(loaded: Any, ask: Any) -> None:
    with pytest.raises(ValueError, match=r"is one text; give a sequence of texts, \(text,\)"):
        ask(loaded)


def test_a_name_is_not_a_sequence_of_names(loaded: Any) -> None:
    with pytest.raises(ValueError, match=r"'layer\.0\.probs' is one name; give a sequence of names"):
        loaded.features(["a"], "layer.0.probs")


def test_a_path_is_not_a_sequence_of_paths() -> None:
    with pytest.raises(ValueError, match=r"corpus is the string 'notes\.txt'; give a sequence of strings"):
        bertref.PretrainOptions(corpus="notes.txt")


def test_without_texts(loaded: Any) -> None:
    vectors = loaded.encode([])
    assert vectors.shape == (0, 0, loaded.config.hidden_size)
    assert vectors.dtype == np.float32
    with pytest.raises(ValueError, match="no text given"):
        loaded.features([], ["layer.0.probs"])
