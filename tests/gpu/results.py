"""What the parts find, one JSON line each, on the disk before anything else is begun."""

import json
import os
from pathlib import Path
from typing import Any

FILE = "results.jsonl"


class Results:
    """`results.jsonl` in a folder; several processes may append to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def add(self, part: str, **values: Any) -> None:
        """A line, written through to the disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def of(self, part: str) -> list[dict[str, Any]]:
        """What a part has found so far; a line that a killed process left unfinished is left out."""
        found = []
        for line in self.path.read_text(encoding="utf-8").split("\n") if self.path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["part"] == part:
                found.append(record)
        return found
