"""Where a cross-encoder's activation may stand, which place counts, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from bertref.checkpoint.activation import ACTIVATIONS, activation_of, activation_to_dict
from bertref.errors import InputError

SIGMOID, IDENTITY = ACTIVATIONS["sigmoid"], ACTIVATIONS["identity"]


def folder(path: Path, root: Any) -> Path:
    if root is not None:
        (path / "config_sentence_transformers.json").write_text(json.dumps(root), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("root", "values", "expected"),
    [
        (None, {}, None),
        ({"model_type": "SentenceTransformer"}, {}, None),
        ({"model_type": "SentenceTransformer", "activation_fn": SIGMOID}, {}, None),
        ({"model_type": "CrossEncoder"}, {}, "sigmoid"),
        ({"model_type": "CrossEncoder", "activation_fn": None}, {}, "sigmoid"),
        ({"model_type": "CrossEncoder", "activation_fn": IDENTITY},
         {"sentence_transformers": {"activation_fn": SIGMOID}}, "identity"),
        (None, {"sentence_transformers": {"activation_fn": IDENTITY},
                "sbert_ce_default_activation_function": SIGMOID}, "identity"),
        (None, {"sbert_ce_default_activation_function": IDENTITY}, "identity"),
        (None, {"sbert_ce_default_activation_function": None}, None),
        (None, {"sentence_transformers": None}, None),
    ],
)  # fmt: skip
def test_the_first_place_counts(root: Any, values: dict[str, Any], expected: str | None, tmp_path: Path) -> None:
    assert activation_of(values, folder(tmp_path, root), 1) == expected


def test_several_labels_are_left_as_they_are(tmp_path: Path) -> None:
    assert activation_of({"sentence_transformers": {}}, tmp_path, 3) == "identity"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    assert activation_of(activation_to_dict(name), tmp_path, 2) == name
    assert activation_to_dict(None) == {}


@pytest.mark.parametrize(
    ("root", "values", "message"),
    [
        (None, {"sentence_transformers": {"activation_fn": "own.module.Sigmoid"}}, "'own.module.Sigmoid'"),
        (None, {"sentence_transformers": {"activation_fn": "torch.nn.GELU"}}, "there are Sigmoid, Identity"),
        (None, {"sentence_transformers": {"activation_fn": 3}}, "activation 3 of its scores"),
        (None, {"sentence_transformers": [1]}, "a JSON object is expected"),
        ({"model_type": "CrossEncoder", "default_prompt_name": "q"}, {}, "default_prompt_name"),
    ],
)
def test_the_rest_is_refused(root: Any, values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        activation_of(values, folder(tmp_path, root), 1)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config_sentence_transformers.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"config_sentence_transformers\.json: can't be read"):
        activation_of({}, tmp_path, 1)
