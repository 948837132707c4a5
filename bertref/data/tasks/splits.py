"""Two parts from one: a share of the examples for validation, drawn evenly; or a sample of one.

Which examples belong to the share depends on the seed and on how many there are, not on the file's name: a copy of a
file is split as the file is. By groups, a share of the groups is drawn, in the order of their first examples. A part is
read once more to count it; only numbers, or the names of groups, are kept in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ...errors import InputError
from ...rng import generator
from .examples import Example, Part


def split(
    part: Part, share: float, *, seed: int = 0, by_group: bool = False, names: tuple[str, str] = ("train", "dev")
) -> tuple[Part, Part]:
    """The examples that are not in the share, and those that are; with `by_group`, examples of one group stay together.

    The share is rounded to whole examples, or groups, and each part has one at least. Raises `InputError` for fewer
    than two of them, for a share that is not between 0 and 1, and, by groups, for an example that has none.
    """
    if not 0 < share < 1:
        raise InputError(f"the share for validation is {share}; it has to be between 0 and 1")
    keys = list(dict.fromkeys(map(_group, part.read()))) if by_group else range(sum(1 for _ in part.read()))
    if len(keys) < 2:
        what = "group" if by_group else "example"
        raise InputError(
            f"{part.files[0]}: {len(keys)} {what}{'' if len(keys) == 1 else 's'} can't be split into two parts; name a "
            "file for validation (--dev)"
        )
    count = min(max(round(share * len(keys)), 1), len(keys) - 1)
    drawn = {keys[i] for i in generator(seed, "held_out").permutation(len(keys))[:count].tolist()}

    def is_drawn(number: int, example: Example) -> bool:
        return (_group(example) if by_group else number) in drawn

    settings = {"share": share, "seed": seed, "by_group": by_group}
    return (
        _side(part, names[0], lambda n, e: not is_drawn(n, e), {"split": {**settings, "drawn": False}}),
        _side(part, names[1], is_drawn, {"split": {**settings, "drawn": True}}),
    )


def sampled(part: Part, count: int, seed: int = 0) -> Part:
    """`count` examples of a part in its order, each as likely as the others; all of them if there are no more.

    The part is read once more, to count it. Raises `InputError` for a count below 1.
    """
    if count < 1:
        raise InputError(f"a sample of {count} examples; at least 1 is needed")
    there = sum(1 for _ in part.read())
    drawn = set(generator(seed, "held_out", step=1).permutation(there)[:count].tolist())
    return _side(part, part.name, lambda n, e: n in drawn, {"sample": {"count": count, "seed": seed}})


def _side(part: Part, name: str, belongs: Callable[[int, Example], bool], settings: dict[str, object]) -> Part:
    def read() -> Iterator[Example]:
        return (example for number, example in enumerate(part.read()) if belongs(number, example))

    return replace(part, name=name, read=read, settings={**part.settings, **settings})


def _group(example: Example) -> str:
    if example.group is None:
        raise InputError(f"{example.place}: no group; name the groups' column (--group), or split without groups")
    return example.group
