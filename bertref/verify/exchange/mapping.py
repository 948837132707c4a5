"""The mapping file: how another program's names and layouts become the canonical ones. TOML, or the same as JSON.

    weights = "in,out"                    # its dense weights, so their gradients and updates, are (in, out)
    ignore = ["debug.*"]                  # tensors that are not to be judged

    [tensors]                             # its name = the canonical name
    "h.{layer}.q" = "layer.{layer}.query"
    "d_{parameter}" = "grad:{parameter}"

    [tensors."h.{layer}.qkv"]             # three in one
    to = ["layer.{layer}.query", "layer.{layer}.key", "layer.{layer}.value"]
    do = ["packed"]                       # before it is split
    split = "heads"

A `{word}` in a name stands for any text, `{layer}` for a number; on the right it is put in. Where several lines fit a
name, the one with most characters outside of words is meant, wherever in the file it stands; two with as many are an
error. Names that are canonical already need no line. `do` is a list of steps, done in order:

    "transpose"             the last two axes change places
    "heads_first"           (B,A,S,D), or packed (A,T,D), to (B,S,H) or (T,H)
    "packed"                rows of the T real tokens (T,...), example after example, to (B,S,...)
    "predictions"           rows of the N real predictions (N,...) to (B,P,...)
    "gather"                all positions (B,S,...) to the masked ones (B,P,...)
    {permute = [0, 2, 1]}   the axes in another order
    {reshape = ["B", "S", "H"]}   numbers, letters of the case's sizes (B S T P N H A D I V), -1 for what is left over
    {scale = 0.125}         multiplied by a number

`split` cuts a fused tensor into as many equal parts as `to` names: "blocks" [q|k|v] one after the other, or "heads",
as Megatron has it: for each head its q, k and v. It cuts the last axis of activations and the first one of weights
and biases (after `weights` has turned them to (out, in)); `axis` says otherwise.
"""

import fnmatch
import json
import re
import tomllib
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from .transforms import TransformStep, parse_step

_WORD = re.compile(r"\{(\w+)\}")
_RULE = {"to", "do", "split", "axis"}


@dataclass(frozen=True)
class Rule:
    """What becomes of one tensor of the other program."""

    to: tuple[str, ...]
    do: tuple[TransformStep, ...] = ()
    split: str | None = None
    axis: int | None = None


@dataclass(frozen=True)
class Mapping:
    """A mapping file that was read."""

    where: str = "mapping"
    rules: Table[str, Rule] = field(default_factory=dict)
    in_out: bool = False
    ignore: tuple[str, ...] = ()

    def ignores(self, name: str) -> bool:
        """Whether the file says to leave the tensor out."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignore)

    def find(self, name: str) -> Rule | None:
        """The rule for a name of the other program, with the words put in. Raises `InputError` where two fit alike."""
        if name in self.rules:
            return self.rules[name]
        matches = {pattern: re.fullmatch(_regex(pattern), name) for pattern in self.rules if "{" in pattern}
        fitting = sorted((-_literal(pattern), pattern) for pattern, match in matches.items() if match)
        if not fitting:
            return None
        if len(fitting) > 1 and fitting[0][0] == fitting[1][0]:
            one, two = sorted((fitting[0][1], fitting[1][1]), key=list(self.rules).index)
            raise InputError(
                f"{self.where}: {name!r} fits {one!r} and {two!r} equally well; write a line for the name itself, or "
                "ignore it"
            )
        pattern = fitting[0][1]
        match, rule = matches[pattern], self.rules[pattern]
        assert match is not None
        return Rule(tuple(_filled(part, match) for part in rule.to), rule.do, rule.split, rule.axis)


def _literal(pattern: str) -> int:
    """How many characters stand outside of words."""
    return len(_WORD.sub("", pattern))


def _filled(name: str, match: re.Match[str]) -> str:
    return _WORD.sub(lambda word: match[word[1]], name)


def _regex(pattern: str) -> str:
    parts, seen = [], set()
    for literal, word in re.findall(r"([^{]*)(?:\{(\w+)\})?", pattern):
        parts.append(re.escape(literal))
        if word:
            parts.append(f"(?P={word})" if word in seen else f"(?P<{word}>{'[0-9]+' if word == 'layer' else '.+'})")
            seen.add(word)
    return "".join(parts)


def read_mapping(path: str | Path) -> Mapping:
    """Reads a mapping file. Raises `InputError` naming the file and the line's name that can't be understood."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a mapping file (TOML or JSON) is expected") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}); TOML, or JSON in a file named .json, is expected") from None
    return parse_mapping(values, str(path))


def parse_mapping(values: Any, where: str = "mapping") -> Mapping:
    """The same from what the file holds."""
    if not isinstance(values, dict) or not isinstance(values.get("tensors", {}), dict):
        raise InputError(f"{where}: a table with [tensors] is expected")
    if unknown := sorted(set(values) - {"version", "weights", "ignore", "tensors"}):
        raise InputError(f"{where}: unknown key {unknown[0]!r}; there are weights, ignore and [tensors]")
    if values.get("version", 1) != 1:
        raise InputError(f"{where}: version {values['version']!r}; this bertref reads version 1")
    weights = values.get("weights", "out,in")
    order = weights.replace(" ", "") if isinstance(weights, str) else weights
    if order not in ("in,out", "out,in"):
        raise InputError(f'{where}: weights is {weights!r}; it must be "in,out" or "out,in"')
    ignore = values.get("ignore", [])
    if not isinstance(ignore, list) or not all(isinstance(pattern, str) for pattern in ignore):
        raise InputError(f"{where}: ignore is {ignore!r}; a list of names, with * for any text, is expected")
    rules = {name: _rule(name, rule, f"{where}: {name!r}") for name, rule in values.get("tensors", {}).items()}
    return Mapping(where, rules, order == "in,out", tuple(ignore))


def _rule(name: str, given: Any, where: str) -> Rule:
    rule = {"to": given} if isinstance(given, str) else given
    if not isinstance(rule, dict) or "to" not in rule:
        raise InputError(f"{where}: a canonical name, or a table with `to`, is expected")
    if unknown := sorted(set(rule) - _RULE):
        raise InputError(f"{where}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_RULE))}")
    to = [rule["to"]] if isinstance(rule["to"], str) else rule["to"]
    if not isinstance(to, list) or not to or not all(isinstance(part, str) for part in to):
        raise InputError(f"{where}: `to` is {rule['to']!r}; a canonical name, or a list of them, is expected")
    split, axis, do = rule.get("split"), rule.get("axis"), rule.get("do", [])
    if split not in (None, "blocks", "heads") or (split is None) != (len(to) == 1):
        raise InputError(f'{where}: several names in `to` need split = "blocks" or "heads", and a single one none')
    if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool) or split is None):
        raise InputError(f"{where}: axis is {axis!r}; a whole number is expected, beside `split`")
    steps = tuple(parse_step(step, where) for step in (do if isinstance(do, list) else [do]))
    _check_words(name, to, where)
    return Rule(tuple(to), steps, split, axis)


def _check_words(name: str, to: list[str], where: str) -> None:
    known = set(_WORD.findall(name))
    for part in to:
        if unknown := set(_WORD.findall(part)) - known:
            raise InputError(f"{where}: {part!r} has {{{min(unknown)}}}, which its own name does not")
    if _WORD.sub("", name).count("{") + _WORD.sub("", name).count("}"):
        raise InputError(f"{where}: a brace that is not part of a {{word}}")
