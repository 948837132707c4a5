"""The files of a data set in its folder, by the names under which they are published."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import InputError


def find_part_files(folder: Path, names: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """Part -> its file in `folder`: of the part's names the first that is there, plain or `.gz`; parts without one are
    left out. A name may be a pattern (`dev-v2.0*.json`), which must fit one file only.

    Raises `InputError` if no part has a file, or a pattern fits several.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = {part: found for part, known in names.items() if (found := _first(folder, known))}
    if not files:
        looked_for = ", ".join(name for known in names.values() for name in known)
        raise InputError(f"{folder}: none of the files that are looked for is in it: {looked_for}")
    return files


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    for name in names:
        fitting = sorted(path for ending in ("", ".gz") for path in folder.glob(name + ending) if path.is_file())
        if len(fitting) > 1:
            raise InputError(f"{folder}: both {fitting[0].name} and {fitting[1].name} are there; name the file to read")
        if fitting:
            return fitting[0]
    return None
