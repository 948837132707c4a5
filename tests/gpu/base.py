"""Part 3: the training step of BERT-Base, 256 sequences of 128 tokens, in mixed precision, against transformers under
autocast, and against a model that computes logits at masked positions alone."""

from bertref.bench.job import Job

from . import speed
from .context import Context

lines = speed.lines
PEERS = ("transformers", "torch")


def run(context: Context) -> None:
    job = Job("pretrain", config="base", batch_size=256, seq_len=128, backend=context.backend, dtype="mixed-bfloat16",
              peer_dtype="bfloat16", threads=speed.threads())  # fmt: skip
    if context.dry:
        speed.raced(context, speed.small(context, job), ("torch",), 1)
    else:
        speed.raced(context, job, PEERS, 5)
