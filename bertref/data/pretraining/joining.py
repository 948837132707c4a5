"""Preparing one part of a corpus, and joining the parts when the last one is there (`parts.py`).

A part that was killed leaves nothing under its name and is made again. One that is there is not made twice.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import InputError
from ...plumbing.files import PREFIX, write_file
from ...text import Tokenizer
from .corpus import MANIFEST, read_manifest, vocabulary_files
from .dealing import fingerprint
from .documents import read_documents
from .parts import CorpusPart, missing, present
from .recognition import Sentences, TextLayout
from .shards import Counts, Progress, prepare

SETTINGS = {
    "bertref": "bertref's version", "vocabulary": "--vocab", "tokenizer": "--cased", "documents": "--documents",
    "sentences": "--sentences", "text": "the text",
}  # fmt: skip
"""Entry of a manifest -> what a person calls it."""


def prepare_part(
    paths: Sequence[str | Path],
    part: CorpusPart,
    tokenizer: Tokenizer,
    out: str | Path,
    *,
    layout: TextLayout = "auto",
    sentences: Sentences = "auto",
    progress: Progress = lambda counts: None,
    processes: int = 1,
) -> Counts:
    """Writes a part of the corpus of these texts into the folder `out`; returns the part's counts.

    Raises `InputError` as `prepare` does, and, naming it, if another part in `out` is of another number of parts, or
    was prepared with other settings or from another text.
    """
    folder = Path(out)
    if not _has_room(folder):
        raise InputError(f"{folder}: exists and holds no parts; choose another folder for the prepared corpus")
    settings = {
        "bertref": __version__, "vocabulary": tokenizer.vocab.sha256, "tokenizer": tokenizer.options,
        "documents": layout, "sentences": sentences, "text": fingerprint(paths),
    }  # fmt: skip
    settings = json.loads(json.dumps(settings))  # as the others' are read
    _must_belong_together(folder, part, settings)
    if part not in present(folder):
        documents = read_documents(paths, layout=layout, sentences=sentences, part=part)
        prepare(
            documents, tokenizer, folder / part.name, progress=progress, processes=processes,
            part={"number": part.number, "total": part.total, "settings": settings},
        )  # fmt: skip
    counts: Counts = _manifest(folder, part)["counts"]
    return counts


def join(out: str | Path) -> None:
    """Writes the manifest of the corpus whose parts are all in the folder `out`; nothing, if one is missing.

    Raises `InputError` if one was prepared with other settings than the first, or if no part has a document.
    """
    folder = Path(out)
    if missing(folder) or (folder / MANIFEST).is_file():
        return
    parts = present(folder)
    manifests = [_manifest(folder, part) for part in parts]
    _must_belong_together(folder, parts[0], manifests[0]["part"]["settings"])
    shards = [
        {**shard, "name": f"{part.name}/{shard['name']}"}
        for part, manifest in zip(parts, manifests, strict=True) for shard in manifest["shards"]
    ]  # fmt: skip
    if not shards:
        raise InputError(f"{folder}: the corpus is empty: no document gave a token")
    joined = {name: value for name, value in manifests[0].items() if name != "part"}
    joined["counts"] = {name: sum(m["counts"][name] for m in manifests) for name in manifests[0]["counts"]}
    for path in vocabulary_files(folder / parts[0].name):
        write_file(folder / path.name, path.read_bytes())
    write_file(folder / MANIFEST, (json.dumps({**joined, "shards": shards}, indent=2) + "\n").encode())
    for left in folder.glob(f"{PREFIX}*-part-*"):  # by parts that were killed
        shutil.rmtree(left, ignore_errors=True)


def _has_room(folder: Path) -> bool:
    """Whether a folder isn't there, or holds nothing but parts that are being made, or parts.

    Other processes make the folder and complete parts in between: it is looked at once, and parts that were being made
    then are seen by the second question.
    """
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    return all(name.startswith(PREFIX) for name in names) or bool(present(folder))


def _must_belong_together(folder: Path, part: CorpusPart, settings: dict[str, Any]) -> None:
    for other in present(folder):
        where = folder / other.name
        if other.total != part.total:
            raise InputError(
                f"{where}: is one of {other.total} parts, not of {part.total}; remove it, or choose another --out"
            )
        theirs = _manifest(folder, other)["part"]["settings"]
        different = [name for key, name in SETTINGS.items() if theirs.get(key) != settings[key]]
        if different:
            raise InputError(
                f"{where}: was prepared with other settings than {part} ({', '.join(different)}); prepare it again: "
                "remove its folder first"
            )


def _manifest(folder: Path, part: CorpusPart) -> dict[str, Any]:
    """Raises `InputError` if it is damaged."""
    manifest = read_manifest(folder / part.name)
    if not isinstance(manifest.get("part"), dict) or not isinstance(manifest["part"].get("settings"), dict):
        raise InputError(f"{folder / part.name}: is not a part of a prepared corpus; remove it")
    return manifest
