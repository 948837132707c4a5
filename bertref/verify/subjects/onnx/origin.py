"""What is known of the model that a file was exported from: config, dialect, heads, and its weights."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ....checkpoint.names import from_huggingface, from_tensorflow
from ....checkpoint.naming import Naming, naming_of_folder, naming_of_tensors
from ....checkpoint.sources import CANDIDATES, open_source
from ....config import BertConfig, Numerics, config_from_dict, numerics_from_dict, read_config
from ....config_keys import berts_class
from ....errors import InputError
from ....inference.sentence_transformers.modules import model_folder_of
from ...records import Arrays
from .graph import Values

HALF, TINY = 2.0**-11, 2.0**-23
"""Half a unit of float16 in the last place, and what converters make of numbers that are too small for it."""


DECISIVE = (("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
             "embedding_size", "num_hidden_groups"), ("gelu", "layer_norm_eps"))  # fmt: skip
"""Settings of the config, and of the dialect, by which a file's answers are other answers."""


class ExportOrigin(NamedTuple):
    """`folder` is the one that is named, or that the file lies in. `architecture` is Hugging Face's class as BERT's of
    its kind, "" where it isn't known; `weights` are those of a folder that is named, {} where it has none or none is
    named; `naming` is how the model called its tensors."""

    folder: Path
    config: BertConfig
    numerics: Numerics
    architecture: str
    heads: tuple[str, ...] | None
    weights: Arrays
    naming: Naming


def read_origin(path: Path, metadata: Mapping[str, str], model: Path | None) -> ExportOrigin:
    """From what bertref writes into its files, else from the config.json in the folder `model`, or beside the file.

    Raises `InputError` where there is neither, or where the two contradict each other, and what `config` and
    `checkpoint` raise for folders that are damaged.
    """
    folder = path.parent if model is None else model
    folder = folder if folder.is_dir() else folder.parent
    inside = model_folder_of(folder)
    naming = naming_of_folder(inside / "config.json")
    weights = {} if model is None else _weights(inside if model.is_dir() else model, naming)
    if "bertref_config" in metadata:
        dialect = metadata.get("bertref_numerics")
        numerics = numerics_from_dict(json.loads(dialect)) if dialect else None
        both = config_from_dict(json.loads(metadata["bertref_config"]), dialect=numerics, where=str(path))
        heads = tuple(json.loads(metadata["bertref_heads"])) if "bertref_heads" in metadata else None
        if model is not None and (inside / "config.json").is_file():
            _must_agree(path, both, inside / "config.json")
        return ExportOrigin(folder, *both, "", heads, weights, naming_of_tensors(both[0], ()))
    file = inside / "config.json"
    if not file.is_file():
        raise InputError(
            f"{path}: says nothing of its architecture, and there is no config.json in {inside}; "
            "name the folder of the model that it was exported from with --model"
        )
    both = read_config(file)
    named = json.loads(file.read_text(encoding="utf-8")).get("architectures") or [""]
    return ExportOrigin(folder, *both, berts_class(str(named[0])), None, weights, naming)


def _must_agree(path: Path, said: tuple[BertConfig, Numerics], file: Path) -> None:
    """Raises `InputError` if a file says something else of its network than the config of the folder that is named:
    one of the two is wrong, and the file can't be judged by itself."""
    own, folders = ({name: getattr(one, name) for one, names in zip(both, DECISIVE, strict=True) for name in names}
                    for both in (said, read_config(file)))  # fmt: skip
    for name, value in own.items():
        if value != folders[name]:
            raise InputError(
                f"{path}: says that its {name} is {value}, and {file} that it is {folders[name]}; leave --model out to "
                "judge the file by what it says, or name the folder that it was exported from"
            )


def merged(
    file: Mapping[str, Values], model: Mapping[str, Values], names: Iterable[str],
    quantised: Callable[[str, Values], bool],
) -> tuple[Arrays, list[str]]:  # fmt: skip
    """The weights that a file has to compute with: its own, where they are the model's but for rounding to the type
    that it stores, else the model's; and the names of those that aren't, unless they are `quantised` from them."""
    found: Arrays = {}
    others = []
    for name in names:
        own, right = file.get(name), model.get(name)
        if own is not None and (right is None or rounded(own, right)):
            found[name] = own.astype(np.float64)
        elif right is not None:
            found[name] = right.astype(np.float64)
            others += [name] if own is not None and not quantised(name, right) else []
    return found, others


def rounded(own: Values, right: Values) -> bool:
    """Whether these are the same numbers: as they are, or rounded to the type that holds them, or to float16."""
    if own.shape != right.shape:
        return False
    if np.array_equal(own, right.astype(own.dtype)):
        return True
    if not np.array_equal(own.astype(np.float16).astype(own.dtype), own):
        return False
    apart = np.abs(own.astype(np.float64) - right)
    return bool((apart <= HALF * np.abs(right) + TINY).all())


def _weights(path: Path, naming: Naming) -> Arrays:
    """What a folder or a file of weights holds; {} for a folder with a config alone."""
    if path.is_dir() and not any((path / name).is_file() for name in CANDIDATES) and not _tensorflow(path):
        return {}
    source = open_source(path)
    translate: Any = from_tensorflow if source.format == "tensorflow" else partial(from_huggingface, naming=naming)
    found: Arrays = {}
    for stored in source.entries:
        meaning = translate(stored)
        if meaning is not None and meaning.kind == "parameter":
            array = source.read(stored)
            found[meaning.name] = array.T if meaning.transposed else array
    return found


def _tensorflow(folder: Path) -> bool:
    return any(folder.glob("*.index")) or any(folder.glob("*.ckpt"))
