"""Part 9: several processes, as far as one GPU goes. By NCCL, with one process, what is sent keeps its bits, whatever
stream CuPy computes on; two processes on one GPU, which talk through the host, have NumPy's losses."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import distributed

from bertref import backends
from bertref.objectives import Outcome
from bertref.optim.flat import FlatLayout, buffers
from bertref.train.parallel.shards import Shards
from bertref.train.parallel.sums import BUCKET, summed, summed_outcome
from bertref.train.parallel.torchrun import Gloo
from tests.train.parallel import launching
from tests.train.pretraining.running import run as run_here

from .context import Context, PartFailed

LENGTHS = {"a": BUCKET * 3, "b": 7, "c": BUCKET // 2 + 5}
DRY_LENGTHS = {"a": 24, "b": 7, "c": 5}
RELATIVE = 1e-4
"""As of part 6."""
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"}


def run(context: Context) -> None:
    wrong = []
    with one_process() as world:
        for backend in ("torch:cpu",) if context.dry else ("torch:cuda", "cupy"):
            for stream in ("its default", "another") if backend == "cupy" else ("its default",):
                with other_stream() if stream == "another" else contextlib.nullcontext():
                    changed = changed_bits(world, backend, DRY_LENGTHS if context.dry else LENGTHS)
                context.report(backend=backend, stream=stream, changed=changed)
                wrong += [f"{backend}, on {stream} stream: {what}" for what in changed]
    for backend in ("torch:cpu",) if context.dry else ("torch:cuda", "cupy"):
        apart = furthest(backend, 2 if context.dry else 12)
        context.report(backend=backend, processes=2, apart=apart)
        if not apart <= RELATIVE:
            wrong.append(f"two processes of {backend} are {apart} apart from NumPy's losses, at most {RELATIVE}")
    if wrong:
        raise PartFailed("; ".join(wrong)[:400])


@contextlib.contextmanager
def one_process() -> Iterator[Gloo]:
    """A process that speaks as one of several does."""
    with mock.patch.dict(os.environ, LOOPBACK):
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
        try:
            yield Gloo(torch, distributed, 0, 1)
        finally:
            distributed.destroy_process_group()


def other_stream() -> Any:
    """CuPy's, which waits for no other."""
    import cupy

    return cupy.cuda.Stream(non_blocking=True)


def changed_bits(world: Gloo, backend: str, lengths: dict[str, int]) -> list[str]:
    """What is not as it was given, after the messages of a step; the arrays have just been asked for of the device."""
    xp, rng = backends.get(backend).xp, np.random.default_rng(3)
    given = {name: rng.normal(size=length).astype(np.float32) for name, length in lengths.items()}
    layout = FlatLayout.grouped({name: (length,) for name, length in lengths.items()}, lambda name: name != "b")

    def made() -> dict[str, Any]:
        flat = layout.laid(xp, {name: xp.from_numpy(array) for name, array in given.items()})
        for buffer in buffers(flat).values():  # exact, and on its way for as long as it takes
            for _ in range(20):
                buffer += buffer
                buffer *= 0.5
        return flat

    shards = Shards(world, layout)
    if not all(map(world.takes, buffers(made()).values())):
        return ["arrays are not taken"]
    norm = xp.from_numpy(np.asarray(1.5, np.float32))
    found = {
        "sums": summed(world, xp, made()), "parts": shards.whole(xp, shards.summed(xp, made())),
        "norm": {"": shards.norm(xp, norm, "float32")},
        "losses": summed_outcome(world, xp, Outcome({"": norm}, {})).losses,
    }  # fmt: skip
    want = {"": np.asarray(1.5, np.float32), **given}
    return [
        what for what, arrays in found.items()
        if any(xp.to_numpy(array).tobytes() != want[name].tobytes() for name, array in arrays.items())
    ]  # fmt: skip


def furthest(backend: str, steps: int) -> float:
    """How far, relatively, the losses of two processes are from those of one on NumPy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        want = [values["loss"] for values in run_here(folder, "one", steps=steps).of("step")]
        process = launching.launch(2, *launching.options(folder, "two", steps=steps, backend=backend))
        printed, said = process.communicate()
    if process.returncode:
        raise PartFailed(f"two processes of {backend}: {said.strip()[-300:]}")
    events = [json.loads(line) for line in printed.splitlines()]
    got = [event["loss"] for event in events if event["event"] == "step"]
    apart = np.abs(np.array(got) / np.array(want) - 1)
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def lines(records: list[dict[str, Any]]) -> list[str]:
    kept = [f"one process of {r['backend']}, on {r['stream']} stream: {', '.join(r['changed']) or 'no bit'} changed"
            for r in records if "changed" in r]  # fmt: skip
    far = [f"two processes of {r['backend']}: at most {r['apart']:.1e} from NumPy's losses" for r in records
           if "apart" in r]  # fmt: skip
    return [*kept, *far]
