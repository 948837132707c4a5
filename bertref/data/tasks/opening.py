"""Opens a data set of the catalogue: a folder with its files under their published names, or files that are named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from ...errors import InputError
from .catalogue import DataSetInfo, Layout, data_set_info
from .conll import WordColumns, token_part
from .examples import DataSet, Part
from .glue import glue_part, glue_parts
from .notes import Notes
from .published import find_part_files
from .squad import squad_part
from .swag import choice_part
from .tables import TABLES, TableFormat
from .text_folders import folder_part, folder_parts
from .text_tables import Columns, text_part
from .xnli import xnli_part, xnli_parts


@dataclass(frozen=True)
class ReadingOptions:
    """How files are read, as far as they don't say it themselves.

    `columns` of a table of texts, `form`: a table's delimiter and header, `words`: the columns of a column file,
    `language` of XNLI, `unlabelled`: whether texts to learn from may lack a label; `notes`: who is told what was left
    out or moved.
    """

    columns: Columns = field(default_factory=Columns)
    form: TableFormat = field(default_factory=TableFormat)
    words: WordColumns = field(default_factory=WordColumns)
    language: str = "en"
    unlabelled: bool = False
    notes: Notes | None = None


class ColumnOptions(Protocol):
    """What a person says of files: names of columns, or numbers from 1 where there are no names."""

    @property
    def text(self) -> str | None: ...
    @property
    def pair(self) -> str | None: ...
    @property
    def label(self) -> str | None: ...
    @property
    def group(self) -> str | None: ...
    @property
    def delimiter(self) -> str | None: ...
    @property
    def header(self) -> bool: ...


def reading_of(info: DataSetInfo, options: ColumnOptions, notes: Notes | None) -> ReadingOptions:
    """How the files of a data set are read. Of column files `text` and `label` are the numbers of the words' column and
    of the labels'.

    Raises `InputError` for an option that says nothing about files of this layout.
    """
    given = {name: getattr(options, name) for name in ("text", "pair", "label", "group", "delimiter")}
    given["no-header"] = None if options.header else True
    for name, value in given.items():
        if value is not None and name not in _SAID[info.layout]:
            raise InputError(f"--{name} says nothing about the files of {info.name}; leave it out")
    if info.layout == "columns":
        word, label = _column("text", options.text), _column("label", options.label)
        if label == (word or 1):
            raise InputError(f"the words and the labels are one column, {label}; name two (--text, --label)")
        return ReadingOptions(words=WordColumns(word or 1, label), notes=notes)
    columns = Columns(options.text, options.pair, options.label, options.group)
    return ReadingOptions(columns=columns, form=TableFormat(options.delimiter, header=options.header), notes=notes)


_SAID: dict[Layout, tuple[str, ...]] = {
    "texts": ("text", "pair", "label", "group", "delimiter", "no-header"), "columns": ("text", "label"),
    "choices": ("delimiter",), "reviews": (), "glue": (), "xnli": (), "squad": (),
}  # fmt: skip
"""Layout -> the options that say how it is read."""


def _column(name: str, given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or given == "0":
        raise InputError(f"--{name} is {given!r}; the columns of a column file are numbered from 1")
    return int(given)


class _Reader(NamedTuple):
    """Of one layout: the parts in a folder, and one part from its file."""

    folder: Callable[[Path, DataSetInfo, ReadingOptions], dict[str, Part]]
    file: Callable[[str, Path, DataSetInfo, ReadingOptions], Part]


def open_data_set(
    name: str,
    path: Path | None = None,
    *,
    dev: Path | None = None,
    test: Path | None = None,
    reading: ReadingOptions | None = None,
) -> DataSet:
    """The data set, or the data of a kind of task, at `path`: a folder, or the file of the part "train".

    `dev` and `test` are files that replace what the folder has under these names. Raises `InputError` for an unknown
    name, a path that does not exist, a folder without any of the files, and for what the first row of a file shows;
    everything else when a part is read.
    """
    info, how = data_set_info(name), reading or ReadingOptions()
    reader = _READERS[info.layout]
    parts: dict[str, Part] = {}
    if path is not None and path.is_dir():
        parts = reader.folder(path, info, how)
    named = {"train": None if path is None or path.is_dir() else path, "dev": dev, "test": test}
    for part, file in named.items():
        if file is not None:
            if not file.exists():
                raise InputError(f"{file}: no such file or folder")
            if file.is_dir() and not (info.kind == "classification" and info.layout in ("texts", "reviews")):
                raise InputError(f"{file}: is a folder; the file of the {part} part is needed")
            parts[part] = reader.file(part, file, info, how)
    if not parts:
        raise InputError(f"no data given for {info.name}; name a folder or a file")
    return DataSet(info.kind, parts, info.labels)


def _names(endings: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The usual names of the parts' files."""
    stems = {"train": ("train",), "dev": ("dev", "valid", "validation", "val", "eval"), "test": ("test",)}
    return {part: tuple(f"{stem}{end}" for stem in known for end in endings) for part, known in stems.items()}


