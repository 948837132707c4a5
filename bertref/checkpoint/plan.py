"""Which tensor of a file becomes which parameter: decided from names, shapes and types, before any data is read.

The file decides which heads there are, the config's `architectures` which there should be. A head counts only with all
its parameters; the encoder is never optional.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config import BertConfig
from ..config_keys import berts_class
from ..errors import CheckpointError
from ..heads import DECODER, HEADS, architecture_of, architectures, expanded, labelled, parameter_shapes, sharing
from ..params import POOLER
from . import names
from .coverage import Coverage, CoverageRow, is_allowed
from .names import BIAS, DECODER_BIAS, WORDS, Translation
from .source import Source, StoredTensor

MOST_LAYERS = 1000
"""Of fewer layers every tensor that a file lacks is listed."""
_FLOATS = {"float64": (), "float32": (), "float16": ("widened",), "bfloat16": ("widened",)}


@dataclass(frozen=True)
class Plan:
    """`parameters` maps canonical names to stored ones, `moments` NAME/m and NAME/v, and `step` the stored step
    counter, if there is one. `decoders` are stored copies (or not) of tied parameters. `translations` covers every
    stored name that is understood."""

    coverage: Coverage
    heads: tuple[str, ...]
    num_labels: int
    parameters: Mapping[str, str]
    moments: Mapping[str, str]
    step: str | None
    decoders: Mapping[str, str]
    translations: Mapping[str, Translation]


def plan(source: Source, config: BertConfig, classes: Sequence[str] = (), *, allow: Sequence[str] = ()) -> Plan:
    """The plan for a file. `classes` are the config's `architectures`; `allow` holds patterns of what may be missing
    or unused.

    Raises `CheckpointError` for tensors of the wrong shape or type, for two tensors that claim one parameter, and for
    more layers than can be; what is missing or unused stands in the coverage (`Coverage.require` makes an error of it).
    """
    if config.num_hidden_layers > max(MOST_LAYERS, len(source.entries)):  # before anything is listed layer by layer
        raise CheckpointError(
            f"{source.path}: the config's num_hidden_layers is {config.num_hidden_layers}, but the file holds "
            f"{len(source.entries)} tensors in all; correct the config"
        )
    translations = names.translations(source.entries, source.format, config)
    stored = _by_name(source, translations, "parameter")
    moments = {f"{name}/{kind}": found for kind in ("m", "v") for name, found in
               _by_name(source, translations, kind).items()}  # fmt: skip
    heads = _heads(stored, classes)
    if BIAS not in stored and DECODER_BIAS in stored:
        stored[BIAS] = stored.pop(DECODER_BIAS)
    rows_are_labels = labelled(heads)
    labels = source.entries[stored[rows_are_labels]].shape[:1] if rows_are_labels in stored else ()
    num_labels = labels[0] if labels and labels[0] > 0 else 2
    shapes, heads, dropped = _settled(config, heads, num_labels, stored, allow)
    rows, parameters = [], {}
    for name, shape in shapes.items():
        if name not in stored:
            rows.append(CoverageRow(name, None, shape, "", ("missing",)))
            continue
        parameters[name] = stored[name]
        rows.append(_row(source, name, stored[name], translations[stored[name]].transposed, shape))
    rows += dropped
    decoders = {name: stored[name] for name in (DECODER, DECODER_BIAS) if name in stored and "masked_lm" in heads}
    for name, copy in decoders.items():
        rows.append(_row(source, name, copy, False, shapes[WORDS if name == DECODER else BIAS]))
    used = {*parameters.values(), *decoders.values()}
    rows += _rest(source, translations, used, set(shapes), allow)
    step = next((s for s, found in translations.items() if found.kind == "step"), None)
    kept = {name: found for name, found in moments.items() if name.rpartition("/")[0] in parameters}
    coverage = Coverage(str(source.path), source.format, tuple(rows), source.notes)
    return Plan(coverage, heads, num_labels, parameters, kept, step, decoders, translations)


def _by_name(source: Source, translations: Mapping[str, Translation], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for stored, meaning in translations.items():
        if meaning.kind == kind:
            if meaning.name in found:
                raise CheckpointError(
                    f"{source.path}: {found[meaning.name]} and {stored} are both {meaning.name}; remove one of them"
                )
            found[meaning.name] = stored
    return found


def _heads(stored: Collection[str], classes: Sequence[str]) -> tuple[str, ...]:
    """The heads that the config's architecture declares, and those of which the file holds anything. Of heads whose
    parameters have the same names a file holds one: if none is declared, the first that needs a pooler where there is
    one, or that doesn't where there is none."""
    known = architectures()
    wanted = {head for name in classes for head in known.get(berts_class(name), ())}
    if {DECODER, DECODER_BIAS} & set(stored):
        wanted.add("masked_lm")
    pooled = bool(set(POOLER) & set(stored))
    for head in HEADS.values():
        rivals = sharing(head)
        if set(head.parameters) & set(stored) and not wanted & {rival.name for rival in rivals}:
            wanted.add(next((rival for rival in rivals if rival.pooler == pooled), rivals[0]).name)
    return tuple(head for head in HEADS if head in wanted)


