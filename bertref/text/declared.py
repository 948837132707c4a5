"""Which added tokens the files of a model's folder declare, as transformers reads them.

`tokenizer_config.json`    added_tokens_decoder: {"30522": {"content": "[ENT1]", "lstrip": false, ...}}; a special token
                           each in pad_token, eos_token, ...; more in additional_special_tokens or extra_special_tokens
`tokenizer.json`           added_tokens: [{"id": 30522, "content": "[ENT1]", ...}]
`added_tokens.json`        {"[ENT1]": 30522}, as older releases wrote it; read where there is no added_tokens_decoder
`special_tokens_map.json`  special tokens as in `tokenizer_config.json`; read where there is no added_tokens_decoder

A token that several files declare is that of added_tokens_decoder, else of `tokenizer.json`. One without an id has that
of its spelling in the vocabulary, or the next behind all others. A token of `added_tokens.json` is found as it is spelt
if it is special, else normalised; as in transformers 5, one that only `special_tokens_map.json` lists under
additional_special_tokens counts as the latter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from .added import AddedToken
from .vocab import Vocab

CONFIG, LIBRARY, ADDED, SPECIAL = (
    "tokenizer_config.json", "tokenizer.json", "added_tokens.json", "special_tokens_map.json"
)  # fmt: skip
DECODER = "added_tokens_decoder"
LISTS = ADDITIONAL, _ = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
IGNORED = ("id", "__type")


class _Declared(NamedTuple):
    """A token whose id may not be known yet (None); `described` if a file has its settings, not its spelling alone."""

    token: AddedToken
    id: int | None
    described: bool


def with_declared(vocab: Vocab, files: Mapping[str, dict[str, Any]], folder: str) -> Vocab:
    """The vocabulary with the added tokens that the files (name -> parsed JSON) declare.

    Raises `InputError` for what can't be read as a token and for ids that don't fit the vocabulary.
    """
    try:
        found = _by_spelling(files, vocab.notation.names)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    tokens = [one for one in found.values() if not _is_usual(one, vocab)]
    return vocab.extended(_numbered(tokens, vocab), f"{folder}: {', '.join(files)}") if tokens else vocab


def _by_spelling(files: Mapping[str, dict[str, Any]], names: Sequence[str]) -> dict[str, _Declared]:
    """Every token that a file declares; `names` are special ones."""
    config, library = files.get(CONFIG, {}), _unique(_library(files.get(LIBRARY, {})), LIBRARY)
    special = [*_special(config, CONFIG)]
    if DECODER in config:
        with_id = library | _unique(_decoder(config), CONFIG)
    else:
        named = files.get(SPECIAL, {})
        listed = _special({name: value for name, value in named.items() if name != ADDITIONAL}, SPECIAL)
        exact = {*names, *(one.token.content for one in [*special, *listed])}
        special += _special(named, SPECIAL)
        with_id = _unique(_old(files.get(ADDED, {}), exact), ADDED) | library
    return {one.token.content: one for one in special} | with_id


def _is_usual(found: _Declared, vocab: Vocab) -> bool:
    """[CLS] or its like as every vocabulary has it, or named where this one doesn't have it.

    Vocabularies that are no word pieces have <mask> otherwise (see `library_folder`), where no file describes it.
    """
    token = found.token
    number = vocab.ids.get(token.content)
    if token.content not in vocab.notation.names or found.id not in (None, number):
        return False
    if number is None:
        return True
    told = found.described and vocab.notation.style != "wordpiece"
    return not told and token._replace(id=number) == vocab.own(token.content)


def _numbered(tokens: list[_Declared], vocab: Vocab) -> list[AddedToken]:
    """The tokens by id, then those without one."""
    known = sorted((found for found in tokens if found.id is not None), key=lambda found: found.id or 0)
    behind = len(vocab) + sum(found.token.content not in vocab.ids for found in known)
    numbered = [found.token._replace(id=found.id) for found in known if found.id is not None]
    for token in (found.token for found in tokens if found.id is None):
        number = vocab.ids.get(token.content, behind)
        behind += number == behind
        numbered.append(token._replace(id=number))
    return numbered


def _decoder(config: Mapping[str, Any]) -> Iterator[_Declared]:
    values = config.get(DECODER) or {}
    if not isinstance(values, dict):
        raise InputError(f"{CONFIG}: {DECODER} is {values!r}; an object of ids and tokens is expected")
    return (_token(value, f"{CONFIG}: {DECODER}, {key}", id=key) for key, value in values.items())


def _old(values: Mapping[str, Any], exact: set[str]) -> Iterator[_Declared]:
    """`added_tokens.json`; `exact` are those that are found as they are spelt."""
    for content, number in values.items():
        special = content in exact
        values = {"content": content, "special": special, "normalized": not special}
        yield _token(values, ADDED, id=number)._replace(described=False)


def _library(library: Mapping[str, Any]) -> Iterator[_Declared]:
    values = library.get("added_tokens") or []
    if not isinstance(values, list):
        raise InputError(f"{LIBRARY}: added_tokens is {values!r}; a list of tokens is expected")
    for value in values:
        where = f"{LIBRARY}: added_tokens"
        yield _token(value, where, id=value.get("id") if isinstance(value, dict) else None)


def _special(values: Mapping[str, Any], file: str) -> Iterator[_Declared]:
    """The special tokens that a file names: one each (cls_token), and in lists or objects."""
    for key, value in values.items():
        if key.endswith("_token") and isinstance(value, str | dict):
            yield _token(value, f"{file}: {key}", special=True)
    for key in LISTS:
        many = values.get(key) or []
        if not isinstance(many, list | dict):
            raise InputError(f"{file}: {key} is {many!r}; a list of tokens is expected")
        for value in many.values() if isinstance(many, dict) else many:
            yield _token(value, f"{file}: {key}", special=True)


def _unique(tokens: Iterator[_Declared], file: str) -> dict[str, _Declared]:
    found: dict[str, _Declared] = {}
    for one in tokens:
        if found.setdefault(one.token.content, one) != one:
            raise InputError(f"{file}: has the added token {one.token.content!r} twice; every spelling has one id")
    return found


def _token(value: Any, where: str, *, id: Any = None, special: bool = False) -> _Declared:
    """A token spelt as a string, or as an object with its settings; `special`: whatever the object says of that."""
    values = {"content": value, "special": True} if isinstance(value, str) else value
    if not isinstance(values, dict) or not isinstance(values.get("content"), str):
        raise InputError(f"{where}: {value!r} is no token; a string or an object with content is expected")
    unknown = sorted(set(values) - {"content", *FLAGS, *IGNORED})
    flags = {name: values[name] for name in FLAGS if name in values}
    wrong = [name for name, flag in flags.items() if not isinstance(flag, bool)]
    if unknown or wrong:
        raise InputError(f"{where}: {(unknown + wrong)[0]} of {values['content']!r} is not understood")
    if id is not None and not (isinstance(id, int | str) and str(id).isdecimal()):
        raise InputError(f"{where}: {id!r} is no id; a number is expected")
    flags["special"] = special or flags.get("special", False)
    flags.setdefault("normalized", not flags["special"])
    token = AddedToken(values["content"], -1, **flags)
    return _Declared(token, None if id is None else int(id), isinstance(value, dict))
