"""Part 4: where the time of a step goes. torch's profiler records what the GPU does, CuPy's kernels among it (CUPTI
sees the whole process); of ours we know the bytes that each launch moves."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from bertref.bench.job import Job
from bertref.bench.race import work

from . import chip, speed, steps, traffic
from .context import Context, PartFailed

WARM, TRACED = 3, 2
"""Steps."""
PRODUCT = re.compile(r"gemm|gemv|cutlass|xmma|nvjet|cublas|splitK", re.IGNORECASE)
ON_GPU, ON_CPU = ("kernel", "gpu_memcpy", "gpu_memset"), ("cpu_op",)
"""Categories of a trace's events."""
ROWS = 40
Traffic = dict[str, list[int]]
"""Kernel -> bytes of each of its launches."""


class Event(NamedTuple):
    """Microseconds."""

    name: str
    start: float
    length: float


def run(context: Context) -> None:
    job = Job("pretrain", config="base", batch_size=256, seq_len=128, backend=context.backend, dtype="mixed-bfloat16")
    if context.dry:
        job = speed.small(context, job)
    training = steps.Run(job)
    for _ in range(WARM):
        training.step()
    path = context.out / "trace.json"
    with bytes_of_launches(context.dry) as launched:
        traced(training, path, context.dry)
    events = read(json.loads(path.read_text(encoding="utf-8")), ON_CPU if context.dry else ON_GPU)
    if not events:
        raise PartFailed("the profiler recorded nothing that the device did")
    limits = chip.limits(context.found("chip"))
    context.report(**table(events, launched, TRACED, work(training.job) or 0, limits))


def traced(training: steps.Run, path: Path, dry: bool) -> None:
    """Some steps, recorded."""
    from torch import profiler

    kind = profiler.ProfilerActivity
    if not dry:
        import torch

        torch.ones(1, device="cuda").cpu()  # the profiler wants torch's context
    with profiler.profile(activities=[kind.CPU if dry else kind.CUDA]) as profile:
        for _ in range(TRACED):
            training.step()
    profile.export_chrome_trace(str(path))


@contextmanager
def bytes_of_launches(dry: bool) -> Iterator[Traffic]:
    """What our kernels move while this lasts."""
    found: Traffic = defaultdict(list)
    if dry:
        yield found
        return
    from bertref.backends.cupy.kernels.loaded import CupyDevice

    launch = CupyDevice.launch

    def noted(device: Any, file: str, kernel: str, shape: Any, *arguments: Any) -> None:
        found[spelt(kernel)].append(traffic.moved(kernel, arguments))
        launch(device, file, kernel, shape, *arguments)

    with mock.patch.object(CupyDevice, "launch", noted):
        yield found


def read(trace: dict[str, Any], categories: Sequence[str]) -> list[Event]:
    """The events of a Chrome trace in order."""
    events = [
        Event(short(event["name"]), float(event["ts"]), float(event["dur"]))
        for event in trace["traceEvents"]
        if event.get("ph") == "X" and event.get("cat") in categories
    ]
    return sorted(events, key=lambda event: event.start)


def short(name: str) -> str:
    """A demangled name without its result and arguments, spelt as ours are; CUDA may add a type to a template's
    number."""
    name = re.sub(r"\(int\)(?=\d)", "", name)
    found = re.match(r"(?:void )?(.+?)\((?!anonymous)", name)
    return spelt(found[1] if found else name)


def spelt(name: str) -> str:
    """Without blanks."""
    return name.replace(" ", "")


def busy(events: Sequence[Event]) -> float:
    """Microseconds in which something ran."""
    total, until = 0.0, float("-inf")
    for _, start, length in events:
        total += max(0.0, start + length - max(start, until))
        until = max(until, start + length)
    return total


def table(
    events: Sequence[Event], launched: Traffic, count: int, flops: int, limits: dict[str, float]
) -> dict[str, Any]:
    """The figures of one of `count` steps of `flops` operations each."""
    span = max(e.start + e.length for e in events) - events[0].start
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        times[event.name].append(event.length)
    rows = []
    for name, lengths in sorted(times.items(), key=lambda item: -sum(item[1])):
        row: dict[str, Any] = {"name": name, "calls": len(lengths) / count, "us": sum(lengths) / count}
        if len(launched.get(name, ())) == len(lengths):
            row["gb_s"] = sum(launched[name]) / sum(lengths) / 1e3
            row["of_copies"] = row["gb_s"] / limits["copies"] if "copies" in limits else None
        rows.append(row)
    products = sum(row["us"] for row in rows if PRODUCT.search(row["name"]))
    reached = flops / products / 1e6 if products else None
    most = limits.get("bfloat16")
    return {
        "step_us": span / count, "busy_us": busy(events) / count, "idle": 1 - busy(events) / span,
        "kernels": len(times), "launches": len(events) / count, "product_us": products,
        "product_tflop_s": reached, "of_products": reached / most if reached and most else None, "rows": rows[:ROWS],
    }  # fmt: skip


def lines(records: list[dict[str, Any]]) -> list[str]:
    return [line for record in records if "rows" in record for line in _lines_of(record)]


def _lines_of(record: dict[str, Any]) -> list[str]:
    reached, share = record["product_tflop_s"], record["of_products"]
    told = [
        f"a step: {record['step_us'] / 1e3:.1f} ms, idle {record['idle']:.0%}, {record['launches']:.0f} launches; "
        f"products {record['product_us'] / 1e3:.1f} ms"
        + (f", {reached:.0f} TFLOP/s" if reached else "")
        + (f", {share:.0%} of the chip's" if share else "")
    ]  # fmt: skip
    for row in record["rows"]:
        speed_ = f" {row['gb_s']:5.0f} GB/s" if "gb_s" in row else ""
        share_ = f" {row['of_copies']:4.0%}" if row.get("of_copies") else ""
        told.append(f"{row['us']:9.0f} us {row['calls']:5.0f} x{speed_}{share_}  {row['name'][:70]}")
    return told
