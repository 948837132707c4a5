"""What an unexplained tensor looks like beside what its step should have made of the subject's own inputs.

That is fitted to the one tensor that it describes. It holds there, and proves nothing: a factor of 1/2 may come from
anywhere. So it is never a cause, and is said only where there is none.
"""

from ..judgement.limit import LIMIT
from ..records import Look
from .beside import beside
from .forms import form, multiple
from .places import only_place
from .scene import Scene


def described(scene: Scene, name: str) -> tuple[Look, ...]:
    """Where alone an answer is wrong, and what it is there; () of one that is right, or like nothing that is known."""
    seen = beside(scene, name)
    if seen is None or seen.before <= LIMIT:
        return ()
    what, place = multiple(seen), None
    if what is None:  # else the place is only where it isn't 0
        place = only_place(seen)
        what = form(seen if place is None else seen.only(place[1]))
    found = () if place is None else (Look(name, "place", f"wrong only at {place[0]}"),)
    return found if what is None else (*found, Look(name, *what))
