"""Part 8: the training step of BERT-Large on sequences of 512 tokens in float32, without TF32 on both sides."""

from bertref.bench.job import Job

from . import speed
from .context import Context

lines = speed.lines
BATCH = 16
"""Both sides hold their memory at once, and together need two thirds of 80 GB."""


def run(context: Context) -> None:
    job = Job("pretrain", config="large", batch_size=BATCH, seq_len=512, backend=context.backend,
              threads=speed.threads())  # fmt: skip
    if context.dry:
        speed.raced(context, speed.small(context, job), (None,), 1)
    else:
        speed.raced(context, job, ("transformers",), 3)
