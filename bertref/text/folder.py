"""A tokenizer's files in a model's folder, as Hugging Face has them.

`vocab.txt`              one token a line; what Google's releases have, too
`tokenizer_config.json`  do_lower_case, strip_accents, tokenize_chinese_chars; not in Google's releases
`tokenizer.json`         the `tokenizers` library's form of both

Added tokens stand in these and in two more files (see `declared`).

Reading takes the vocabulary from `vocab.txt` or from `tokenizer.json`, which must agree; each option from
`tokenizer_config.json`, else from `tokenizer.json`, else the default (which is uncased, as in transformers).
Where no file says whether text is lower-cased, the folder's name may (see `case`); where one does, the name must
not contradict it.

A folder that asks for something which is not BERT's tokenizer is refused, for it would open and give wrong ids.
"""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..plumbing.files import write_file
from .basic import CONTROL_CATEGORIES
from .case import check_case, lower_case_of
from .declared import ADDED, CONFIG, DECODER, LIBRARY, SPECIAL, with_declared
from .notation import CONTINUES
from .vocab import SPECIAL_TOKENS, UNK, Vocab, load_vocab

BERT_CLASSES = frozenset(
    f"{name}Tokenizer{fast}" for name in ("Bert", "DistilBert", "Electra") for fast in ("", "Fast")
)
"""Tokenizers of transformers that are BERT's."""
SPECIAL_NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
CONFIG_OPTIONS = {
    "do_lower_case": "lower_case",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "tokenize_chinese_chars",
}
NORMALIZER_OPTIONS = {
    "lowercase": "lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}
OWN_KEY = "bertref_tokenizer"
OWN_OPTIONS = ("max_chars_per_word", "control")
"""In `tokenizer_config.json`: the options that transformers has no name for."""


def read_folder(folder: Path) -> tuple[Vocab, dict[str, Any]]:
    """The vocabulary of a folder and the options for `Tokenizer`.

    Raises `InputError` if there is no vocabulary, a file is damaged, two contradict each other, or the folder
    holds another kind of tokenizer.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; a model's folder with vocab.txt or tokenizer.json is expected"
        )
    config_path, library_path, vocab_path = (folder / name for name in (CONFIG, LIBRARY, "vocab.txt"))
    files = {name: read_json(folder / name) for name in (CONFIG, LIBRARY, ADDED, SPECIAL) if (folder / name).exists()}
    config, library = files.get(CONFIG, {}), files.get(LIBRARY)
    _check_config(config, config_path, plain=library is None)
    _check_specials(files.get(SPECIAL, {}), folder / SPECIAL)
    if library is None and not vocab_path.exists():
        raise InputError(
            f"{folder}: neither vocab.txt nor tokenizer.json in it; a model's vocabulary is needed"
        )
    vocab = load_vocab(vocab_path) if vocab_path.exists() else _library_vocab(library or {}, library_path)
    options = {} if library is None else _library_options(library, library_path)
    if library is not None and vocab_path.exists():
        _check_same(vocab, _library_vocab(library, library_path), folder)
    options |= _config_options(config, config_path)
    return with_declared(vocab, files, str(folder)), options | _case_option(options, folder.resolve())


def _check_same(vocab: Vocab, other: Vocab, folder: Path) -> None:
    """Refuses two vocabularies that differ: other programs read the other one."""
    if vocab.tokens != other.tokens:
        pairs = zip_longest(vocab.tokens, other.tokens)
        at, (ours, theirs) = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
        raise InputError(
            f"{folder}: vocab.txt and tokenizer.json differ: token {at} is {ours!r} in one and {theirs!r} in the "
            "other; remove the one that does not belong to the model"
        )


def _case_option(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the folder's name says of lower-casing where no file does; `InputError` where they contradict."""
    if "lower_case" in options:
        check_case(options["lower_case"], folder)
        return {}
    lower_case = lower_case_of(folder)
    return {} if lower_case is None else {"lower_case": lower_case}


def _checked(options: dict[str, Any], path: Path) -> dict[str, Any]:
    """The options of a file, or `InputError` naming the first that has a value of the wrong kind."""
    for name, value in options.items():
        if name == "max_chars_per_word":
            holds, expected = isinstance(value, int) and value is not True and value > 0, "a positive integer"
        elif name == "control":
            holds, expected = value in list(CONTROL_CATEGORIES), "one of " + ", ".join(CONTROL_CATEGORIES)
        else:
            holds = isinstance(value, bool) or (name == "strip_accents" and value is None)
            expected = "true or false"
        if not holds:
            raise InputError(f"{path}: {name} is {value!r}; it must be {expected}")
    return options


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a file; `InputError` if it can't be read or is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a JSON object is expected, not {type(values).__name__}")
    return values


def _check_config(config: dict[str, Any], path: Path, *, plain: bool) -> None:
    """Refuses what is not BERT's; `plain`: no `tokenizer.json` says what a general class stands for."""
    kind = config.get("tokenizer_class")
    general = () if plain else ("PreTrainedTokenizerFast", "TokenizersBackend")
    if kind is not None and kind not in BERT_CLASSES and kind not in general:
        raise InputError(f"{path}: tokenizer_class {kind} is not BERT's tokenizer, so its ids would be wrong")
    _check_specials(config, path)
    for name, allowed in {
        "do_basic_tokenize": (True, None), "never_split": ([], None), "split_special_tokens": (False, None)
    }.items():  # fmt: skip
        if config.get(name) not in allowed:
            raise InputError(f"{path}: {name} = {config[name]!r} is not supported")


def _check_specials(values: dict[str, Any], path: Path) -> None:
    """Refuses another spelling of [CLS] and its like."""
    for name, expected in zip(SPECIAL_NAMES, SPECIAL_TOKENS, strict=True):
        given = values.get(name, expected)
        content = given.get("content") if isinstance(given, dict) else given
        if content not in (expected, None):
            raise InputError(f"{path}: {name} is {content!r}; only {expected} is supported")


def _library_vocab(library: dict[str, Any], path: Path) -> Vocab:
    model = library.get("model") or {}
    ids = model.get("vocab")
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(ids, dict):
        raise InputError(f"{path}: its model is {model.get('type')!r} and not WordPiece, which BERT has")
    if sorted(ids.values()) != list(range(len(ids))):
        raise InputError(f"{path}: the ids of its {len(ids)} tokens are not 0 to {len(ids) - 1}")
    return Vocab(tuple(sorted(ids, key=ids.__getitem__)), source=str(path))


def _library_options(library: dict[str, Any], path: Path) -> dict[str, Any]:
    """The options in a `tokenizer.json`; refuses one that is put together otherwise than BERT's."""
    model = library.get("model") or {}
    normalizer = library.get("normalizer") or {}
    parts = {
        "model.type": (model.get("type", "WordPiece"), "WordPiece"),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix", CONTINUES), CONTINUES),
        "model.unk_token": (model.get("unk_token", UNK), UNK),
        "normalizer.type": (normalizer.get("type"), "BertNormalizer"),
        "normalizer.clean_text": (normalizer.get("clean_text", True), True),
        "pre_tokenizer.type": ((library.get("pre_tokenizer") or {}).get("type"), "BertPreTokenizer"),
    }
    for name, (given, expected) in parts.items():
        if given != expected:
            raise InputError(f"{path}: {name} is {given!r}; BERT's tokenizer has {expected!r}")
    options = {
        ours: normalizer[theirs] for theirs, ours in NORMALIZER_OPTIONS.items() if theirs in normalizer
    }
    if "max_input_chars_per_word" in model:
        options["max_chars_per_word"] = model["max_input_chars_per_word"]
    return _checked(options, path)


def _config_options(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """The options in a `tokenizer_config.json`."""
    own = config.get(OWN_KEY, {})
    unknown = sorted(set(own) - set(OWN_OPTIONS)) if isinstance(own, dict) else [repr(own)]
    if unknown:
        raise InputError(
            f"{path}: {OWN_KEY} has {', '.join(unknown)}; it may only have {', '.join(OWN_OPTIONS)}"
        )
    options = {ours: config[theirs] for theirs, ours in CONFIG_OPTIONS.items() if theirs in config}
    return _checked(options | own, path)


def write_folder(folder: Path, vocab: Vocab, options: dict[str, Any], max_length: int | None) -> None:
    """Writes `vocab.txt` and `tokenizer_config.json`, each replaced whole; `InputError` if they can't be."""
    specials = {
        name: token for name, token in zip(SPECIAL_NAMES, SPECIAL_TOKENS, strict=True) if token in vocab.ids
    }
    config = {
        "tokenizer_class": "BertTokenizer",
        **{theirs: options[ours] for theirs, ours in CONFIG_OPTIONS.items()},
        **specials,
        **({} if max_length is None else {"model_max_length": max_length}),
        **({DECODER: _decoder(vocab)} if vocab.added else {}),
        OWN_KEY: {name: options[name] for name in OWN_OPTIONS},
    }
    vocab.save(folder / "vocab.txt")
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    write_file(folder / CONFIG, text.encode("utf-8"))


def _decoder(vocab: Vocab) -> dict[str, dict[str, Any]]:
    """The added tokens and the special ones, by id, as transformers has them."""
    tokens = {token.id: token._asdict() for token in vocab.found_whole(specials=True)}
    return {str(number): {k: v for k, v in tokens[number].items() if k != "id"} for number in sorted(tokens)}
