"""What the training of the default model consists of, in numbers."""

from dataclasses import dataclass
from typing import NamedTuple

from ...config import BertConfig

STUDENT = BertConfig(
    vocab_size=8000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
    max_position_embeddings=256, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
)  # fmt: skip
"""The model that is shipped: 3.2 million parameters in its layers, 5.5 in all."""


class WordsStage(NamedTuple):
    """A stage of masked words: tokens of a sequence, sequences a step, steps, peak rate."""

    length: int
    batch: int
    steps: int
    rate: float


@dataclass(frozen=True)
class Recipe:
    """Sizes of the stages.

    vocab_size        tokens
    taught_share      one in so many unlabelled reviews is among the texts that the student is taught on
    words             masked words: first of short sequences, in which a word's neighbours are found sooner, then of
                      long ones, which teach the other positions
    teacher_epochs    over the labelled texts
    student_epochs    over labelled and unlabelled texts; one step in `words_every` is of masked words
    text_length       tokens of a text, both for the teacher and for the student: of longer ones both ends
    """

    vocab_size: int = 8000
    taught_share: int = 4
    words: tuple[WordsStage, WordsStage] = (WordsStage(64, 32, 3000, 5e-4), WordsStage(256, 8, 600, 3e-4))
    teacher_epochs: float = 0.6
    teacher_rate: float = 5e-5
    teacher_batch: int = 64
    student_epochs: float = 1.2
    student_rate: float = 3e-4
    student_batch: int = 64
    words_every: int = 5
    text_length: int = 128
    temperature: float = 2.0
    hard_weight: float = 0.3
    seed: int = 1


SHORT = Recipe()
"""Two hours on two cores that multiply at 0.1 TFLOP/s together."""
LONG = Recipe(
    taught_share=1, words=(WordsStage(64, 32, 20_000, 5e-4), WordsStage(256, 8, 6000, 3e-4)), teacher_epochs=2.0,
    student_epochs=3.0, text_length=192,
)  # fmt: skip
"""Better, and several times as long."""
