"""How many floating-point operations the work takes: those of the products alone, two for each multiplication.

With T tokens, sequences of lengths s, B sequences, N masked positions and the legend's letters, forward takes

    layer       8 T H²                    query, key, value and attention output
              + 4 H Σ s²                  scores and context: every token with every token of its sequence
              + 4 T H I                   feed-forward, both halves
    pooler      2 B H²
    heads       2 N H² + 2 N H V + 4 B H  pre-training: transform, decoder, next sentence
                4 B H or 4 T H            fine-tuning: two labels of a sequence, or start and end at every token

Backward makes two products of the same size for each of these, one for each factor: a training step is three times
forward. Elementwise work, lookups and the optimiser are not counted, and neither is padding, whether or not somebody
computes it: the share of the machine's speed that is reached is that of the work that was asked for.
"""

from collections.abc import Sequence

from ..config import BertConfig
from ..heads import Head


def encoder(config: BertConfig, lengths: Sequence[int], *, pooler: bool = True) -> int:
    """Forward through the layers and the pooler."""
    H, I, T, B = config.hidden_size, config.intermediate_size, sum(lengths), len(lengths)  # noqa: E741
    layer = 8 * T * H * H + 4 * H * sum(s * s for s in lengths) + 4 * T * H * I
    return config.num_hidden_layers * layer + (2 * B * H * H if pooler else 0)


def masked_lm(config: BertConfig, positions: int) -> int:
    """Forward of the masked language model at so many positions."""
    H = config.hidden_size
    return 2 * positions * H * H + 2 * positions * H * config.vocab_size


def training_step(config: BertConfig, lengths: Sequence[int], positions: int) -> int:
    """Forward and backward of pre-training."""
    forward = encoder(config, lengths) + masked_lm(config, positions) + 4 * len(lengths) * config.hidden_size
    return 3 * forward


def finetuning_step(config: BertConfig, lengths: Sequence[int], head: Head) -> int:
    """Forward and backward of fine-tuning; a head with the pooler reads a sequence, another one every token."""
    rows = len(lengths) if head.pooler else sum(lengths)
    return 3 * (encoder(config, lengths, pooler=head.pooler) + 4 * rows * config.hidden_size)