_TABLES = _names(TABLES)
_CHOICES = _names([end for end in TABLES if end != ".txt"])
_COLUMNS = _names([".txt", ".conll", ".bio", ".iob", ".tsv"])
_REUTERS = {"train": "eng.train", "dev": "eng.testa", "test": "eng.testb"}
_SQUAD: dict[str, dict[str, tuple[str, ...]]] = {
    "squad": {part: (f"{part}-v1.1*.json", f"{part}.json") for part in _TABLES},
    "squad2": {part: (f"{part}-v2.0*.json", f"{part}.json") for part in _TABLES},
    "question-answering": {part: (f"{part}*.json",) for part in _TABLES},
}


def _named_files(
    names: Mapping[str, Sequence[str]], folder: Path, info: DataSetInfo, how: ReadingOptions
) -> dict[str, Part]:
    read = _READERS[info.layout].file
    return {part: read(part, file, info, how) for part, file in find_part_files(folder, names).items()}


def _texts_folder(folder: Path, info: DataSetInfo, how: ReadingOptions) -> dict[str, Part]:
    """Tables of the usual names, or else a folder for each label."""
    tables = {name + packed for names in _TABLES.values() for name in names for packed in ("", ".gz")}
    if info.kind == "classification" and not any(path.name in tables for path in folder.iterdir()):
        return folder_parts(folder)
    return _named_files(_TABLES, folder, info, how)


def _texts_file(part: str, path: Path, info: DataSetInfo, how: ReadingOptions) -> Part:
    if path.is_dir():
        return folder_part(part, path)
    labelled = _is_labelled(part) and not (how.unlabelled and part == "train")
    return text_part(part, path, info.kind, how.columns, how.form, labelled=labelled)


def _columns_folder(folder: Path, info: DataSetInfo, how: ReadingOptions) -> dict[str, Part]:
    names: dict[str, tuple[str, ...]] = {part: (*_COLUMNS[part], reuters) for part, reuters in _REUTERS.items()}
    return _named_files(names, folder, info, how)


def _is_labelled(part: str) -> bool:
    """Whether each example of a part needs its label."""
    return not part.startswith("test")


_READERS: dict[Layout, _Reader] = {
    "texts": _Reader(_texts_folder, _texts_file),
    "reviews": _Reader(
        lambda folder, info, how: folder_parts(folder),
        lambda part, path, info, how: folder_part(part, path),
    ),
    "glue": _Reader(
        lambda folder, info, how: glue_parts(info.name, folder, how.notes),
        lambda part, path, info, how: glue_part(info.name, part, path, how.notes),
    ),
    "xnli": _Reader(
        lambda folder, info, how: xnli_parts(folder, how.language),
        lambda part, path, info, how: xnli_part(part, path, how.language),
    ),
    "squad": _Reader(
        lambda folder, info, how: _named_files(_SQUAD[info.name], folder, info, how),
        lambda part, path, info, how: squad_part(
            part, path, how.notes, training=part == "train", answered=info.name == "squad"
        ),
    ),
    "choices": _Reader(
        lambda folder, info, how: _named_files(_CHOICES, folder, info, how),
        lambda part, path, info, how: choice_part(part, path, how.form, labelled=_is_labelled(part)),
    ),
    "columns": _Reader(
        _columns_folder,
        lambda part, path, info, how: token_part(part, path, how.words, labelled=_is_labelled(part)),
    ),
}
