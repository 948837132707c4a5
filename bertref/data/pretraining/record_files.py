"""Folders of finished examples: where their records lie, and the folder that `prepare --format tfrecord` makes.

A folder with a file of records (`tfrecord.is_record_file`) is a folder of records, and nothing else in it is text to
learn from: not its `vocab.txt` either.

    vocab.txt                                the vocabulary of all records; or tokenizer.json, of RoBERTa's and its like
    tokenizer_config.json                    whether it is lower-cased, and the like (version 0.1.0 wrote none)
    pretraining-00000-of-00008.tfrecord ...  examples to learn from
    held-out/                                examples of other documents, to evaluate on

Held-out examples stand in a folder of their own, so that whoever reads "every record file of this folder" doesn't learn
from them. Records themselves are never divided: every sentence stands in several of them, with other masks.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...plumbing.files import write_folder
from ...text import LIBRARY, Tokenizer, Vocab
from .corpus import OPTIONS, VOCAB, Corpus, vocab_in
from .original import original_batches
from .pipeline import split_documents
from .text_files import TEXT, ending
from .tfrecord import is_record_file
from .tfrecord_data import write_tfrecords

HELD_OUT = "held-out"
"""The folder of held-out records, inside the folder of those to learn from."""


def is_records(path: str | Path) -> bool:
    """Whether a path is a file of records or a folder with such files."""
    path = Path(path)
    return bool(_in_folder(path)) if path.is_dir() else is_record_file(path)


def record_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files of records that files and folders stand for: paths as given, a folder's files by name.

    Raises `InputError` for a path that has none, and where a folder holds a file both plain and packed.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not is_records(path):
            raise InputError(f"{path}: holds no TFRecord file, but others do; give only one kind of corpus")
        found += _in_folder(path) if path.is_dir() else [path]
    names = {str(path) for path in found}
    twice = next((path for path in found if f"{path}.gz" in names), None)
    if twice:
        raise InputError(f"{twice}: lies beside {twice.name}.gz; remove one, or the same examples would be read twice")
    return found


def _in_folder(folder: Path) -> list[Path]:
    """Its own files of records; those of folders in it are not."""
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if ending(path) not in TEXT and is_record_file(path))


def held_out_files(files: Sequence[Path]) -> list[Path]:
    """The held-out records that belong to files of records: those in the folder `held-out` beside them."""
    folders = dict.fromkeys(file.parent / HELD_OUT for file in files)
    return [path for folder in folders if folder.is_dir() for path in _in_folder(folder)]


def vocab_of(files: Sequence[Path], given: str | None = None) -> Vocab:
    """The vocabulary that was `given`, else the one beside the records, with the tokens that pre-training needs."""
    vocab = Tokenizer.open(given).vocab if given else vocab_beside(files)
    if vocab is None:
        raise InputError(f"{files[0].parent}: has no {VOCAB}; name the vocabulary of the records with --vocab")
    vocab.require_specials()
    return vocab


def vocab_beside(files: Sequence[Path]) -> Vocab | None:
    """The vocabulary that lies beside files of records, if there is one; a folder `held-out` has that above it.

    Raises `InputError` if the files' folders have different ones.
    """
    found = [vocab_in(folder) for folder in _folders(files) if _has_vocab(folder)]
    other = next((vocab for vocab in found if vocab.sha256 != found[0].sha256), None)
    if other:
        raise InputError(f"{other.source}: another vocabulary than {found[0].source}; the records of a run share one")
    return found[0] if found else None


def _has_vocab(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (VOCAB, LIBRARY))


def _folders(files: Sequence[Path]) -> list[Path]:
    """Where a vocabulary may lie beside the records."""
    return list(dict.fromkeys(file.parent.parent if file.parent.name == HELD_OUT else file.parent for file in files))


def tokenizer_beside(files: Sequence[Path], vocab: Vocab) -> Tokenizer | None:
    """One for the vocabulary with the options of the tokenizer that made the records, where they lie beside them.

    Raises `InputError` if the folders' options differ.
    """
    folders = [folder for folder in _folders(files) if _has_vocab(folder) and (folder / OPTIONS).is_file()]
    found = [Tokenizer.from_pretrained(folder) for folder in folders]
    differs = (each.options != found[0].options for each in found)
    other = next((folder for folder, different in zip(folders, differs, strict=True) if different), None)
    if other:
        raise InputError(
            f"{other / OPTIONS}: another tokenizer than {folders[0] / OPTIONS}; the records of a run share one"
        )
    if not found or found[0].vocab.notation.style != "wordpiece":
        return found[0] if found else None
    return Tokenizer(vocab, **found[0].options)


def write_records(
    corpus: Corpus, out: str | Path, *, files: int = 1, held_out: float | None = None, **rules: Any
) -> dict[str, int]:
    """Makes the folder `out` with the original's instances of a corpus; returns how many examples it holds.

    files     how many files the examples to learn from are written to
    held_out  share of the text, in whole documents, of which the examples are written to the folder `held-out` (once,
              with the masks of one pass); second segments never come from the other side
    rules     those of `original_batches`

    Raises `InputError` if `out` exists, for an option out of its range, and if there is nothing to hold out.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"{out}: exists; choose another --out")
    learnt = held = None
    if held_out:
        learnt, held = split_documents(corpus, held_out, rules.get("random_seed", 0))
        if not len(held):
            raise InputError("--held-out: the corpus is a single document, and only whole ones are held out")
    counts: dict[str, int] = {}
    tokenizer = corpus.tokenizer

    def fill(folder: Path) -> None:
        counts["examples"] = write_tfrecords(_names(folder, files), original_batches(corpus, documents=learnt, **rules))
        if held is not None:
            once = {**rules, "dupe_factor": 1}
            names = _names(folder / HELD_OUT, 1)
            counts["held_out_examples"] = write_tfrecords(names, original_batches(corpus, documents=held, **once))
        tokenizer.save_pretrained(folder)

    write_folder(out, fill)
    return counts


def _names(folder: Path, files: int) -> list[Path]:
    return [folder / f"pretraining-{number:05}-of-{files:05}.tfrecord" for number in range(files)]
