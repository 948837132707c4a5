"""A teacher in a fine-tuning run: what it says of every unit, worked out once and kept, and the objective that listens.

    logits.bin    float64, of every unit (units, K), or of every token end to end (tokens, K); K = 2 for spans

The teacher reads the student's ids where both have one tokenizer. Where they have not, it reads the texts by itself,
which gives logits for whole texts and choices only: those of tokens and spans would stand at other pieces.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ... import model
from ...arrays import Array
from ...checkpoint import SavedModel, load_model
from ...data.batch import Batch
from ...data.tasks.examples import Part
from ...data.tasks.taught import taught
from ...errors import InputError
from ...heads import HEADS
from ...layers import Settings
from ...layout import inputs
from ...objectives import DistillationObjective, HeadObjective, Objective, Teacher
from ...opset import OpSet
from ...plumbing.files import write_file, write_folder
from ...precision import cast as cast_params
from ...rng import generator
from ...tasks.store import Column, FeatureStore, Unit, cache_folder, digest_of
from ...text import Tokenizer
from ..start import weights_digest
from .kinds import Features, Kind
from .options import FinetuneOptions

TOKENS = 8192
"""Tokens of a batch that the teacher reads."""
EVERY = 60.0
"""Seconds between two words on how far it is."""
PROJECTION_STEP = 2**40
"""Where the random numbers of the projection are: beyond those of any parameter of a model."""


@dataclass(frozen=True)
class LoadedTeacher:
    """A teacher on the device; `order` are the numbers of its labels in the order of the student's."""

    saved: SavedModel
    params: dict[str, Array]
    ops: OpSet
    order: tuple[int, ...]
    same_tokenizer: bool
    packed: bool

    @property
    def settings(self) -> Settings:
        return Settings(self.saved.config, self.saved.numerics)


def load_teacher(
    options: FinetuneOptions, kind: Kind, kind_name: str, labels: tuple[str, ...], tokenizer: Tokenizer, ops: OpSet,
    *, packed: bool,
) -> LoadedTeacher:  # fmt: skip
    """The model of --teacher. Raises `InputError` where it can't teach this task: another head, other labels, or
    another vocabulary where ids must be the same."""
    assert options.teacher is not None
    saved = load_model(options.teacher)
    name = f"--teacher {options.teacher}"
    if kind.head not in saved.heads:
        raise InputError(f"{name}: has no head for {kind_name}; fine-tune it for this task first")
    if labels and HEADS[kind.head].labelled and kind.head != "multiple_choice" and set(saved.labels) != set(labels):
        raise InputError(f"{name}: its labels are {', '.join(saved.labels)}, the task's {', '.join(labels)}")
    same = _same(saved.tokenizer, tokenizer)
    if not same and options.hidden:
        raise InputError(f"{name}: its vocabulary is another; only logits transfer then, so leave --hidden out")
    if not same and kind_name in ("token-classification", "question-answering"):
        raise InputError(f"{name}: its vocabulary is another, so its answers stand at other pieces of the words")
    if not same and options.windows:
        raise InputError(f"{name}: its vocabulary is another, so its windows would be; leave --windows out")
    master = "float64" if options.precision == "float64" else "float32"
    params = {key: ops.xp.from_numpy(array) for key, array in saved.params.items()}
    order = tuple(saved.labels.index(label) for label in labels if label in saved.labels)
    return LoadedTeacher(saved, cast_params(ops.xp, params, master), ops.forward_only(), order, same, packed)


def _same(one: Tokenizer, other: Tokenizer) -> bool:
    same_pieces = one.vocab.tokens == other.vocab.tokens and one.vocab.rules == other.vocab.rules
    return same_pieces and one.options == other.options


@dataclass(frozen=True)
class TaughtFeatures:
    """Features whose batches carry the teacher's logits."""

    inner: Features
    logits: npt.NDArray[np.float64]
    by_token: bool

    @property
    def width(self) -> int:
        return self.inner.width

    @property
    def columns(self) -> Mapping[str, Column]:
        return self.inner.columns

    def units(self, examples: Iterable[Any], tokenizer: Tokenizer, counted: dict[str, int]) -> Iterator[Unit]:
        return self.inner.units(examples, tokenizer, counted)

    def batch(self, store: FeatureStore, units: np.ndarray) -> Batch:
        """The task's batch with what the teacher says of it."""
        batch = self.inner.batch(store, units)
        if not self.by_token:
            return taught(batch, self.logits[units])
        found = np.zeros((*batch.input_ids.shape, self.logits.shape[1]))
        mask = np.asarray(batch.attention_mask) != 0
        bounds = store.bounds
        found[mask] = np.concatenate([self.logits[bounds[u] : bounds[u + 1]] for u in units])
        return taught(batch, found)


