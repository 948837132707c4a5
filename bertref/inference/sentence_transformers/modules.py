"""How a folder of sentence-transformers makes one vector of a text, read from its JSON files.

`modules.json`                      what follows what: Transformer, Pooling, perhaps Dense, perhaps Normalize
`1_Pooling/config.json`             one or several poolings, whose vectors are joined
`1_SpladePooling/config.json`       instead: the logits of the masked language model, pooled (`splade`)
`2_Dense/config.json`               a dense layer on top, its weights beside it
`sentence_bert_config.json`         the longest text in tokens, lower-casing (else the tokenizer's own limit)
`config_sentence_transformers.json` a prompt that is put before every text

Both spellings of the poolings are understood: one flag each (before release 5), and one list of names. The folder of a
cross-encoder has a Transformer alone, which makes scores and no vector: no recipe.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint.activation import is_cross_encoder
from ...checkpoint.sources import open_source
from ...errors import InputError
from .pooling import check_mode
from .splade import ACTIVATIONS as SPLADE_ACTIVATIONS
from .splade import STRATEGIES, Splade

ACTIVATIONS = {"Tanh": "tanh", "Identity": None, "ReLU": "relu"}
"""The last part of torch's name -> the op."""
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""The older spelling; several vectors are joined in this order."""
ORDER = ("Transformer", "Pooling", "Dense", "Normalize")
SPLADE = (("Transformer", "SpladePooling"), ("MLMTransformer", "SpladePooling"))
NO_LIMIT = 1 << 30
"""transformers writes lengths beyond this where a tokenizer has none."""


@dataclass(frozen=True)
class Projection:
    """y = activation(x Wᵀ + b): host arrays, W (out, in), b (out) or None; `activation` an op's name or None."""

    weight: npt.NDArray[Any]
    bias: npt.NDArray[Any] | None
    activation: str | None


@dataclass(frozen=True)
class EmbeddingModules:
    """Prompt and text, cut to `max_length` tokens, through the encoder; poolings joined; projections; length 1 or not.
    With `splade`, that pooling of the logits is all that follows the encoder.

    The default is what sentence-transformers makes of a folder without a recipe.
    """

    poolings: tuple[str, ...] = ("mean",)
    projections: tuple[Projection, ...] = ()
    normalize: bool = False
    max_length: int | None = None
    lower_case: bool = False
    prompt: str = ""
    splade: Splade | None = None


def model_folder_of(folder: Path) -> Path:
    """Where the encoder lies in a folder: in itself, or in the part that `modules.json` names (`0_Transformer`)."""
    if not (folder / "modules.json").is_file():
        return folder
    kind, path = modules_of(folder)[0]
    if kind not in ("Transformer", "MLMTransformer"):
        raise InputError(f"{folder / 'modules.json'}: the first module is {kind}; a Transformer is expected")
    return path


def read_recipe(folder: Path) -> EmbeddingModules | None:
    """The recipe in a folder, None if there is none.

    Raises `InputError` for damaged files and for what is not understood: other modules, another order of them.
    """
    if not (folder / "modules.json").is_file():
        return None
    modules = modules_of(folder)
    kinds = tuple(kind for kind, _ in modules)
    if kinds == ORDER[:1] and is_cross_encoder(folder):
        return None
    if kinds in SPLADE:
        length, lower = _limits(modules[0][1])
        return EmbeddingModules(
            max_length=length, lower_case=lower, prompt=_prompt(folder, modules[1][1]), splade=_splade(modules[1][1])
        )
    known = kinds[:2] == ORDER[:2] and list(kinds) == sorted(kinds, key=lambda k: ORDER.index(k) if k in ORDER else 0)
    if not known or kinds.count("Pooling") != 1 or kinds.count("Normalize") > 1 or set(kinds) - set(ORDER):
        raise InputError(
            f"{folder / 'modules.json'}: {', '.join(kinds)} can't be followed; supported are Transformer, Pooling, "
            "Dense (any number) and Normalize, in this order, or Transformer and SpladePooling"
        )
    poolings, width = _poolings(modules[1][1])
    projections = tuple(_projection(path) for kind, path in modules if kind == "Dense")
    for projection in projections:
        if width is not None and projection.weight.shape[1] != width:
            raise InputError(f"{folder}: a Dense module takes {projection.weight.shape[1]} values and is given {width}")
        width = projection.weight.shape[0]
    length, lower = _limits(modules[0][1])
    prompt = _prompt(folder, modules[1][1])
    return EmbeddingModules(poolings, projections, "Normalize" in kinds, length, lower, prompt)


