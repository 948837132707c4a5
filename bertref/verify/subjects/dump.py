"""Answers that lie in a folder, computed by any program in any language: `dump:DIR`."""

from collections.abc import Collection
from pathlib import Path

from ..exchange import Dump, Mapping, find_case, read_case, read_dump, read_mapping
from ..records import Answers, Case


class DumpSubject:
    """The dump is opened, and its index checked, when the subject is made; its data is read when a case is asked.

    `mapping` is a mapping file or its path (`bertref.verify.exchange.mapping`). `case_folder` is the case that the
    dump answers, if it lies around or beside the dump. Raises `InputError` for a dump that can't be read.
    """

    live = False

    def __init__(self, folder: str | Path, *, mapping: str | Path | Mapping | None = None) -> None:
        self.name = f"dump:{folder}"
        self._mapping = read_mapping(mapping) if isinstance(mapping, str | Path) else mapping
        self._dump: Dump = read_dump(folder)
        self.precision = self._dump.precision
        self.case_folder: Path | None = find_case(folder)

    @property
    def seed(self) -> int | None:
        """The seed that the dump names instead of a case."""
        return self._dump.seed

    def case(self) -> Case | None:
        """The case of `case_folder`, read; None if no case was found near the dump."""
        return None if self.case_folder is None else read_case(self.case_folder)

    def answer(self, case: Case, wanted: Collection[str] | None = None) -> Answers:
        """What the dump holds of `wanted`. Raises `InputError` as `Dump.answers` does."""
        return self._dump.answers(case, mapping=self._mapping, wanted=wanted)
