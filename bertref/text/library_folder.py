"""A folder whose tokenizer the `tokenizers` library runs: RoBERTa's, XLM-R's, CamemBERT's or ALBERT's.

`tokenizer.json` says all there is; without it the model's own files do (see `families`), and the rest is as the family
has it. `tokenizer_config.json` (or `special_tokens_map.json`) names the special tokens; on add_prefix_space and
trim_offsets it has the last word, as in transformers. Added tokens are declared as in BERT's folders (see `declared`).
Where no file says how <mask> is found, it takes the white space before it, as in the published models: it stands for a
word with the space before it. (transformers 5 leaves the space where there is no `tokenizer.json`.)

What is saved is `tokenizer.json` and `tokenizer_config.json`. The latter names the family's class if transformers'
class would cut texts just as the file says, else the general one, which obeys the file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .added import AddedToken
from .byte_level import byte_level_model, byte_level_parts, read_merges
from .declared import ADDED, CONFIG, LIBRARY, SPECIAL, with_declared
from .families import BY_FILE, FAMILIES, MERGES, SENTENCEPIECE, VOCAB_JSON, Family, named_family
from .folder import read_json
from .library_file import (
    ROLES,
    Json,
    check_charsmaps,
    library_of,
    model_type,
    notation_of,
    ordered,
    pieces_of,
    steps_of,
    style_of,
    vocab_of,
)
from .library_pieces import LibraryFile
from .notation import Notation
from .sentencepiece import read_sentencepiece
from .unigram import has_prefix_space, is_lower_casing, keeps_accents, metaspace, unigram_steps
from .vocab import Vocab

GENERAL = "PreTrainedTokenizerFast"
ROBERTAS = "RobertaProcessing"
SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
MODEL_CONFIG, BERTS = "config.json", "vocab.txt"


def is_of_library(folder: Path) -> bool:
    """Whether a folder's tokenizer is one of these; else it is BERT's, or none."""
    if (folder / LIBRARY).is_file():
        return model_type(read_json(folder / LIBRARY)) != "WordPiece"
    return not (folder / BERTS).is_file() and any((folder / family.file).is_file() for family in FAMILIES)


def read_library_folder(folder: Path) -> LibraryFile:
    """What the folder's files say.

    Raises `InputError` if one is missing or damaged, two contradict each other, or the tokenizer is of another kind.
    """
    files = {name: read_json(folder / name) for name in (CONFIG, LIBRARY, ADDED, SPECIAL) if (folder / name).is_file()}
    config = files.get(CONFIG, {})
    model = read_json(folder / MODEL_CONFIG) if (folder / MODEL_CONFIG).is_file() else {}
    family = named_family(config, model)
    named = {**_named(files.get(SPECIAL, {})), **_named(config)}
    if LIBRARY in files:
        library, where = files[LIBRARY], str(folder / LIBRARY)
        style_of(library, where)
        if (folder / BERTS).is_file():
            raise InputError(f"{folder}: its {LIBRARY} holds no word pieces, but {BERTS} does; remove the wrong one")
        _check_same(library, folder)
        library = _with_spaces(library, config, folder / CONFIG)
    else:
        family = family or _of_files(folder)
        library, where = _built(folder, family, config, named), str(folder / family.file)
        files[LIBRARY] = library
    _check_case(library, config, folder / CONFIG)
    notation = notation_of(library, named, family.notation if family else None, where)
    return library_file(library, notation, files, where, family)


def library_file(
    library: Json, notation: Notation, files: Mapping[str, Json], where: str, family: Family | None
) -> LibraryFile:
    """A tokenizer with the added tokens that the files declare, in the vocabulary and in the library's form."""
    check_charsmaps(library, where)
    vocab = with_declared(vocab_of(library, notation, where), files, where)
    known = {token.content for token in vocab.added}
    usual = [_usual(vocab, name) for name in dict.fromkeys(notation.names) if name in vocab.ids and name not in known]
    vocab = vocab.extended(sorted((*vocab.added, *usual), key=lambda token: token.id), where)
    added = [{"id": token.id, **{k: v for k, v in token._asdict().items() if k != "id"}} for token in vocab.added]
    library = {**library, "truncation": None, "padding": None, "added_tokens": added}
    options = options_of(library)
    usual_family = family if family and family.notation == notation and _is_usual(library, options, family) else None
    return LibraryFile(library, vocab, config_of(options, usual_family), options)


