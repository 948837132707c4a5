"""What an explanation says: a value for every word, and what the values add up to."""

from dataclasses import dataclass

TOLERANCE = 1e-3
"""Values are complete where they add up to the difference but for this share of it."""


@dataclass(frozen=True)
class WordValue:
    """A word of the original text, `text` = original[start:end], and what it added to the explained logit, in nats.

    `segment` is 0 in the text and 1 in its pair, of which `start` and `end` count the characters.
    """

    text: str
    start: int
    end: int
    value: float
    segment: int = 0


@dataclass(frozen=True)
class Explanation:
    """Which words moved one answer.

    method      "integrated" or "gradient" (see `attribution`)
    target      what is explained: "logit(good) - logit(bad)", "logit(grade)"
    label       the answer, a label or the best guess for a mask; `other` what it is compared with, None without one
    position    of the explained [MASK], counted in the model's tokens from [CLS] = 0; None for a label
    words       in the order of the text; a word that was cut off has no entry
    value       of the target for the text as it is
    baseline    which vectors stand for "no words": "[PAD]", or "0" for the gradient
    difference  value of the target minus its value where the words' vectors are the baseline's
    sum         of the words' values
    nodes       at which the gradient was taken
    """

    text: str
    pair: str | None
    method: str
    target: str
    label: str
    other: str | None
    position: int | None
    words: tuple[WordValue, ...]
    value: float
    baseline: str
    difference: float
    sum: float
    nodes: int

    @property
    def gap(self) -> float:
        """|sum - difference|: 0 where the values account for all of the difference."""
        return abs(self.sum - self.difference)

    @property
    def complete(self) -> bool:
        """Whether the gap is at most `TOLERANCE` of the difference."""
        return self.gap <= TOLERANCE * abs(self.difference)
