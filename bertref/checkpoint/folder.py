"""Writing models: as folders that Hugging Face's loaders open as their own, and as the original's checkpoints.

Hugging Face   config.json, model.safetensors (the tied decoder is not stored), vocab.txt, tokenizer_config.json
TensorFlow     bert_config.json, bert_model.ckpt.index, bert_model.ckpt.data-00000-of-00001, vocab.txt
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import BertConfig, Numerics, config_to_dict
from ..errors import CheckpointError
from ..heads import DECODER
from ..plumbing.files import write_file
from ..text import Tokenizer
from . import tensors
from .activation import activation_to_dict
from .names import BIAS, DECODER_BIAS, GLOBAL_STEP, to_tensorflow, transposed_in_tensorflow
from .naming import naming_of_folder
from .text_windows import TextWindows, windows_to_dict

CONFIG = "config.json"
GOOGLE_CONFIG = "bert_config.json"
WEIGHTS = "model.safetensors"
TF_PREFIX = "bert_model.ckpt"

Arrays = Mapping[str, npt.NDArray[Any]]


def describe_model(
    folder: Path,
    config: BertConfig,
    numerics: Numerics,
    tokenizer: Tokenizer | None,
    *,
    architecture: str = "BertForPreTraining",
    tied: bool = True,
    labels: Sequence[str] = (),
    problem_type: str | None = None,
    activation: str | None = None,
    max_length: int | None = None,
    windows: TextWindows | None = None,
    dtype: str | None = None,
) -> None:
    """Writes everything but the weights into an existing folder. `max_length` is the longest text that the tokenizer
    announces, if that is less than the model reads; `windows` is how a classifier answers for longer ones; `dtype` is
    what Hugging Face's loaders compute in, if not in the type that is stored."""
    if tokenizer:
        tokenizer.save_pretrained(folder, max_length=max_length or config.max_length)
    values = config_to_dict(config, numerics, architecture, tied=tied) | _labels(labels, problem_type, activation)
    values |= windows_to_dict(windows) | ({"dtype": dtype} if dtype else {})
    write_file(folder / CONFIG, _json(values))


def save_weights(folder: Path, params: Arrays) -> None:
    """Writes or replaces the weights, last of all: a folder with weights is complete. Their names are those of the
    class that the folder's config names; without a config, those of BERT."""
    stored = dict(params)
    if DECODER in stored:  # without tying, Hugging Face's decoder has a bias of its own
        stored[DECODER_BIAS] = stored[BIAS]
    naming = naming_of_folder(folder / CONFIG)
    write_file(folder / WEIGHTS, tensors.to_bytes({naming.theirs(name): array for name, array in stored.items()}))


def read_weights_back(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """What `save_weights` wrote, under canonical names. Raises `CheckpointError` as `tensors.read` does."""
    naming = naming_of_folder(folder / CONFIG)
    return {naming.ours(name): array for name, array in tensors.read(folder / WEIGHTS).items()}


def describe_tensorflow(
    folder: Path,
    config: BertConfig,
    numerics: Numerics,
    tokenizer: Tokenizer | None,
    *,
    architecture: str = "BertForPreTraining",
    labels: Sequence[str] = (),
    problem_type: str | None = None,
    activation: str | None = None,
    max_length: int | None = None,
) -> None:
    """Writes `bert_config.json` and the vocabulary. The original knows one activation `gelu`; which of the two is
    meant stands in the recorded dialect."""
    if tokenizer:
        tokenizer.save_pretrained(folder, max_length=max_length or config.max_length)
    values = config_to_dict(config, numerics, architecture) | {"hidden_act": config.hidden_act}
    write_file(folder / GOOGLE_CONFIG, _json(values | _labels(labels, problem_type, activation)))


def tensorflow_variables(params: Arrays, moments: Arrays | None = None, step: int | None = None) -> dict[str, Any]:
    """The variables of the original's checkpoint: its names, kernels (in, out), and on request Adam's slots.

    Raises `CheckpointError` for an untied decoder and for moments other than Adam's: the original has neither.
    """
    if DECODER in params:
        raise CheckpointError(f"{DECODER} differs from the word embeddings; the original has only the tied decoder")
    if moments is not None and (kinds := {name.rpartition("/")[2] for name in moments}) != {"m", "v"}:
        raise CheckpointError(
            f"the original's checkpoints have Adam's two moments, and this state has only {', '.join(sorted(kinds))}; "
            "leave --optimizer out"
        )
    found = {}
    for name, array in params.items():
        theirs, turn = to_tensorflow(name), transposed_in_tensorflow(name)
        found[theirs] = _turned(array, turn)
        for kind in ("m", "v") if moments is not None else ():
            assert moments is not None
            found[f"{theirs}/adam_{kind}"] = _turned(moments[f"{name}/{kind}"], turn)
    if step is not None:
        found[GLOBAL_STEP] = np.asarray(step, np.int64)
    return found


def save_tensorflow(folder: Path, params: Arrays, moments: Arrays | None = None, step: int | None = None) -> None:
    """Writes `bert_model.ckpt` into an existing folder, and the file `checkpoint` that names it."""
    from .tensorflow import write_bundle

    write_bundle(folder / TF_PREFIX, tensorflow_variables(params, moments, step))
    state = f'model_checkpoint_path: "{TF_PREFIX}"\nall_model_checkpoint_paths: "{TF_PREFIX}"\n'
    write_file(folder / "checkpoint", state.encode())


def _turned(array: npt.NDArray[Any], turn: bool) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array.T) if turn else array


def _labels(labels: Sequence[str], problem_type: str | None, activation: str | None) -> dict[str, Any]:
    values = activation_to_dict(activation)
    if labels:
        values["id2label"] = {str(i): label for i, label in enumerate(labels)}
        values["label2id"] = {label: i for i, label in enumerate(labels)}
    if problem_type:
        values["problem_type"] = problem_type
    return values


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