def options_of(library: Json) -> dict[str, Any]:
    """What a `tokenizer.json` says of lower-casing, the space before a text, and places."""
    steps, processor = steps_of(library.get("pre_tokenizer")), library.get("post_processor") or {}
    if any(step["type"] == "ByteLevel" for step in steps):
        space = next(step for step in steps if step["type"] == "ByteLevel").get("add_prefix_space", True)
        trims = processor.get("type") == ROBERTAS and processor.get("trim_offsets", True)
        return {"model": "BPE", "lower_case": is_lower_casing(library), "add_prefix_space": space,
                "trim_offsets": trims}  # fmt: skip
    prefix = has_prefix_space(next(step for step in steps if step["type"] == "Metaspace"))
    return {"model": "Unigram", "lower_case": is_lower_casing(library), "keep_accents": keeps_accents(library),
            "add_prefix_space": prefix}  # fmt: skip


def config_of(options: Mapping[str, Any], family: Family | None) -> dict[str, Any]:
    """`tokenizer_config.json` but for the special tokens. `family` is the one whose class is named, None: the general
    one."""
    space = {name: options[name] for name in ("add_prefix_space", "trim_offsets") if name in options}
    if family is None:
        return {"tokenizer_class": GENERAL, **space}
    if family.name == "ALBERT":
        space |= {"do_lower_case": options["lower_case"], "keep_accents": options["keep_accents"]}
    return {"tokenizer_class": family.tokenizer_class, **space}


def _is_usual(library: Json, options: Mapping[str, Any], family: Family) -> bool:
    """Whether the family's class of transformers would put the tokenizer together just so."""
    if options["model"] == "BPE":
        (step, *more) = steps_of(library.get("pre_tokenizer"))
        return family.name == "RoBERTa" and not (more or library.get("normalizer")) and step.get("use_regex", True)
    if family.unknown is None or library["model"].get("unk_id") != family.unknown:
        return False
    steps = steps_of(library.get("normalizer"))
    charsmap = next((step["precompiled_charsmap"] for step in steps if step["type"] == "Precompiled"), None)
    case = {name: options[name] for name in ("lower_case", "keep_accents", "add_prefix_space")}
    made = unigram_steps(charsmap, **case, quotes=family.name == "ALBERT")
    return all(_steps(made, part) == _steps(library, part) for part in made)


def _steps(library: Json, part: str) -> list[Json]:
    """A part's steps as the library writes them today, without one that changes nothing before words are cut at white
    space: in files of transformers 4 several spaces become one."""
    found = [metaspace(has_prefix_space(step), step.get("split", True)) if step["type"] == "Metaspace" else step
             for step in steps_of(library.get(part))]  # fmt: skip
    return [step for step in found if step != SPACES]


def _built(folder: Path, family: Family, config: Mapping[str, Any], named: Mapping[str, str]) -> Json:
    """A `tokenizer.json` for the model's own files."""
    notation = family.notation.called(named)
    path = folder / family.file
    if not path.is_file():
        raise InputError(f"{path}: no such file; {family.name}'s tokenizer needs it, or a {LIBRARY}")
    if family.name == "RoBERTa":
        vocab = read_json(path)
        pieces = Vocab(ordered(vocab, str(path)), str(path), notation=notation)
        ids = {name: pieces.id_of(name) for name in (notation.cls, notation.sep)}
        space = {"add_prefix_space": False, "trim_offsets": True} | _given(config, "add_prefix_space", "trim_offsets")
        parts = byte_level_parts(notation, ids, **_flags(space, folder / CONFIG))
        return library_of(parts, byte_level_model(vocab, read_merges(folder / MERGES)))
    given = _given(config, "do_lower_case", "keep_accents", "add_prefix_space")
    flags = _flags({"do_lower_case": True, "keep_accents": False, "add_prefix_space": True} | given, folder / CONFIG)
    return read_sentencepiece(path, family, notation, {"lower_case": flags.pop("do_lower_case"), **flags})


