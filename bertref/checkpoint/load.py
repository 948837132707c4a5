"""Loading a model, whoever wrote it: weights, config, dialect, vocabulary, and a report on every tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..config import BertConfig, Numerics, config_from_dict, config_notes, numerics_from_dict, read_json
from ..errors import CheckpointError, InputError
from ..heads import labelled
from ..text import Tokenizer
from .activation import activation_of
from .coverage import Coverage
from .folder import CONFIG, GOOGLE_CONFIG
from .plan import architectures_of
from .source import Source
from .sources import folder_of, open_source
from .text_windows import TextWindows, windows_of
from .training import MOMENTS, STATE, checkpoints
from .training import load as load_training
from .weights import LoadedWeights, read_weights

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


@dataclass(frozen=True)
class Description:
    """What a config says. `architectures` are Hugging Face's classes, `labels` the names of `id2label` in order;
    `notes` name the keys that nobody needs, `values` are all keys."""

    file: Path
    config: BertConfig
    numerics: Numerics
    architectures: tuple[str, ...]
    labels: tuple[str, ...]
    problem_type: str | None
    notes: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class SavedModel:
    """A model on the host.

    params        canonical name -> array; an untied decoder is `cls.predictions.decoder.weight`
    heads         what it can answer: masked_lm, next_sentence, question_answering and at most one of
                  sequence_classification, multiple_choice, token_classification
    labels        of its classifier, () without one
    problem_type  regression, single_label_classification, multi_label_classification, or None: not said
    activation    what a cross-encoder makes of its logits, one of `activation.ACTIVATIONS`; None: it is none
    windows       how a classifier answers for texts that are longer than it reads, None: not said
    tokenizer     None if there is no vocabulary and none was asked for
    moments, step the optimiser's state, if it was asked for
    """

    params: dict[str, npt.NDArray[Any]]
    config: BertConfig
    numerics: Numerics
    tokenizer: Tokenizer
    heads: tuple[str, ...]
    labels: tuple[str, ...]
    problem_type: str | None
    activation: str | None
    coverage: Coverage
    path: Path
    moments: dict[str, npt.NDArray[Any]] | None = None
    step: int | None = None
    windows: TextWindows | None = None


def load_model(
    path: str | Path,
    *,
    dialect: Numerics | None = None,
    allow: Sequence[str] = (),
    optimizer: bool = False,
    config: str | Path | None = None,
) -> SavedModel:
    """Reads a Hugging Face folder, a TensorFlow checkpoint, or one file of weights beside its config.

    path       a folder, a file of weights, or the prefix of a TensorFlow checkpoint (`bert_model.ckpt`)
    dialect    overrides the recorded one; a TensorFlow checkpoint that records none is of Google's dialect
    allow      patterns (`cls.seq_relationship.*`) of parameters that may be missing and of tensors that may be unused
    optimizer  whether to read the optimiser's state, too
    config     the config file, if it does not lie beside the weights

    Raises `CheckpointError` for weights that can't be read, don't fit the config, hold NaN, or don't cover the model
    exactly; `InputError` for a config or a vocabulary that can't be used.
    """
    path = Path(path)
    source = open_source(path)
    described = describe(source, path, dialect=dialect, config=config)
    weights = read_weights(source, described.config, described.architectures, allow=allow,
                           optimizer=optimizer and source.format == "tensorflow")  # fmt: skip
    tokenizer = Tokenizer.from_pretrained(folder_of(path))
    vocab, rows = tokenizer.vocab, described.config.vocab_size
    if len(vocab) > rows:
        added = [token.content for token in vocab.added if token.id >= rows]
        what = f"added tokens such as {added[-1]!r}" if added else "the last of them"
        raise CheckpointError(
            f"{path}: the vocabulary has {len(vocab)} tokens, the model's table fewer rows (vocab_size = {rows}), so "
            f"{what} can't be read; take the vocabulary that the model was trained with"
        )
    short = (f"{path}: the vocabulary has {len(vocab)} tokens, the model's table {rows} rows (vocab_size): the last "
             f"{rows - len(vocab)} stand for no token",) if len(vocab) < rows else ()  # fmt: skip
    moments, step = weights.moments, weights.step
    if optimizer and source.format != "tensorflow":
        moments, step = training_state(folder_of(path))
    coverage = replace(weights.coverage, notes=(*described.notes, *weights.coverage.notes, *short))
    return SavedModel(
        weights.params, described.config, described.numerics, tokenizer, weights.heads, labels_of(described, weights),
        described.problem_type, scores_of(described, weights.heads, weights.num_labels), coverage, path, moments, step,
        windows_of(described.values, described.config.max_length, str(described.file)),
    )  # fmt: skip


def describe(
    source: Source, path: Path, *, dialect: Numerics | None = None, config: str | Path | None = None
) -> Description:
    """What the config beside the weights says."""
    file = Path(config) if config else config_file(folder_of(path), source.format)
    if not config and not file.is_file():
        raise InputError(
            f"{file}: no such file; a model's config is expected here (info and convert take another with --config)"
        )
    values = read_json(file)
    if source.format == "tensorflow" and dialect is None:
        recorded = values.get("bertref_numerics")
        dialect = Numerics.preset("google") if recorded is None else numerics_from_dict(recorded, where=str(file))
    architecture, numerics = config_from_dict(values, dialect=dialect, where=str(file))
    problem = values.get("problem_type")
    if problem is not None and problem not in PROBLEM_TYPES:
        raise InputError(f"{file}: problem_type is {problem!r}; there are {', '.join(PROBLEM_TYPES)}")
    return Description(file, architecture, numerics, architectures_of(values), _labels(values, file), problem,
                       config_notes(values, where=str(file)), values)  # fmt: skip


def config_file(folder: Path, kind: str) -> Path:
    """The config in a folder: bert_config.json beside a TensorFlow checkpoint, else config.json; or the other one."""
    names = (GOOGLE_CONFIG, CONFIG) if kind == "tensorflow" else (CONFIG, GOOGLE_CONFIG)
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def labels_of(described: Description, weights: LoadedWeights) -> tuple[str, ...]:
    """The classifier's labels: the config's if there is one for each row, else LABEL_0, LABEL_1, ..."""
    if not labelled(weights.heads):
        return ()
    if len(described.labels) == weights.num_labels:
        return described.labels
    return tuple(f"LABEL_{i}" for i in range(weights.num_labels))


def scores_of(described: Description, heads: Sequence[str], num_labels: int) -> str | None:
    """The activation of a cross-encoder's scores, None for every other model."""
    if "sequence_classification" not in heads:
        return None
    return activation_of(described.values, described.file.parent, num_labels)


def training_state(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """The optimiser's state that lies beside a model. Raises `CheckpointError` if there is none."""
    if not (folder / STATE).is_file():
        kept = checkpoints(folder)
        advice = f"{kept[-1]} does" if kept else "read it without the optimiser"
        raise CheckpointError(f"{folder}: holds no optimiser state ({STATE}, {MOMENTS}); {advice}")
    state = load_training(folder)
    return state.moments, state.step


def _labels(values: Mapping[str, Any], file: Path) -> tuple[str, ...]:
    found = values.get("id2label") or {}
    try:
        numbered = {int(key): label for key, label in found.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{file}: id2label must map the numbers 0, 1, ... to names") from None
    if sorted(numbered) != list(range(len(numbered))) or not all(isinstance(v, str) for v in numbered.values()):
        raise InputError(f"{file}: id2label must map the numbers 0, 1, ... to names")
    return tuple(numbered[i] for i in range(len(numbered)))
