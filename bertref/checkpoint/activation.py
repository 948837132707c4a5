"""What a cross-encoder's folder says of its scores: the activation that follows the classifier's logits.

A cross-encoder (sentence-transformers' `CrossEncoder`) is a sequence classifier that scores a pair of texts. Where its
activation stands changed with the release:

    config_sentence_transformers.json   "model_type": "CrossEncoder", "activation_fn"
    config.json                         "sentence_transformers": {"activation_fn": ...}
    config.json                         "sbert_ce_default_activation_function"

The first that names one counts; where a cross-encoder names none, one label goes through a sigmoid and several are left
as they are. The values are names of torch's classes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

ACTIVATIONS = {
    "sigmoid": "torch.nn.modules.activation.Sigmoid",
    "identity": "torch.nn.modules.linear.Identity",
    "softmax": "torch.nn.modules.activation.Softmax",
    "tanh": "torch.nn.modules.activation.Tanh",
    "relu": "torch.nn.modules.activation.ReLU",
}
"""Name here -> the name that is stored; torch's shorter paths are read, too."""

ROOT = "config_sentence_transformers.json"
KEY, OLD_KEY = "sentence_transformers", "sbert_ce_default_activation_function"


def is_cross_encoder(folder: Path) -> bool:
    """Whether the folder's own file of sentence-transformers says so."""
    return _root(folder).get("model_type") == "CrossEncoder"


def activation_of(values: Mapping[str, Any], folder: Path, num_labels: int) -> str | None:
    """The activation of a sequence classifier, one of `ACTIVATIONS`; None if it is no cross-encoder's.

    `values` are those of its config.json, which lies in `folder`. Raises `InputError` for an activation that is not
    known and for a default prompt, which would have to stand before the texts.
    """
    root = _root(folder) if is_cross_encoder(folder) else None
    own = values.get(KEY)
    if own is not None and not isinstance(own, dict):
        raise InputError(f"{folder}: {KEY} in its config is {own!r}; a JSON object is expected")
    if root is None and own is None and values.get(OLD_KEY) is None:
        return None
    if root and root.get("default_prompt_name") is not None:
        raise InputError(f"{folder / ROOT}: default_prompt_name of a cross-encoder is not supported")
    stored = [(root or {}).get("activation_fn"), (own or {}).get("activation_fn"), values.get(OLD_KEY)]
    given = next((name for name in stored if name is not None), None)
    if given is None:
        return "sigmoid" if num_labels == 1 else "identity"
    package, _, last = str(given).rpartition(".")
    if not f"{package}.".startswith("torch.nn.") or last.lower() not in ACTIVATIONS:
        known = ", ".join(name.rpartition(".")[2] for name in ACTIVATIONS.values())
        raise InputError(f"{folder}: the activation {given!r} of its scores is not supported; there are {known}")
    return last.lower()


def activation_to_dict(activation: str | None) -> dict[str, Any]:
    """The key of a config.json from which every release with that key, and this module, reads the activation."""
    return {} if activation is None else {KEY: {"activation_fn": ACTIVATIONS[activation]}}


def _root(folder: Path) -> dict[str, Any]:
    file = folder / ROOT
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: can't be read as JSON: {error}") from None
    return values if isinstance(values, dict) else {}
