"""What decides how fast kernels are and not what they compute, but for the order of their sums: the sizes of launches.

The numbers were chosen without a GPU. `tests/gpu/sweep.py` times others.
"""

from dataclasses import dataclass

WIDEST, LOGITS, SCORES = 8, 2, 4
"""Elements that a thread moves at once: in rows of hidden states; in rows of logits, because BERT's vocabulary of 30522
is no multiple of more; in rows of attention's scores, of which a lane holds as few as four."""


@dataclass(frozen=True)
class Tuning:
    """Launch parameters.

    width             elements that a thread moves at once, where rows allow it; `logits_width`, `scores_width` likewise
    norm_rows         rows of a block of norm_back at least, of which there are at most `norm_parts`: each leaves two
                      rows of float32 to be added
    column_threads    of a block that goes down columns at most: small blocks, so that rows of 768 elements need no idle
                      threads
    column_rows       rows that one block sums at least, in at most `column_parts` parts: each leaves a row to be added
    bias_rows         rows of a block that adds a bias, with or without GELU, in forward: few, for many blocks, but
                      several, because the bias is read once for them
    softmax_rows      rows of a block, a warp each; softmax.cu bears up to 8
    logits_threads    of a block that has a row of logits, at most; cross_entropy.cu bears up to 512
    gather_threads    of a block that moves a row, at most; rows.cu bears up to 256
    scatter_lanes     rows that a block adds at once; `scatter_many` where a row of the table is met often. rows.cu
                      bears up to 16
    update_elements   of a thread in a pass over weights at least, with at most `update_blocks` blocks: each leaves a
                      number where a sum is made
    philox_threads    of a block that draws dropout's decisions; philox.cu bears up to 256
    """

    width: int = WIDEST
    logits_width: int = LOGITS
    scores_width: int = SCORES
    norm_rows: int = 4
    norm_parts: int = 512
    column_threads: int = 128
    column_rows: int = 16
    column_parts: int = 256
    bias_rows: int = 4
    softmax_rows: int = 4
    logits_threads: int = 512
    gather_threads: int = 256
    scatter_lanes: int = 4
    scatter_many: int = 16
    update_elements: int = 4
    update_blocks: int = 1024
    philox_threads: int = 256
