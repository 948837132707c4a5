"""How fast bertref is here, and how fast another library is at the same work, measured in turn in one run.

`race.race` runs a comparison and returns plain values that JSON can hold; nothing here prints.
"""

from .job import COMMANDS, PEERS, Job
from .race import race
from .sweep import sweep

__all__ = ["COMMANDS", "PEERS", "Job", "race", "sweep"]