def _settled(
    config: BertConfig, heads: tuple[str, ...], num_labels: int, stored: Mapping[str, str], allow: Sequence[str]
) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...], list[CoverageRow]]:
    """The shapes of the parameters that are expected, without the heads whose absence is allowed, which are named in
    rows of their own."""
    dropped: list[CoverageRow] = []
    while True:
        given = any(name in stored for name in POOLER)
        optional = any(name not in stored and is_allowed(name, allow) for name in POOLER)
        pooled = any(head.pooler for head in expanded(heads)) or (given and not optional)
        shapes = parameter_shapes(config, (*heads, *(("pooler",) if pooled else ())), num_labels=num_labels)
        lost = [name for name in shapes if name not in stored and is_allowed(name, allow)]
        gone = [head.name for head in expanded(heads) if set(head.parameters) & set(lost)
                or (head.pooler and set(POOLER) & set(lost))]  # fmt: skip
        if not gone:
            return shapes, heads, dropped
        for name in (name for head in gone for name in HEADS[head].parameters if name not in stored):
            dropped.append(CoverageRow(name, None, shapes[name], "", ("missing", "allowed")))
        heads = tuple(head for head in heads if head not in gone)


def _row(source: Source, name: str, stored: str, transposed: bool, shape: tuple[int, ...]) -> CoverageRow:
    entry = source.entries[stored]
    found = entry.shape[::-1] if transposed else entry.shape
    if found != shape:
        hint = "; is it transposed?" if found == shape[::-1] and len(set(shape)) > 1 else ""
        raise CheckpointError(
            f"{source.path}: {stored} has shape {entry.shape}; the config asks for "
            f"{shape[::-1] if transposed else shape}{hint}"
        )
    if entry.dtype not in _FLOATS:
        raise CheckpointError(
            f"{source.path}: {stored} holds {entry.dtype}; a parameter must hold floating-point numbers"
        )
    actions = [*(("renamed",) if stored != name else ()), *(("transposed",) if transposed else ())]
    return CoverageRow(name, stored, shape, entry.dtype, (*actions, *_FLOATS[entry.dtype]))


def _rest(
    source: Source, translations: Mapping[str, Translation], used: set[str], shapes: set[str], allow: Sequence[str]
) -> list[CoverageRow]:
    """Rows for everything in the file that is not a parameter of the model."""
    rows = []
    for stored, entry in source.entries.items():
        if stored in used:
            continue
        meaning = translations.get(stored)
        kind = meaning.kind if meaning else "parameter"
        slot = kind == "step" or (kind in ("m", "v") and meaning is not None and meaning.name in shapes)
        if slot or kind == "buffer":
            rows.append(_other(stored, entry, "optimizer" if slot else "buffer"))
            continue
        allowed = is_allowed(stored, allow) or (meaning is not None and is_allowed(meaning.name, allow))
        row = _other(stored, entry, "unused")
        rows.append(replace(row, actions=("unused", "allowed")) if allowed else row)
    return rows


def _other(stored: str, entry: StoredTensor, action: str) -> CoverageRow:
    return CoverageRow(None, stored, entry.shape, entry.dtype, (action,))


def architectures_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The `architectures` of a `config.json`, as far as they are strings."""
    found = values.get("architectures") or ()
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list | tuple) else ()


def class_of(heads: Sequence[str]) -> str:
    """Hugging Face's class for a model with these heads. A head for masked words may stand beside another one, whose
    class it is then: transformers leaves it out. Raises `CheckpointError` if there is no class."""
    found = architecture_of(heads) or architecture_of([head for head in heads if head != "masked_lm"])
    if found is None:
        raise CheckpointError(f"no class of Hugging Face's has the heads {', '.join(heads)} together; drop some")
    return found
