"""Whether one sentence follows another in its document, by the next-sentence head."""

from collections.abc import Sequence

import numpy as np

from .. import heads
from ..text.encoding import Truncate
from .loaded import Loaded, each_part, framed, pooled, require


def follow(
    loaded: Loaded, first: Sequence[str], second: Sequence[str], *, truncate: Truncate | None = None
) -> list[float]:
    """The probability that each of `second` follows its text in `first`.

    Raises `TextError` for pairs that are too long (unless they are cut, see `measured`), `InputError` for a model
    without the head.
    """
    require(loaded, "next_sentence")
    encodings = framed(loaded, first, second, truncate)
    found = np.zeros(len(encodings))

    def part(some: list[int]) -> None:
        output = pooled(loaded, [encodings[i] for i in some])
        logits, _ = heads.next_sentence_forward(loaded.ops, loaded.params, output)
        probs, _ = loaded.ops.softmax.forward(logits)
        found[some] = loaded.ops.xp.to_numpy(probs)[:, 0]

    each_part(loaded, encodings, part)
    return [float(p) for p in found]
