"""Part 6: fifty steps of a tiny model in float32, with dropout: the losses are NumPy's to 1e-4."""

from dataclasses import replace
from typing import Any

import numpy as np

from bertref.bench.job import Job

from . import speed, steps
from .context import Context, PartFailed

STEPS, BATCHES, RELATIVE = 50, 4, 1e-4
"""The largest relative difference: rounding in another order, fed back through fifty steps."""
DRY_STEPS = 3


def run(context: Context) -> None:
    job = _job(context)
    count = DRY_STEPS if context.dry else STEPS
    want = losses(job, count)
    worst = {}
    for name in ("torch:cpu",) if context.dry else ("cupy", "torch:cuda"):
        got = losses(replace(job, backend=name), count)
        apart = np.abs(np.array(got) / np.array(want) - 1)
        worst[name] = float(apart.max()) if np.isfinite(apart).all() else float("inf")
        context.report(backend=name, steps=count, apart=worst[name], losses=got, numpy=want)
    if max(worst.values()) > RELATIVE:
        raise PartFailed(f"apart from NumPy's by {worst}, at most {RELATIVE}")
    if not want[-1] < want[0]:
        raise PartFailed(f"nothing was learnt: the loss went from {want[0]} to {want[-1]}")


def _job(context: Context) -> Job:
    job = Job("pretrain", config="tiny", batch_size=8, seq_len=64, dropout=0.1)
    return replace(speed.small(context, job), backend="numpy") if context.dry else job


def losses(job: Job, count: int) -> list[float]:
    """The loss of every step, over `BATCHES` batches in turn; none is waited for."""
    run = steps.Run(job, BATCHES)
    run.go_on(count)
    return run.losses


def lines(records: list[dict[str, Any]]) -> list[str]:
    return [
        f"{r['backend']}: {r['steps']} steps, the loss {r['numpy'][0]:.4f} -> {r['numpy'][-1]:.4f}, at most "
        f"{r['apart']:.1e} from NumPy's"
        for r in records
        if "apart" in r
    ]