def taught_features(
    teacher: LoadedTeacher, kind: Kind, features: Features, store: FeatureStore, digest: str, part: Part,
    say: Callable[[str], None],
) -> TaughtFeatures:
    """The features with the teacher's logits, from the cache or newly made; `say` hears how far that is."""
    saved = teacher.saved
    key = digest_of((), "teacher", digest, weights_digest(saved.params), teacher.order, str(saved.config),
                    str(saved.numerics))  # fmt: skip
    folder = cache_folder() / f"teacher-{key}"
    by_token = not HEADS[kind.head].pooler
    if not (folder / "teacher.json").is_file():
        read = store if teacher.same_tokenizer else _own_store(teacher, features, part)
        if len(read) != len(store):
            raise InputError("the teacher's tokenizer makes another number of sequences of the texts")
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_folder(folder, lambda temporary: _write(temporary, teacher, kind, read, by_token, say))
    shape = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))["shape"]
    return TaughtFeatures(features, np.memmap(folder / "logits.bin", "<f8", "r").reshape(shape), by_token)


def _own_store(teacher: LoadedTeacher, features: Features, part: Part) -> FeatureStore:
    """The part as the teacher's own tokenizer has it."""
    units = list(features.units(part.read(), teacher.saved.tokenizer, {}))
    sequences = [sequence for unit in units for sequence in unit.sequences]
    lengths = [len(sequence.input_ids) for sequence in sequences]
    second = [types.index(1) if 1 in types else len(types) for _, types in sequences]
    ids = np.array([i for sequence in sequences for i in sequence.input_ids], np.int32)
    bounds = np.cumsum([0, *lengths])
    return FeatureStore(features.width, ids, np.array(second, np.int32), bounds, {}, {}, {})


def _write(
    folder: Path, teacher: LoadedTeacher, kind: Kind, store: FeatureStore, by_token: bool, say: Callable[[str], None]
) -> None:
    """The logits of all units, in their order; sequences of like length are read together."""
    order = np.argsort(store.lengths(np.arange(len(store))), kind="stable")
    found: npt.NDArray[np.float64] | None = None
    rows = int(store.bounds[-1]) if by_token else len(store)
    said, tokens, read = time.monotonic(), int(store.bounds[-1]), 0
    for units in _batches(store, order):
        logits, mask = _answers(teacher, kind, store, units)
        if found is None:
            found = np.zeros((rows, logits.shape[-1]))
        if by_token:
            for unit, own, real in zip(units, logits, mask, strict=True):
                found[store.bounds[unit] : store.bounds[unit + 1]] = own[real]
        else:
            found[units] = logits
        read += int(store.lengths(units).sum())
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            say(f"The teacher has read {read:,} of {tokens:,} tokens.")
    assert found is not None
    (folder / "logits.bin").write_bytes(found.astype("<f8").tobytes())
    write_file(folder / "teacher.json", json.dumps({"shape": found.shape}).encode())


def _batches(store: FeatureStore, order: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Units of like length, as many as have `TOKENS` tokens with their padding."""
    lengths = store.lengths(order)
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * store.width * lengths[end] <= TOKENS:
            end += 1
        yield order[start:end]
        start = end


def _answers(
    teacher: LoadedTeacher, kind: Kind, store: FeatureStore, units: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Logits (B, K), choices (B, C), or of tokens (B, S, K); and which are tokens (B, S)."""
    arrays, head, xp = store.arrays(units), HEADS[kind.head], teacher.ops.xp
    ids, mask, types = (arrays[n].reshape(-1, arrays[n].shape[-1]) for n in
                        ("input_ids", "attention_mask", "token_type_ids"))  # fmt: skip
    x = inputs(xp, ids, mask, types, packed=teacher.packed, config=teacher.saved.config)
    encoded, _ = model.forward(teacher.ops, teacher.params, x, teacher.settings)
    read = encoded.pooled if head.pooler else encoded.sequence
    answers = head.answer(teacher.ops, teacher.params, cast(Array, read), teacher.settings, x.layout, None)
    columns = [np.asarray(xp.to_numpy(a), np.float64) for a in answers.values()]
    logits = columns[0] if len(columns) == 1 else np.stack(columns, axis=-1)
    if store.width > 1:
        logits = logits.reshape(-1, store.width)
    elif teacher.order:
        logits = logits[..., list(teacher.order)]
    return logits, mask != 0


def distilled(objective: Objective, teacher: LoadedTeacher, options: FinetuneOptions) -> DistillationObjective:
    """The task's objective, taught."""
    vectors = Teacher(teacher.params, teacher.settings) if options.hidden else None
    return DistillationObjective(
        cast(HeadObjective, objective), options.temperature, 1 - options.hard_weight,
        cast(Literal["none", "cosine", "mse"], options.hidden or "none"), options.hidden_weight, vectors,
    )  # fmt: skip


def extra_params(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, npt.NDArray[Any]]:
    """The parameters that only the objective has, newly made: N(0, 1 / columns), so that lengths are kept."""
    return {
        name: generator(seed, "initial_weights", step=PROJECTION_STEP + i).standard_normal(shape) / np.sqrt(shape[-1])
        for i, (name, shape) in enumerate(shapes.items())
    }
