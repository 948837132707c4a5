"""Whether one sentence follows another in its document, by the next-sentence head."""

from collections.abc import Sequence

from .. import heads
from ..text.encoding import Encoding, Truncate
from .loaded import Loaded, framed, pooled, require
from .team import answered


def follow(
    loaded: Loaded, first: Sequence[str], second: Sequence[str], *, truncate: Truncate | None = None
) -> list[float]:
    """The probability that each of `second` follows its text in `first`, or, by ALBERT, that both stand in their order.

    Raises `TextError` for pairs that are too long (unless they are cut, see `measured`), `InputError` for a model
    without the head.
    """
    require(loaded, "next_sentence")

    def of_batch(some: list[Encoding]) -> list[float]:
        logits, _ = heads.next_sentence_forward(loaded.ops, loaded.params, pooled(loaded, some))
        probs, _ = loaded.ops.softmax.forward(logits)
        return [float(p) for p in loaded.ops.xp.to_numpy(probs)[:, 0]]

    return answered(framed(loaded, first, second, truncate), of_batch, parts_of=loaded)
