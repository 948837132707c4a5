"""What a part knows of where it runs."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .results import Results


class PartFailed(Exception):
    """Says in a line what a part found wrong; what it found is in the results."""


@dataclass(frozen=True)
class Context:
    """`dry`: on the CPU, at sizes of a moment; `seconds`: of the part's process, from now."""

    part: str
    out: Path
    dry: bool = False
    seconds: float = 60.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def backend(self) -> str:
        """The backend of the kernels; dry, one that is everywhere."""
        return "torch:cpu" if self.dry else "cupy"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.begun)

    def report(self, **values: Any) -> None:
        """A line of results."""
        Results(self.out).add(self.part, **values)

    def found(self, part: str) -> list[dict[str, Any]]:
        """What another part has reported."""
        return Results(self.out).of(part)