def _of_files(folder: Path) -> Family:
    """The family that the files tell by themselves."""
    found = [BY_FILE[name] for name in BY_FILE if (folder / name).is_file()]
    if (folder / SENTENCEPIECE).is_file():
        raise InputError(
            f"{folder}: its {SENTENCEPIECE} may be XLM-R's or CamemBERT's, whose ids differ; name tokenizer_class in "
            f"{CONFIG}, or model_type in {MODEL_CONFIG}"
        )
    if len(found) != 1:
        raise InputError(f"{folder}: {' and '.join(BY_FILE)} are of different tokenizers; remove the wrong one")
    return found[0]


def _with_spaces(library: Json, config: Mapping[str, Any], path: Path) -> Json:
    """The file of a byte-level BPE with what the config says of add_prefix_space and trim_offsets."""
    given = _flags(_given(config, "add_prefix_space", "trim_offsets"), path)
    if model_type(library) != "BPE":
        return library
    processor: Any = library.get("post_processor")
    prefix = _given(given, "add_prefix_space")
    steps = [{**step, **prefix} if step["type"] == "ByteLevel" else step for step in steps_of(library["pre_tokenizer"])]
    return {
        **library,
        "pre_tokenizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps},
        "post_processor": {**processor, **given} if processor and processor.get("type") == ROBERTAS else processor,
    }


def _check_same(library: Json, folder: Path) -> None:
    """Refuses a `vocab.json` or `merges.txt` that differs from `tokenizer.json`: other programs read that one."""
    path = folder / VOCAB_JSON
    if model_type(library) != "BPE" or not path.is_file():
        return
    where = f"{folder}: {LIBRARY} and"
    if ordered(read_json(path), str(path)) != pieces_of(library, str(folder / LIBRARY)):
        raise InputError(f"{where} {path.name} have different vocabularies; remove the one that is not the model's")
    theirs = [pair.split(" ") if isinstance(pair, str) else list(pair) for pair in library["model"].get("merges") or []]
    if (folder / MERGES).is_file() and read_merges(folder / MERGES) != theirs:
        raise InputError(f"{where} {MERGES} have different merges; remove the one that is not the model's")


def _check_case(library: Json, config: Mapping[str, Any], path: Path) -> None:
    """Refuses a config whose do_lower_case contradicts the file."""
    given, has = config.get("do_lower_case"), is_lower_casing(library)
    if isinstance(given, bool) and given != has:
        raise InputError(
            f"{path}: do_lower_case is {json.dumps(given)}, but {LIBRARY} {'has' if has else 'does not have'} the step "
            "Lowercase; correct the wrong one"
        )


def _given(config: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: config[name] for name in names if name in config}


def _flags(values: dict[str, Any], path: Path) -> dict[str, bool]:
    wrong = next((name for name, value in values.items() if not isinstance(value, bool)), None)
    if wrong:
        raise InputError(f"{path}: {wrong} is {values[wrong]!r}; it must be true or false")
    return values


def _named(values: Mapping[str, Any]) -> dict[str, str]:
    """Role -> token, as `cls_token` and its like give it."""
    found = {}
    for role in ROLES:
        value = values.get(f"{role}_token")
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[role] = content
    return found


def _usual(vocab: Vocab, name: str) -> AddedToken:
    """A special token as the published models have it."""
    return vocab.own(name)._replace(lstrip=name == vocab.notation.mask)
