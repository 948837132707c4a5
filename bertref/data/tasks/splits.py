"""Two parts from one: a share of the examples for validation, drawn by a hash; or a sample of one.

Whether an example belongs to the share depends on the seed and on its place (or its group) alone, neither on the order
of the examples nor on the others. So nothing is kept in memory, and each part is read by itself. A share of 0.1 of N
examples has 0.1 N of them give or take some 0.3 √N; by groups, it is a share of the groups.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from ...errors import InputError
from ...rng import generator
from .examples import Example, Part


def split(
    part: Part, share: float, *, seed: int = 0, by_group: bool = False, names: tuple[str, str] = ("train", "dev")
) -> tuple[Part, Part]:
    """The examples that are not in the share, and those that are; with `by_group`, examples of one group stay together.

    Reads the part until both have an example. Raises `InputError` if one would have none, for a share that is not
    between 0 and 1, and, by groups, for an example that has none.
    """
    if not 0 < share < 1:
        raise InputError(f"the share for validation is {share}; it has to be between 0 and 1")
    settings = {"share": share, "seed": seed, "by_group": by_group}

    def side(name: str, drawn: bool) -> Part:
        def read() -> Iterator[Example]:
            return (e for e in part.read() if _is_drawn(e, share, seed, by_group) is drawn)

        return replace(part, name=name, read=read, settings={**part.settings, "split": {**settings, "drawn": drawn}})

    sides = side(names[0], False), side(names[1], True)
    _check_both(part, sides, share, by_group)
    return sides


def _check_both(part: Part, sides: tuple[Part, Part], share: float, by_group: bool) -> None:
    for side in sides:
        if next(iter(side.read()), None) is None:
            what = "groups" if by_group else "examples"
            raise InputError(
                f"{part.files[0]}: a share of {share} leaves no {what} for {side.name!r}; "
                "take another share, or name a file for validation"
            )


def _is_drawn(example: Example, share: float, seed: int, by_group: bool) -> bool:
    if by_group and example.group is None:
        raise InputError(f"{example.place}: it has no group; name the groups' column, or split without groups")
    key = f"{seed}\0{example.group if by_group else example.place}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") < share * 2**64


def sampled(part: Part, count: int, seed: int = 0) -> Part:
    """`count` examples of a part in its order, each as likely as the others; all of them if there are no more.

    The part is read once more, to count it. Raises `InputError` for a count below 1.
    """
    if count < 1:
        raise InputError(f"a sample of {count} examples; at least 1 is needed")

    def read() -> Iterator[Example]:
        there = sum(1 for _ in part.read())
        drawn = set(generator(seed, "held_out", step=1).permutation(there)[:count].tolist())
        return (example for i, example in enumerate(part.read()) if i in drawn)

    return replace(part, read=read, settings={**part.settings, "sample": {"count": count, "seed": seed}})
