"""XNLI, MNLI's task in fifteen languages, in its published files: tab-separated, with a header, without quoting.

    part    file                                               columns
    train   XNLI-MT-1.0/multinli/multinli.train.LANGUAGE.tsv   premise, hypo, label ("contradictory" is contradiction)
    dev     XNLI-1.0/xnli.dev.tsv                              language, gold_label, sentence1, sentence2, and others
    test    XNLI-1.0/xnli.test.tsv                             the same

(Conneau et al. 2018, arXiv:1809.05053.) The files of a part may also lie in the folder itself.
"""

from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .examples import Part, TextExample
from .glue import INFERENCE
from .published import find_part_files
from .tables import TableFormat, no_column, read_rows
from .text_tables import checked_text

TAIL = "multinli.train.{}.tsv"
FILES = {
    "train": (TAIL, f"multinli/{TAIL}", f"XNLI-MT-1.0/multinli/{TAIL}"),
    "dev": ("xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv"),
    "test": ("xnli.test.tsv", "XNLI-1.0/xnli.test.tsv"),
}
_TRAINING = ("premise", "hypo", "label")
_OTHERS = ("sentence1", "sentence2", "gold_label")


def xnli_parts(path: Path, language: str = "en") -> dict[str, Part]:
    """The parts that are in a folder, of one language. Raises `InputError` if there is none."""
    names = {part: tuple(name.format(language) for name in known) for part, known in FILES.items()}
    return {part: xnli_part(part, file, language) for part, file in find_part_files(path, names).items()}


def xnli_part(name: str, path: Path, language: str = "en") -> Part:
    """One part. Raises `InputError`, when it is read, for a file in another layout or without the language."""
    return Part(name, (path,), lambda: _examples(path, language), {"language": language})


def _examples(path: Path, language: str) -> Iterator[TextExample]:
    languages: set[str] = set()
    for row in read_rows(path, TableFormat("\t", quoting=False)):
        where = f"{path}, line {row.line}"
        columns = _TRAINING if "hypo" in row.values else _OTHERS
        for column in columns:
            if column not in row.values:
                raise no_column(where, column, tuple(row.values))
        languages.add(row.values.get("language", language))
        if row.values.get("language", language) != language:
            continue
        text, pair, label = (row.values[column] for column in columns)
        label = "contradiction" if label == "contradictory" else label
        if label not in INFERENCE:
            raise InputError(f"{where}: {columns[2]!r} is {label!r}; XNLI's labels are {', '.join(INFERENCE)}")
        yield TextExample(f"{path.name}, line {row.line}", checked_text(text, columns[0], where),
                          checked_text(pair, columns[1], where), label)  # fmt: skip
    if language not in languages:
        raise InputError(f"{path}: nothing in the language {language!r}; there are {', '.join(sorted(languages))}")
