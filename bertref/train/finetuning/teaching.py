"""A teacher in a fine-tuning run: what it says of every unit, worked out once and kept, and the objective that listens.

The teacher reads the student's ids where both have one tokenizer. Where they have not, it reads the texts by itself,
which gives logits for whole texts and choices only: those of tokens and spans would stand at other pieces.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ...checkpoint import SavedModel
from ...data.batch import Batch
from ...data.tasks.examples import Part
from ...data.tasks.taught import taught
from ...errors import InputError
from ...heads import HEADS
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
from .teacher_answers import LoadedTeacher, Logits, ask, is_by_token

PROJECTION_STEP = 2**40
"""Where the random numbers of the projection are: beyond those of any parameter of a model."""


def loaded_teacher(
    saved: SavedModel, options: FinetuneOptions, kind: Kind, kind_name: str, labels: tuple[str, ...],
    tokenizer: Tokenizer, ops: OpSet, *, packed: bool,
) -> LoadedTeacher:  # fmt: skip
    """The model of --teacher on the device. Raises `InputError` where it can't teach this task: another head, other
    labels, or another vocabulary where ids must be the same."""
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
    if not (folder / "teacher.json").is_file():
        own = replace(store, padding=saved.config.pad_token_id)
        read = own if teacher.same_tokenizer else _own_store(teacher, features, part)
        if len(read) != len(store):
            raise InputError("the teacher's tokenizer makes another number of sequences of the texts")
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = folder.with_name(f"{folder.name}.part")
        found = ask(teacher, kind, read, place, say)
        write_folder(folder, lambda temporary: _write(temporary, found))
        place.unlink(missing_ok=True)
    shape = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))["shape"]
    return TaughtFeatures(features, np.memmap(folder / "logits.bin", "<f8", "r").reshape(shape), is_by_token(kind))


def _write(folder: Path, found: Logits) -> None:
    (folder / "logits.bin").write_bytes(found.tobytes())
    write_file(folder / "teacher.json", json.dumps({"shape": found.shape}).encode())


def _own_store(teacher: LoadedTeacher, features: Features, part: Part) -> FeatureStore:
    """The part as the teacher's own tokenizer has it."""
    units = list(features.units(part.read(), teacher.saved.tokenizer, {}))
    sequences = [sequence for unit in units for sequence in unit.sequences]
    lengths = [len(sequence.input_ids) for sequence in sequences]
    second = [types.index(1) if 1 in types else len(types) for _, types in sequences]
    ids = np.array([i for sequence in sequences for i in sequence.input_ids], np.int32)
    bounds = np.cumsum([0, *lengths])
    return FeatureStore(features.width, ids, np.array(second, np.int32), bounds, {}, {}, {},
                        teacher.saved.config.pad_token_id)  # fmt: skip


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
