"""What `convert` and `info` draw: coverage, proofs, and a model's card."""

import re
from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from ..config import BertConfig
from .render import message, out

MARKS = {"missing": "bold red", "unused": "yellow", "untied": "yellow"}
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_LAYER = re.compile(r"bert\.encoder\.layer\.([0-9]+)\.")


def coverage(found: Any, *, tensors: bool = False) -> None:
    """A line for each part of the model (or, with `tensors`, for each tensor), one for whatever is missing or unused,
    and the sum. `found` is a `checkpoint.Coverage`, or its JSON form."""
    found = found if isinstance(found, dict) else found.to_dict()
    rows = found["tensors"]
    out.print(f"{found['file']} ({found['format']})", markup=False, style="bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    if tensors:
        for row in rows:
            name = row["parameter"] or row["stored"]
            stored = f"as {row['stored']}" if row["stored"] not in (None, name) else ""
            table.add_row(name, _shape(row), row["dtype"], Text(", ".join(row["actions"]), _style(row)), stored)
    else:
        for name, part in _parts(rows).items():
            table.add_row(name, f"{len(part)} tensors", f"{sum(map(_size, part)):,}", _done(part))
        for row in rows:
            if _style(row):
                name = row["parameter"] or row["stored"]
                table.add_row(Text(name, _style(row)), _shape(row), "", Text(", ".join(row["actions"]), _style(row)))
    out.print(table)
    for note in found["notes"]:
        message(note)
    out.print(_summary(found["counts"]), markup=False)


def conversion(done: Any) -> None:
    """Where the result is, and what each independent reader said of it."""
    for proof in done.proofs:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), show_header=False)
        for name, ratio in proof.ratios.items():
            table.add_row(name, f"{ratio:.2f} times the rounding of float32")
        verdict = Text("right", "green") if proof.holds else Text("WRONG", "bold red")
        out.print(Text(f"{proof.reader} reads {proof.file}: ").append(verdict))
        out.print(table)
    for note in done.notes:
        message(note)
    out.print(f"written: {done.target}", markup=False)
    for reason in done.unproved:
        message(reason)


def info(found: dict[str, Any], *, tensors: bool = False) -> None:
    """A model's card."""
    coverage(found["coverage"], tensors=tensors)
    config, parameters, memory = found["config"], found["parameters"], found["bytes"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    network = BertConfig(**config)
    if network.variant.title != "BERT":
        table.add_row("network", network.variant.title)
    layers = f"{network.num_hidden_layers} layers"
    if network.stored_layers != network.num_hidden_layers:
        layers += f" that share the parameters of {network.stored_layers}"
    width = f" (embeddings {network.embedding_size})" if network.embedding_size else ""
    table.add_row("size", f"{layers}, hidden {config['hidden_size']}{width}, "
                  f"{config['num_attention_heads']} heads, intermediate {config['intermediate_size']}, "
                  f"{config['max_position_embeddings']} positions")  # fmt: skip
    parts = ", ".join(f"{name} {count:,}" for name, count in parameters.items() if name != "total" and count)
    table.add_row("parameters", f"{parameters['total']:,} ({parts})")
    table.add_row("memory", f"{_bytes(memory['stored'])} stored; in float32 {_bytes(memory['predict_float32'])} to "
                  f"predict, {_bytes(memory['train_float32'])} to train, activations apart")  # fmt: skip
    numerics = found["numerics"]
    gelu = f"{config['hidden_act']} ({numerics['gelu']})"
    table.add_row("dialect", f"{found['dialect']}: {gelu}, epsilon {numerics['layer_norm_eps']:g}, "
                  f"mask {numerics['mask_value']}")  # fmt: skip
    table.add_row("heads", ", ".join(found["heads"]) or "none: the bare encoder")
    if found["labels"]:
        shown = ", ".join(found["labels"][:8]) + (", ..." if len(found["labels"]) > 8 else "")
        table.add_row("labels", f"{len(found['labels'])}: {shown}")
    if found["activation"]:
        table.add_row("scores", f"{found['activation']} of the logits, as a cross-encoder's")
    settings = {network.variant.head_dropout.get(head) for head in found["heads"]} - {None}
    rates = sorted({config[setting] for setting in settings} - {None})
    if rates:
        table.add_row("dropout", f"{', '.join(f'{rate:g}' for rate in rates)} in front of the classifier")
    table.add_row("vocabulary", _vocabulary(found["vocabulary"]))
    table.add_row("optimiser", "state of every parameter" if found["optimizer_state"] else "no state")
    out.print(table)
    for use in found["uses"]:
        out.print(f"  {use}", markup=False)


def _parts(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The tensors that were read by part of the model; layers of which the same can be said share a line."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if _style(row) and "untied" not in row["actions"]:
            continue
        name = row["parameter"]
        if name is None:
            parts.setdefault("optimiser's state" if "optimizer" in row["actions"] else "buffers", []).append(row)
        elif _LAYER.match(name):
            parts.setdefault("bert.encoder", []).append(row)
        else:
            parts.setdefault(".".join(name.split(".")[: 2 if name.count(".") > 1 else 1]), []).append(row)
    return parts


def _done(part: list[dict[str, Any]]) -> str:
    actions = [a for row in part for a in row["actions"] if a not in ("optimizer", "buffer")]
    return ", ".join(f"{actions.count(a)} {a}" for a in dict.fromkeys(actions)) or "as they are"


def _summary(counts: dict[str, int]) -> str:
    return f"{counts['read']} tensors read; {counts.get('missing', 0)} missing, {counts.get('unused', 0)} unused"


def _style(row: dict[str, Any]) -> str:
    return next((style for action, style in MARKS.items() if action in row["actions"]), "")


def _shape(row: dict[str, Any]) -> str:
    return " x ".join(map(str, row["shape"])) or "scalar"


def _size(row: dict[str, Any]) -> int:
    size = 1
    for length in row["shape"]:
        size *= length
    return size


def _bytes(count: int) -> str:
    unit, name = next((unit for unit in UNITS if count >= unit[0]), (1, "bytes"))
    return f"{count / unit:.4g} {name}"


def _vocabulary(found: dict[str, Any] | None) -> str:
    if not found:
        return "none in this folder"
    added = f" ({found['added']} added)" if found["added"] else ""
    kind = "" if found["kind"] == "wordpiece" else f"{found['kind']}, "
    return f"{found['tokens']:,} tokens{added}, {kind}{'lower-cased' if found['lower_case'] else 'cased'}"
