"""A training step of ours and of transformers in turn on one device: what parts 3 and 8 share."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertref.bench.job import Job
from bertref.bench.race import arena, race
from bertref.errors import BertrefError

from .context import Context, PartFailed

SECOND = 25
"""Seconds that a second race needs."""
TINY = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip


def raced(context: Context, job: Job, peers: tuple[str | None, ...], repeat: int) -> None:
    """Races with each peer, and without one where no race could be run: what ours takes is worth knowing even then.
    Raises `PartFailed` if a race failed."""
    errors = []
    with arena(job) as folder:
        for number, peer in enumerate(peers):
            if number and context.left < SECOND:
                context.report(left_out=peer, why="no time left")
                continue
            error = _one(context, job, folder, peer, repeat)
            if error:
                errors.append(f"{peer}: {error}")
        if len(errors) == len(peers) and None not in peers:
            alone = _one(context, job, folder, None, repeat)
            errors += [f"alone: {alone}"] if alone else []
    if errors:
        raise PartFailed("; ".join(errors)[:400])


def _one(context: Context, job: Job, folder: Path, peer: str | None, repeat: int) -> str | None:
    """The error, if there is one."""
    about = {"config": os.path.basename(job.config), "batch": job.batch_size, "length": job.seq_len, "against": peer}
    said: list[str] = []
    try:
        found = race(job, peer, repeat=repeat, with_memory=True, report=said.append, folder=folder)
    except BertrefError as error:
        context.report(race=about, error_of_race=str(error), at=said[-1:])
        return str(error)
    context.report(race=about, found=found)
    return None


def threads() -> int:
    return os.cpu_count() or 1


def small(context: Context, job: Job) -> Job:
    """The job at the sizes of a dry run."""
    path = context.out / "tiny.json"
    path.write_text(json.dumps(TINY), encoding="utf-8")
    return replace(job, config=str(path), batch_size=4, seq_len=16, backend=context.backend, threads=1)


def lines(records: list[dict[str, Any]]) -> list[str]:
    return [line for record in records if "race" in record for line in _lines_of(record)]


def _lines_of(record: dict[str, Any]) -> list[str]:
    race = record["race"]
    where = f"{race['config']} {race['batch']} x {race['length']}"
    if "found" not in record:
        return [f"{where} against {race['against']}: {record['error_of_race']}"]
    found = record["found"]
    sides = [found["ours"], *([found["peer"]] if found["peer"] else [])]
    held = [found["memory"]["measured"], found["memory"]["peer"]]
    told = [
        f"{side['name']} {side['dtype']} {side['tokens_per_second']:,.0f} tokens/s {memory / 2**30:.1f} GiB"
        for side, memory in zip(sides, held, strict=False)
    ]
    ratio = found["ratio"]
    spread = f"ratio {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}); " if ratio else ""
    return [f"{where}: {spread}{'; '.join(told)}"]
