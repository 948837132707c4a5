"""Whether one sentence follows another in its document, by the next-sentence head."""

from collections.abc import Sequence

from .. import heads
from .loaded import Loaded, batches, framed, pooled, require


def follow(loaded: Loaded, first: Sequence[str], second: Sequence[str]) -> list[float]:
    """The probability that each of `second` follows its text in `first`.

    Raises `InputError` for a pair that is too long and a model without the head.
    """
    require(loaded, "next_sentence")
    result: list[float] = []
    for some in batches(framed(loaded, first, second)):
        logits, _ = heads.next_sentence_forward(loaded.ops, loaded.params, pooled(loaded, some))
        probs, _ = loaded.ops.softmax.forward(logits)
        result += [float(p) for p in loaded.ops.xp.to_numpy(probs)[:, 0]]
    return result
