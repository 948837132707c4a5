"""`prepare` of a part of a corpus, or of all parts at once by the processes of torchrun."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.pretraining.joining import join, prepare_part
from ..data.pretraining.parts import CorpusPart, missing
from ..errors import BertrefError, InputError, ProcessLost
from ..text import Tokenizer
from ..train.parallel.world import World
from . import render


def part_of(world: World, given: str | None, kind: str) -> CorpusPart | None:
    """The part that is asked for, or that of this one of several processes; None for the whole corpus.

    Raises `InputError` for parts of what has none, and for a part of a part.
    """
    if given is None and world.size == 1:
        return None
    if given is not None and world.size > 1:
        raise InputError("under torchrun every process prepares a part; leave out --part, or start one process")
    if kind != "tokens":
        raise InputError("a part is made of tokens, and records of a whole corpus; leave out --format tfrecord")
    return CorpusPart(world.rank + 1, world.size) if given is None else CorpusPart.read(given)


def prepare_parts(
    world: World, part: CorpusPart, corpus: Sequence[str], tokenizer: Tokenizer, out: str, **options: Any
) -> dict[str, int]:
    """The counts of the parts of all processes.

    Raises `ProcessLost` where another one's part could not be made: those that could stay.
    """
    try:
        counts = prepare_part(corpus, part, tokenizer, out, **options)
    except BertrefError:
        world.collect(None)
        raise
    try:
        found = [of_one for of_one in world.collect(counts) if of_one is not None]
    except ProcessLost:
        found = []
    if len(found) < world.size:
        raise ProcessLost(f"{out}: {part} is there, but another one could not be made; run the same again")
    if world.rank == 0:
        join(out)
    return {name: sum(of_one[name] for of_one in found) for name in counts}


def tell_missing(out: str) -> None:
    """Which parts are still to be made."""
    lacking = missing(Path(out))
    if lacking:
        numbers = ", ".join(str(part.number) for part in lacking)
        render.message(f"{out}: of {lacking[0].total} parts {numbers} {'is' if len(lacking) == 1 else 'are'} missing.")
