"""The memory that the work needs, from shapes alone, above what an empty process holds.

Letters as everywhere; P is the number of parameters, E that of the largest of them, S the longest sequence of a batch,
T its real tokens, N its masked positions. Counted in numbers of the compute type unless they are bytes:

    weights       P, and in training 2 P of moments
    a layer       T (8 H + g I) + B A S²     kept for backward: its input, q, k, v, context, the input of the second
                                             half and both norms' rows; the activation's output and what its gradient
                                             needs (g I in all); the probabilities
                  2 T H + B A S² bytes       which elements dropout keeps
    embeddings    T H, and T H bytes
    heads         l N V + 4 N H              logits, and what their gradient needs
    working       2 T I + 2 B A S²           what one op holds besides, while it runs
    gradients     P + 2 E                    E: the two gradients of the tied table and their sum, one of which is in P
    update        u P + e E                  gradients; clipped ones, new weights and new moments, before the old ones
                                             go, where these are not overwritten; E: what the update of one parameter
                                             holds besides

    g = 3, l = 5, u = 4, e = 5 in the reference: x, Φ(x) and the output; logits, log-probabilities and three steps
    g = 2, l = 1, u = 1, e = 0 with kernels: the derivative and the output; exponentials that are the gradient; the
                               weights and moments are overwritten

`recompute="attention"` keeps neither probabilities nor their dropout, `"layers"` only one H of every layer and one
layer's worth of the rest. What a layer kept is let go when its backward is done, so the peak is the largest of four
moments: the losses; the last layer's backward, the first to run, beside the decoder's gradient; the end of backward;
and the update.

Fine-tuning has no tied table and no masked positions (N = 0): E is then left out of gradients and of the last layer's
backward, and the logits of its heads are too few to count.

Without training there are the weights, what one op keeps and holds besides, and 2 V for every mask that is guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..config import BertConfig
from ..heads import parameter_shapes
from ..params import count
from . import inputs
from .job import Job


@dataclass(frozen=True)
class Factors:
    """g, l, u and e of the module's text."""

    inner: int
    logits: int
    update: int
    largest: int


REFERENCE = Factors(inner=3, logits=5, update=4, largest=5)
KERNELS = Factors(inner=2, logits=1, update=1, largest=0)

ITEMSIZE = {"float64": 8}
"""Bytes of a number by the compute type; 4 elsewhere, because NumPy computes in nothing narrower."""


@dataclass(frozen=True)
class Shapes:
    """B, S, T and N of one batch."""

    batch: int
    longest: int
    tokens: int
    masked: int


def predicted(job: Job) -> int | None:
    """Bytes that ours needs at most; None for text, for single ops, and for backends other than NumPy."""
    if job.from_text or job.command not in ("pretrain", "finetune", "encode", "predict") or job.backend != "numpy":
        return None
    config, _ = inputs.architecture_of(job)
    factors = KERNELS if job.kernels else REFERENCE
    size = ITEMSIZE.get(job.dtype, 4)
    if job.command == "pretrain":
        batches = inputs.pretraining_batches(job, config.vocab_size)
        shapes = [
            Shapes(len(b), b.input_ids.shape[1], int(b.attention_mask.sum()), int(b.masked_lm_weights.sum()))
            for b in batches
        ]
        return max(training(config, shape, factors, size, job.dropout > 0, job.recompute) for shape in shapes)
    shapes = [Shapes(len(lengths), max(lengths), sum(lengths), len(lengths)) for lengths in job.batches]
    if job.command == "finetune":
        heads = inputs.heads_of(job)
        return max(
            training(config, replace(shape, masked=0), factors, size, job.dropout > 0, job.recompute, heads)
            for shape in shapes
        )
    logits = job.command == "predict"
    return max(inference(config, shape, size, logits) for shape in shapes)


def kept_by_a_layer(config: BertConfig, shape: Shapes, factors: Factors, size: int, dropout: bool) -> tuple[int, int]:
    """Bytes of (everything but the probabilities, the probabilities) of one layer."""
    H, I, A = config.hidden_size, config.intermediate_size, config.num_attention_heads  # noqa: E741
    T, scores = shape.tokens, shape.batch * A * shape.longest**2
    rows = T * (8 * H + factors.inner * I) * size + (2 * T * H if dropout else 0)
    return rows, scores * (size + (1 if dropout else 0))


def kept(
    config: BertConfig, shape: Shapes, factors: Factors, size: int, dropout: bool, recompute: str = "none"
) -> int:
    """Bytes that forward leaves for backward: layers and embeddings."""
    H, L = config.hidden_size, config.num_hidden_layers
    rows, probs = kept_by_a_layer(config, shape, factors, size, dropout)
    embeddings = shape.tokens * H * (size + (1 if dropout else 0))
    if recompute == "layers":
        return embeddings + L * shape.tokens * H * size + rows + probs
    return embeddings + L * rows + (probs if recompute == "attention" else L * probs)


def training(
    config: BertConfig, shape: Shapes, factors: Factors, size: int, dropout: bool, recompute: str = "none",
    heads: Sequence[str] = ("pretraining",),
) -> int:  # fmt: skip
    """Bytes of a training step at its peak."""
    sizes = {name: count({name: shape}) * size for name, shape in parameter_shapes(config, heads).items()}
    weights, largest = sum(sizes.values()), max(sizes.values())
    tied = largest if shape.masked else 0
    logits = shape.masked * (factors.logits * config.vocab_size + 4 * config.hidden_size) * size
    activations = kept(config, shape, factors, size, dropout, recompute)
    end_of_forward = 3 * weights + activations + logits
    start_of_backward = 3 * weights + activations + tied + working(config, shape, size)
    end_of_backward = 4 * weights + 2 * tied
    update = (3 + factors.update) * weights + factors.largest * largest
    return max(end_of_forward, start_of_backward, end_of_backward, update)


def working(config: BertConfig, shape: Shapes, size: int) -> int:
    """Bytes that one op holds besides its arguments and its result."""
    scores = shape.batch * config.num_attention_heads * shape.longest**2
    return 2 * (shape.tokens * config.intermediate_size + scores) * size


def inference(config: BertConfig, shape: Shapes, size: int, logits: bool) -> int:
    """Bytes of one batch through the encoder, and of the logits of its masks."""
    weights = count(parameter_shapes(config)) * size
    answers = 2 * shape.masked * config.vocab_size * size if logits else 0
    rows = 4 * shape.tokens * config.hidden_size * size
    return weights + rows + working(config, shape, size) + answers