def modules_of(folder: Path) -> list[tuple[str, Path]]:
    """(kind, folder) of each module: the kind is the class without its path."""
    file = folder / "modules.json"
    values = _json(file)
    found = []
    for module in values if isinstance(values, list) else [values]:
        kind, path = (module.get(key) for key in ("type", "path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(path, str):
            raise InputError(f"{file}: a list of objects with type and path is expected")
        inside = (folder / path).resolve()
        if not inside.is_relative_to(folder.resolve()):
            raise InputError(f"{file}: the module {path!r} lies outside of the folder")
        found.append((kind.rpartition(".")[2], folder / path))
    if not found:
        raise InputError(f"{file}: names no module")
    return found


def _splade(folder: Path) -> Splade:
    file = folder / "config.json"
    values = _object(file)
    found = {
        "pooling_strategy": values.get("pooling_strategy", STRATEGIES[0]),
        "activation_function": values.get("activation_function", SPLADE_ACTIVATIONS[0]),
    }
    for key, allowed in (("pooling_strategy", STRATEGIES), ("activation_function", SPLADE_ACTIVATIONS)):
        if found[key] not in allowed:
            raise InputError(f"{file}: {key} {found[key]!r} is not supported; there are {', '.join(allowed)}")
    return Splade(found["pooling_strategy"], found["activation_function"])


def _poolings(folder: Path) -> tuple[tuple[str, ...], int | None]:
    file = folder / "config.json"
    values = _object(file)
    given = values.get("pooling_mode")
    if given is None:
        given = [mode for flag, mode in FLAGS.items() if values.get(flag)] or ["mean"]
    names = tuple(given) if isinstance(given, list) else (given,)
    for name in names:
        try:
            check_mode(name)
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
    width = values.get("embedding_dimension", values.get("word_embedding_dimension"))
    return names, width * len(names) if isinstance(width, int) else None


def _projection(folder: Path) -> Projection:
    file = folder / "config.json"
    values = _object(file)
    name = str(values.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise InputError(f"{file}: activation_function {name} is not supported; there are {', '.join(ACTIVATIONS)}")
    for key in ("module_input_name", "module_output_name"):
        if values.get(key, "sentence_embedding") != "sentence_embedding":
            raise InputError(f"{file}: {key} = {values[key]!r} is not supported; only sentence_embedding is")
    source = open_source(folder)
    weight = source.read("linear.weight") if "linear.weight" in source.entries else np.zeros(0)
    bias = source.read("linear.bias") if "linear.bias" in source.entries else None
    expected = (values.get("out_features"), values.get("in_features"))
    if weight.shape != expected or (bias is not None and bias.shape != expected[:1]):
        raise InputError(f"{source.path}: linear.weight of shape {expected} and linear.bias are expected")
    if bool(values.get("bias", True)) != (bias is not None):
        raise InputError(f"{file}: bias = {values.get('bias', True)} and {source.path} disagree about linear.bias")
    return Projection(weight, bias, ACTIVATIONS[name])


def _limits(folder: Path) -> tuple[int | None, bool]:
    """The longest text in tokens, and whether it is lower-cased before the tokenizer sees it."""
    own = folder / "sentence_bert_config.json"
    values = _object(own) if own.is_file() else {}
    length = _length(values.get("max_seq_length"), f"{own}: max_seq_length")
    return tokenizer_limit(folder) if length is None else length, bool(values.get("do_lower_case"))


def tokenizer_limit(folder: Path) -> int | None:
    """The longest text in tokens that the folder's tokenizer announces, None if it has no limit."""
    file = folder / "tokenizer_config.json"
    values = _object(file) if file.is_file() else {}
    length = _length(values.get("model_max_length"), f"{file}: model_max_length")
    return None if length is None or length >= NO_LIMIT else length


def _length(value: Any, where: str) -> int | None:
    if value is not None and not (isinstance(value, int | float) and value >= 3):
        raise InputError(f"{where} is {value!r}; a number of tokens, at least 3, is expected")
    return None if value is None else int(value)


def _prompt(folder: Path, pooling: Path) -> str:
    file = folder / "config_sentence_transformers.json"
    values = _object(file) if file.is_file() else {}
    name, prompts = values.get("default_prompt_name"), values.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise InputError(f"{file}: default_prompt_name is {name!r}, and prompts has no such prompt")
    if prompts[name] and not _object(pooling / "config.json").get("include_prompt", True):
        raise InputError(f"{pooling / 'config.json'}: include_prompt = false is not supported with a prompt")
    return str(prompts[name])


def _object(file: Path) -> dict[str, Any]:
    values = _json(file)
    if not isinstance(values, dict):
        raise InputError(f"{file}: a JSON object is expected, not {type(values).__name__}")
    return values


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: can't be read as JSON: {error}") from None
