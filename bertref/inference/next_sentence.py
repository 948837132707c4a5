"""Whether one sentence follows another in its document, by the next-sentence head."""

from collections.abc import Sequence

from .. import heads
from ..text.encoding import Truncate
from .loaded import Loaded, batches, framed, pooled, require


def follow(
    loaded: Loaded, first: Sequence[str], second: Sequence[str], *, truncate: Truncate | None = None
) -> list[float]:
    """The probability that each of `second` follows its text in `first`.

    Raises `TextError` for pairs that are too long (unless they are cut, see `measured`), `InputError` for a model
    without the head.
    """
    require(loaded, "next_sentence")
    result: list[float] = []
    for some in batches(framed(loaded, first, second, truncate)):
        logits, _ = heads.next_sentence_forward(loaded.ops, loaded.params, pooled(loaded, some))
        probs, _ = loaded.ops.softmax.forward(logits)
        result += [float(p) for p in loaded.ops.xp.to_numpy(probs)[:, 0]]
    return result
