"""Texts in folders, a folder for each label, a file for each text: the layout of the Large Movie Review data.

The folder of the data holds parts (`train`, `test`, ...) or the folders of the labels at once, which are then the
part "train". A folder `unsup`, that data's reviews without a rating, is no label. Labels and files come in the order of
their names. Where `urls_LABEL.txt` lies beside the folders, its line N (from 0) is the address of what file
`N_RATING.txt` is about: the text's group is the film's number in it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...errors import InputError
from ..pretraining.text_files import IN_FOLDERS, ending, read_lines
from .examples import Part, TextExample

PARTS = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}
"""The name of a folder -> the part that is in it."""
UNLABELLED = {"unsup"}
FILM = re.compile(r"tt\d+")
NUMBER = re.compile(r"(\d+)_")


def folder_parts(path: Path) -> dict[str, Part]:
    """The parts that are in a folder, by name. Raises `InputError` if one has no texts for at least two labels."""
    inner = path / "aclImdb"
    root = inner if inner.is_dir() else path
    folders = {part: root / name for name, part in PARTS.items() if (root / name).is_dir()}
    return {part: folder_part(part, folder) for part, folder in (folders or {"train": root}).items()}


def folder_part(name: str, folder: Path) -> Part:
    """One part: the folders in `folder` are its labels.

    Raises `InputError` at once for fewer than two labels or a label without texts; and while it is read for an empty
    text or a file that is not UTF-8.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; a folder with one for each label is needed")
    names = [name for name in _names(folder) if name not in UNLABELLED and (folder / name).is_dir()]
    labels = {name: folder / name for name in names}
    if len(labels) < 2:
        raise InputError(f"{folder}: a folder of texts for each of at least two labels is needed; found: "
                         f"{', '.join(labels) or 'none'}")  # fmt: skip
    texts = {label: _texts(inner) for label, inner in labels.items()}
    urls = {label: path for label in labels if (path := folder / f"urls_{label}.txt").is_file()}

    def read() -> Iterator[TextExample]:
        for label, paths in texts.items():
            films = _films(urls[label]) if label in urls else {}
            for path in paths:
                group = _film(path, films, urls[label]) if label in urls else None
                yield TextExample(f"{folder.name}/{label}/{path.name}", _content(path), label=label, group=group)

    files = (*urls.values(), *(path for paths in texts.values() for path in paths))
    return Part(name, files, read, {"labels": sorted(labels)})


def _names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def _texts(folder: Path) -> list[Path]:
    inner = [name for name in _names(folder) if (folder / name).is_dir()]
    if inner:
        raise InputError(f"{folder}: holds folders ({', '.join(inner[:5])}) where texts are expected; a part is a "
                         "folder with one of texts for each label")  # fmt: skip
    found = [folder / name for name in _names(folder) if ending(Path(name)) in IN_FOLDERS]
    if not found:
        raise InputError(f"{folder}: no texts in it ({' '.join(filter(None, IN_FOLDERS))}, .gz of these, or no ending)")
    return found


def _content(path: Path) -> str:
    text = "\n".join(read_lines(path))
    if not text.strip():
        raise InputError(f"{path}: the text is empty; remove the file")
    return text


def _films(path: Path) -> Mapping[int, str]:
    films = {}
    for number, line in enumerate(read_lines(path)):
        film = FILM.search(line)
        films[number] = film[0] if film else line.strip()
    return films


def _film(path: Path, films: Mapping[int, str], urls: Path) -> str:
    number = NUMBER.match(path.name)
    if number is None or int(number[1]) not in films:
        raise InputError(f"{path}: {urls.name} has no line for it; a file is called N_RATING.txt, N a line from 0")
    return films[int(number[1])]
