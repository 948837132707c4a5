"""How fast bertref is here, and how fast another library is at the same work, measured in turn in one run.

`race.race` runs a comparison and `sweep.sweep` many; they return plain values that JSON can hold. Nothing here prints.
"""

from .job import COMMANDS, PEERS, Job

__all__ = ["COMMANDS", "PEERS", "Job"]
