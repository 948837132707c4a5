"""Many races, for a picture: time per step against the batch size and against the sequence length."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import inputs
from .job import Job
from .race import Report, arena, race, silent

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SEQ_LENS = (16, 32, 64, 128, 256, 512)


def points(job: Job) -> dict[str, list[Job]]:
    """The jobs along each axis, up to the job's own size, with which both end."""
    batches = [size for size in BATCH_SIZES if size < job.batch_size] + [job.batch_size]
    lengths = [length for length in SEQ_LENS if length < job.seq_len] + [job.seq_len]
    return {
        "batch_size": [replace(job, batch_size=size, lengths=()) for size in batches],
        "seq_len": [replace(job, seq_len=length, lengths=()) for length in lengths],
    }


def sweep(
    job: Job,
    peers: Sequence[str],
    *,
    repeat: int = 5,
    with_roofline: bool = False,
    with_memory: bool = False,
    report: Report = silent,
) -> dict[str, Any]:
    """What `race` returns of the job itself and the first peer, and beside it

    peers    the names of all peers
    sweep    axis -> a list of {batch_size, seq_len, ours, PEER, ...}: median seconds of each side at every point

    Every peer races ours by itself; `ours` is the fastest of its medians. Raises as `race` does.
    """
    inputs.architecture_of(job)
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    options: Any = {"repeat": repeat, "report": report}
    with arena(job, report) as folder:
        main = race(
            job, peers[0] if peers else None, folder=folder, with_roofline=with_roofline, with_memory=with_memory,
            **options,
        )  # fmt: skip
        for each in (each for jobs in points(job).values() for each in jobs):
            key = (each.batch_size, each.seq_len)
            if key not in rows:
                known = main if key == (job.batch_size, job.seq_len) else None
                rows[key] = _point(each, peers, folder, known, options)
    axes = {axis: [rows[each.batch_size, each.seq_len] for each in jobs] for axis, jobs in points(job).items()}
    return {**main, "peers": list(peers), "sweep": axes}


def _point(
    job: Job, peers: Sequence[str], folder: Path, known: dict[str, Any] | None, options: dict[str, Any]
) -> dict[str, Any]:
    """One point's row; `known` is the first peer's race there, if it has been run."""

    def say(text: str) -> None:
        options["report"](f"{job.batch_size} x {job.seq_len}: {text}")

    row: dict[str, Any] = {"batch_size": job.batch_size, "seq_len": job.seq_len}
    own = []
    for number, peer in enumerate(peers or (None,)):
        result = known if known and number == 0 else race(job, peer, folder=folder, **{**options, "report": say})
        own.append(result["ours"]["seconds"]["median"])
        if peer:
            row[peer] = result["peer"]["seconds"]["median"]
    return {**row, "ours": min(own)}
