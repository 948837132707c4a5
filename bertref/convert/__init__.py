"""From one format of weights to another, with a row for every tensor and, on request, a proof in numbers.

conversion = convert("uncased_L-12_H-768_A-12", "bert-base-uncased")
print(conversion.coverage.summary())
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..checkpoint import Coverage, SavedModel, load_model
from ..checkpoint.folder import describe_model, describe_tensorflow, save_tensorflow, save_weights
from ..checkpoint.plan import class_of
from ..checkpoint.sources import folder_of
from ..checkpoint.training import save_state
from ..config import Numerics
from ..errors import InputError
from ..heads import DECODER
from ..inference.sentence_transformers.folder import copy_beside, encoder_place, files_beside
from ..inference.sentence_transformers.modules import modules_of, tokenizer_limit
from ..plumbing.files import write_folder
from ..variants import BERT
from .proof import Proof, prove

Format = Literal["huggingface", "tensorflow", "onnx"]

__all__ = ["Conversion", "Format", "Proof", "convert", "format_of"]


@dataclass(frozen=True)
class Conversion:
    """What was done. `proofs` is empty unless they were asked for; `notes` say what could not be carried over, and
    `unproved` why a proof that was asked for could not be made."""

    source: Path
    target: Path
    format: Format
    model: SavedModel
    proofs: tuple[Proof, ...]
    notes: tuple[str, ...]
    unproved: tuple[str, ...] = ()

    @property
    def coverage(self) -> Coverage:
        return self.model.coverage

    @property
    def proved(self) -> bool:
        """Whether no proof failed."""
        return all(proof.holds for proof in self.proofs)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: Format | None = None,
    allow: Sequence[str] = (),
    dialect: Numerics | None = None,
    optimizer: bool = False,
    config: str | Path | None = None,
    check: bool = False,
    dtype: str | None = None,
) -> Conversion:
    """Reads `source` as `bertref.checkpoint.load_model` does and writes `target`, a new folder or a new `.onnx` file.

    What a folder of sentence-transformers holds beside the encoder is kept, in the same places: the new folder makes
    the same vectors of texts.

    to         the format; None: onnx for a name that ends so, else huggingface
    optimizer  carry the optimiser's state over as well (not into ONNX)
    check      run the model against independent readers of the source and of the target, see `proof`
    dtype      "float16": weights of a Hugging Face folder are rounded to that on the disk, half the size; they are
               computed with in float32 all the same

    Raises `CheckpointError` for a source that can't be read, `InputError` for a target that exists or can't hold it.
    """
    source, target = Path(source), Path(target)
    kind = to or format_of(target)
    if kind not in get_args(Format):
        raise InputError(f"convert: no format {kind!r}; there are {', '.join(get_args(Format))}")
    if target.exists():
        raise InputError(f"{target}: exists already; choose another name or remove it")
    if optimizer and kind == "onnx":
        raise InputError(f"{target}: an ONNX file holds no optimiser state; leave --optimizer out")
    if dtype is not None and (dtype != "float16" or kind != "huggingface" or optimizer):
        raise InputError(f"{target}: only the weights of a Hugging Face folder are stored in float16, and nothing else")
    place = encoder_place(source)
    saved = load_model(source / place, dialect=dialect, allow=allow, optimizer=optimizer, config=config)
    if kind == "tensorflow" and saved.config.variant is not BERT:
        raise InputError(
            f"{target}: the original's checkpoints hold BERT alone, and this is {saved.config.variant.title}; convert "
            "it to a Hugging Face folder or to ONNX"
        )
    if dtype:
        saved = replace(saved, params=_rounded(saved.params, source))
    notes = _onnx(saved, source, target) if kind == "onnx" else _folder(saved, source, target, kind, dtype)
    proofs: list[Proof] = []
    unproved: list[str] = []
    if check:
        proofs, unproved, remarks = prove(saved, target if kind == "onnx" else target / place, kind)
        notes = (*notes, *remarks)
        if not proofs and not unproved:
            unproved = [f"{target}: nothing was proved: no independent reader of TensorFlow checkpoints is at hand"]
    return Conversion(source, target, kind, saved, tuple(proofs), notes, tuple(unproved))


def format_of(target: Path) -> Format:
    """The format that a target's name asks for."""
    return "onnx" if target.suffix == ".onnx" else "huggingface"


def _rounded(params: dict[str, Any], source: Path) -> dict[str, Any]:
    """The values that float16 has for the parameters, in float32. Raises `InputError` for one that is too large."""
    with np.errstate(over="ignore"):
        found = {name: array.astype(np.float16).astype(np.float32) for name, array in params.items()}
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise InputError(f"{source}: {name} holds values beyond those of float16 (65,504); leave --dtype out")
    return found


def _folder(saved: SavedModel, source: Path, target: Path, kind: Format, dtype: str | None) -> tuple[str, ...]:
    """A model's folder in one of the two formats, with what lay beside the encoder in the source."""
    architecture = class_of(saved.heads)
    place = encoder_place(source)

    def fill(folder: Path) -> None:
        copy_beside(source, folder)
        (folder / place).mkdir(parents=True, exist_ok=True)
        if kind == "huggingface":
            _huggingface(saved, folder / place, architecture, dtype)
        else:
            _tensorflow(saved, folder / place, architecture)

    write_folder(target, fill)
    kept = files_beside(source)
    return (f"kept beside the encoder: {', '.join(map(str, kept))}",) if kept else ()


def _huggingface(saved: SavedModel, folder: Path, architecture: str, dtype: str | None) -> None:
    describe_model(
        folder, saved.config, saved.numerics, saved.tokenizer, architecture=architecture,
        tied=DECODER not in saved.params, labels=saved.labels, problem_type=saved.problem_type,
        activation=saved.activation, max_length=_max_length(saved), windows=saved.windows,
        dtype="float32" if dtype else None,
    )  # fmt: skip
    if saved.moments is not None:
        save_state(folder, saved.moments, saved.step or 0)
    save_weights(folder, {n: a.astype(dtype) for n, a in saved.params.items()} if dtype else saved.params)


def _tensorflow(saved: SavedModel, folder: Path, architecture: str) -> None:
    describe_tensorflow(
        folder, saved.config, saved.numerics, saved.tokenizer, architecture=architecture, labels=saved.labels,
        problem_type=saved.problem_type, activation=saved.activation, max_length=_max_length(saved),
    )  # fmt: skip
    save_tensorflow(folder, saved.params, saved.moments, saved.step)


def _max_length(saved: SavedModel) -> int:
    """The longest text that the source's tokenizer announces, or that the model reads if that is less."""
    limit = saved.config.max_length
    return min(tokenizer_limit(folder_of(saved.path)) or limit, limit)


def _onnx(saved: SavedModel, source: Path, target: Path) -> tuple[str, ...]:
    from ..onnx_export import export

    pooled = ("pooler",) if "bert.pooler.dense.weight" in saved.params else ()
    labels = saved.labels or None
    export(saved.params, saved.config, saved.numerics, target, heads=(*saved.heads, *pooled), labels=labels)
    notes = ["an ONNX file holds no vocabulary: keep the tokenizer's files beside it"]
    if (source / "modules.json").is_file() and len(modules_of(source)) > 1:
        notes.append("an ONNX file holds the encoder alone: what modules.json puts behind it is left to the reader")
    if saved.activation is not None:
        notes.append(f"an ONNX file holds the logits: its scores are the {saved.activation} of them")
    return tuple(notes)
