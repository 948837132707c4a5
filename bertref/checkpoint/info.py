"""What can be said of a saved model without running it: for `bertref info`."""

from dataclasses import asdict, replace
from glob import escape
from pathlib import Path
from typing import Any

from ..config import DIALECTS, Numerics, numerics_to_dict
from ..errors import InputError
from ..heads import HEADS, labelled
from ..params import count
from ..text import Tokenizer
from ..text.vocab import MASK
from .coverage import Coverage
from .load import describe, scores_of
from .plan import plan
from .source import Source
from .sources import folder_of, open_source


def model_info(
    path: str | Path, *, dialect: Numerics | None = None, config: str | Path | None = None
) -> dict[str, Any]:
    """Config, dialect, parameters by part, memory, heads, vocabulary, and what can be done with the model.

    Reads names and shapes only: a TensorFlow index without its data will do. Missing and unused tensors are listed,
    not refused. Raises `CheckpointError` and `InputError` as `load_model` does.
    """
    path = Path(path)
    source = open_source(path)
    described = describe(source, path, dialect=dialect, config=config)
    found = plan(source, described.config, described.architectures)
    coverage = replace(found.coverage, notes=(*described.notes, *found.coverage.notes))
    complete = not found.coverage.missing
    sizes = _sizes(found.coverage)
    vocabulary = _vocabulary(folder_of(path))
    mask = vocabulary["mask"] if vocabulary else MASK
    uses = [f"{use.purpose}: bertref predict --model {path} {use.example.replace(MASK, mask)}" for use in
            (HEADS[head].use for head in found.heads)]  # fmt: skip
    return {
        "path": str(path),
        "file": str(source.path),
        "format": source.format,
        "config": asdict(described.config),
        "architectures": list(described.architectures),
        "numerics": numerics_to_dict(described.numerics),
        "dialect": dialect_name(described.numerics),
        "heads": list(found.heads),
        "labels": list(described.labels) if labelled(found.heads) else [],
        "activation": scores_of(described, found.heads, found.num_labels),
        "parameters": {"total": sum(sizes.values()), **sizes},
        "bytes": _memory(source, found.coverage, sum(sizes.values())),
        "optimizer_state": bool(found.moments),
        "vocabulary": vocabulary,
        "coverage": coverage.to_dict(),
        "uses": [*uses, f"look inside: bertref features --model {path} --file texts.txt --format npz --out out.npz"]
        if complete and _has_weights(source) else [],
    }  # fmt: skip


def dialect_name(numerics: Numerics) -> str:
    """The preset that this is, or "custom"."""
    return next((name for name, preset in DIALECTS.items() if preset == numerics), "custom")


def _has_weights(source: Source) -> bool:
    """Whether the weights are there, and not a TensorFlow index alone."""
    path = Path(source.path)
    return path.exists() or any(path.parent.glob(f"{escape(path.name)}.data-*"))


def _sizes(coverage: Coverage) -> dict[str, int]:
    """How many numbers each part of the model holds."""
    parts = {"embeddings": "bert.embeddings.", "encoder": "bert.encoder.", "pooler": "bert.pooler.", "heads": ""}
    sizes = dict.fromkeys(parts, 0)
    for row in coverage.rows:
        if row.parameter and row.read and "tied" not in row.actions:
            part = next(part for part, prefix in parts.items() if row.parameter.startswith(prefix))
            sizes[part] += count({row.parameter: row.shape})
    return sizes


def _memory(source: Source, coverage: Coverage, parameters: int) -> dict[str, int]:
    """Bytes in the file; to predict and to train (weights, gradients, two moments) in float32, activations apart."""
    widths = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
    stored = sum(
        widths.get(source.entries[row.stored].dtype, 0) * count({"": row.shape})
        for row in coverage.rows
        if row.stored and row.parameter
    )
    return {"stored": stored, "predict_float32": 4 * parameters, "train_float32": 16 * parameters}


def _vocabulary(folder: Path) -> dict[str, Any] | None:
    try:
        tokenizer = Tokenizer.from_pretrained(folder)
    except InputError:
        return None
    vocab = tokenizer.vocab
    added = [token for token in vocab.added if token.id >= len(vocab.pieces) or token.id not in vocab.special_ids]
    return {
        "tokens": len(vocab), "added": len(added), "kind": vocab.notation.style, "mask": vocab.notation.mask,
        **tokenizer.options,
    }  # fmt: skip
