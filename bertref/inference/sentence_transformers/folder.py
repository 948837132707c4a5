"""What a folder of sentence-transformers holds beside the encoder, for whoever saves that encoder anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from ...checkpoint.raw import outside
from ...errors import InputError
from .modules import model_folder_of, modules_of

ROOT_FILES = ("modules.json", "config_sentence_transformers.json")
ENCODER_FILE = "sentence_bert_config.json"


def encoder_place(folder: Path) -> Path:
    """Where the encoder lies, relative to the folder: "." or, as an example, "0_Transformer"."""
    return model_folder_of(folder).relative_to(folder)


def files_beside(folder: Path) -> list[Path]:
    """The files that are to be kept, relative to the folder: the list of modules, the settings, and whatever lies in
    the folders of the modules behind the encoder. Nothing for a folder of another kind, or for a file.

    Raises `InputError` for a link that leads outside: a stranger's folder must not fetch files of the user's.
    """
    if not folder.is_dir():
        return []
    named = [folder / name for name in ROOT_FILES]
    named.append(model_folder_of(folder) / ENCODER_FILE)
    found = [path for path in (*named, *_module_files(folder)) if path.is_file()]
    for path in found:
        target = outside(folder, path)
        if target is not None:
            raise InputError(f"{path}: is a link to {target}, outside the folder; refused")
    return [path.relative_to(folder) for path in found]


def copy_beside(source: Path, target: Path) -> None:
    """Copies `files_beside(source)` into the folder `target`."""
    for path in files_beside(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)


def _module_files(folder: Path) -> Iterator[Path]:
    if not (folder / "modules.json").is_file():
        return
    encoder = model_folder_of(folder)
    for _, module in modules_of(folder)[1:]:
        if module not in (folder, encoder) and module.is_dir():
            yield from sorted(module.rglob("*"))
