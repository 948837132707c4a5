"""A corpus that is prepared in parts, by whatever starts processes: where the parts lie.

    OUT/part-2-of-8/       a corpus folder with the documents of one part (`dealing.py`); it appears when it is complete
    OUT/manifest.json      the corpus of all parts, end to end, written when the last one is there (`joining.py`)
"""

import re
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError

NAME = re.compile(r"part-([1-9]\d*)-of-([1-9]\d*)")


class CorpusPart(NamedTuple):
    """Number `number` of `total`, from 1."""

    number: int
    total: int

    @classmethod
    def read(cls, text: str) -> "CorpusPart":
        """Of "2/8". Raises `InputError` for anything else."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"--part is {text!r}; say which of how many, from 1/8 to 8/8")
        return cls(int(found[1]), int(found[2]))

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"part-{self.number}-of-{self.total}"

    def __str__(self) -> str:
        return f"part {self.number} of {self.total}"


def present(folder: Path) -> list[CorpusPart]:
    """The parts that are complete in a folder, in their order."""
    names = [NAME.fullmatch(path.name) for path in folder.glob("part-*") if path.is_dir()]
    return sorted(CorpusPart(int(name[1]), int(name[2])) for name in names if name)


def missing(folder: Path) -> list[CorpusPart]:
    """The parts that are not there, of as many as the first one says; none in a folder without parts."""
    found = present(folder)
    wanted = [CorpusPart(number, found[0].total) for number in range(1, found[0].total + 1)] if found else []
    return [part for part in wanted if part not in found]
