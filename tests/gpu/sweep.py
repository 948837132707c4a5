"""Part 5: launch parameters of the kernels (`Tuning`), one at a time, timed at the shapes of BERT-Base with 256
sequences of 128 tokens in mixed precision; the best are chosen later, without a GPU.

A case launches kernels once as a step does; each launch is then repeated by itself, between two events of the device.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bertref import backends
from bertref.backends.cupy.kernels import kernels, sources, updates
from bertref.backends.cupy.kernels.device import Device
from bertref.backends.cupy.kernels.philox import Drawn
from bertref.backends.cupy.kernels.tuning import Tuning

from . import chip, traffic
from .context import Context, PartFailed

CANDIDATES: dict[str, dict[str, tuple[int, ...]]] = {
    "norm": {"norm_rows": (2, 8, 16), "norm_parts": (264, 1056), "width": (4,)},
    "dense": {"bias_rows": (2, 8, 16), "column_threads": (64, 256), "width": (4,)},
    "gelu": {"bias_rows": (2, 8, 16), "column_threads": (64, 256), "column_rows": (32, 64),
             "column_parts": (128, 512), "width": (4,)},
    "attention": {"softmax_rows": (2, 8), "scores_width": (2,)},
    "decoder": {"logits_threads": (256, 384), "logits_width": (1,), "column_rows": (32,), "column_parts": (512,)},
    "embedding": {"gather_threads": (64, 128), "scatter_lanes": (2, 8), "scatter_many": (8,), "width": (4,)},
    "update": {"update_elements": (2, 8, 16), "update_blocks": (528, 2112, 4224)},
    "dropout": {"philox_threads": (64, 128)},
}  # fmt: skip
"""Case -> field of `Tuning` -> values beside today's."""
DRY = ("embedding", "update")
REPEATED, ROUNDS = 20, 3


class Sizes(NamedTuple):
    """Sequences, tokens of each, hidden size, heads, vocabulary, masked positions of each."""

    B: int = 256
    S: int = 128
    H: int = 768
    A: int = 12
    V: int = 30522
    N: int = 20


class Launch(NamedTuple):
    """A launch that can be made again."""

    kernel: str
    again: Callable[[], None]
    bytes: int


def run(context: Context) -> None:
    sizes = Sizes(2, 5, 16, 2, 30, 2) if context.dry else Sizes()
    limits = chip.limits(context.found("chip"))
    wrong = []
    for case in DRY if context.dry else CANDIDATES:
        for field, value, tuning in candidates(case, context.dry):
            if context.left < 3:
                raise PartFailed("no time left")
            try:
                found = timed(case, sizes, tuning, limits, context.dry)
            except Exception as error:
                wrong.append(f"{case}, {field} {value}: {error}")
                found = {"error_of_case": str(error)[:300]}
            context.report(case=case, field=field, value=value, **found)
    if wrong:
        raise PartFailed("; ".join(wrong)[:400])


def candidates(case: str, dry: bool) -> Iterator[tuple[str, int, Tuning]]:
    """Today's tuning, called "today", and those that differ from it in one field. The CPU has today's widths only."""
    yield "today", 0, Tuning()
    for field, values in CANDIDATES[case].items():
        for value in values if not (dry and "width" in field) else ():
            yield field, value, replace(Tuning(), **{field: value})


def timed(case: str, sizes: Sizes, tuning: Tuning, limits: dict[str, float], dry: bool) -> dict[str, Any]:
    """Microseconds of every launch of the case, and what they move a second."""
    device, clock = _on_cpu(tuning) if dry else _on_gpu(tuning)
    CASES[case](device, backends.get("numpy" if dry else "cupy").xp, sizes)
    rows = []
    for launch in list(device.launches):
        seconds = clock(launch.again)
        gb_s = launch.bytes / seconds / 1e9
        share = {"of_copies": gb_s / limits["copies"]} if "copies" in limits else {}
        rows.append({"kernel": launch.kernel, "us": seconds * 1e6, "gb_s": gb_s, **share})
    return {"us": sum(row["us"] for row in rows), "launches": rows}


# ---------------------------------------------------------------------------------------------------------------------
# devices that keep their launches


class Keeping(Device):
    """Beside another device, whose launches it keeps."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.launches: list[Launch] = []

    def launch(self, file: str, kernel: str, shape: Any, *arguments: Any) -> None:
        again = partial(super().launch, file, kernel, shape, *arguments)
        again()
        self.launches.append(Launch(kernel, again, traffic.moved(kernel, arguments)))


def _on_gpu(tuning: Tuning) -> tuple[Keeping, Callable[[Callable[[], None]], float]]:
    import cupy

    from bertref.backends.cupy.kernels.loaded import CupyDevice

    class OnGpu(Keeping, CupyDevice):
        """Compiles what the backend has no use for, too."""

        def _found(self, file: str, kernel: str) -> Any:
            if kernel in sources.EXPRESSIONS[file]:
                return super()._found(file, kernel)
            made = cupy.RawModule(code=sources.source(file), options=sources.OPTIONS, name_expressions=(kernel,))
            self._functions[file, kernel] = made.get_function(kernel)
            return self._functions[file, kernel]

    def clock(call: Callable[[], None]) -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            for _ in range(REPEATED):
                call()
            end.record()
            end.synchronize()
            best = min(best, cupy.cuda.get_elapsed_time(start, end) / 1e3 / REPEATED)
        return best

    return OnGpu(tuning), clock


def _on_cpu(tuning: Tuning) -> tuple[Keeping, Callable[[Callable[[], None]], float]]:
    """Dry: the shim."""
    from ..backends.cupy.kernels.on_cpu import Cpu

    class OnCpu(Keeping, Cpu):
        pass

    def clock(call: Callable[[], None]) -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return OnCpu(tuning=tuning), clock


# ---------------------------------------------------------------------------------------------------------------------
# what is launched


def _random(xp: Any, *shape: int, dtype: str = "float32") -> Any:
    return xp.from_numpy(np.random.default_rng(1).standard_normal(shape, np.float32), dtype)


def _kept(xp: Any, *shape: int) -> Any:
    return xp.from_numpy(np.random.default_rng(2).random(shape, np.float32) > 0.1)


def _norm(device: Device, xp: Any, n: Sizes) -> None:
    x, residual = _random(xp, n.B * n.S, n.H), _random(xp, n.B * n.S, n.H)
    affine, keep = (_random(xp, n.H), _random(xp, n.H)), _kept(xp, n.B * n.S, n.H)
    kernel = kernels(device)["dropout_add_norm"]
    y, cache = kernel.forward(xp, x, residual, keep, *affine, scale=1.1, eps=1e-12)
    kernel.backward(xp, y, cache)


def _gelu(device: Device, xp: Any, n: Sizes) -> None:
    kernel, half = kernels(device)["bias_activation"], "bfloat16"
    x, bias = _random(xp, n.B * n.S, 4 * n.H), _random(xp, 4 * n.H, dtype=half)
    y, cache = kernel.forward(xp, x, bias, activation="gelu_erf")
    kernel.backward(xp, y, cache)


def _dense(device: Device, xp: Any, n: Sizes) -> None:
    shapes = (n.B * n.S, n.H), (n.H, n.H), (n.H,)
    kernel = kernels(device)["dense"]
    y, cache = kernel.forward(xp, *(_random(xp, *shape, dtype="bfloat16") for shape in shapes))
    kernel.backward(xp, y, cache)


def _attention(device: Device, xp: Any, n: Sizes) -> None:
    x = _random(xp, n.B, n.S, n.H, dtype="bfloat16")
    mask, keep = xp.from_numpy(np.ones((n.B, n.S), bool)), _kept(xp, n.B, n.A, n.S, n.S)
    kernel, scale = kernels(device)["attention"], (n.H / n.A) ** -0.5
    y, cache = kernel.forward(xp, x, x, x, mask, keep, heads=n.A, scale=scale, mask_value=-1e4, dropout_scale=1.1)
    kernel.backward(xp, y, cache)


def _decoder(device: Device, xp: Any, n: Sizes) -> None:
    rows, half = n.B * n.N, "bfloat16"
    x, table, bias = (_random(xp, *shape, dtype=half) for shape in ((rows, n.H), (n.V, n.H), (n.V,)))
    labels = xp.from_numpy(np.random.default_rng(3).integers(0, n.V, rows))
    weights, total = (xp.from_numpy(a.astype(np.float32)) for a in (np.ones(rows), np.asarray(float(rows))))
    kernel = kernels(device)["decoder_cross_entropy"]
    loss, cache = kernel.forward(xp, x, table, bias, labels, weights, total)
    kernel.backward(xp, loss, cache)


def _embedding(device: Device, xp: Any, n: Sizes) -> None:
    for rows in (n.V, 2):  # words, and segments
        ids = xp.from_numpy(np.random.default_rng(4).integers(0, rows, n.B * n.S).astype(np.int32))
        kernel = kernels(device)["embedding"]
        y, cache = kernel.forward(xp, _random(xp, rows, n.H), ids)
        kernel.backward(xp, y, cache)


def _update(device: Device, xp: Any, n: Sizes) -> None:
    p, g, m, v = (_random(xp, n.V, n.H) for _ in range(4))
    numbers = [xp.from_numpy(np.asarray(x, np.float32)) for x in (1e-3, 0.5, 0.1)]
    settings = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "weight_decay": 0.01}
    passes = updates(device)
    passes["squared_norm"].compute(xp, g)
    passes["adamw_update"].compute(xp, p, g, m, xp.abs(v), *numbers, **settings, factor=numbers[1], donate=True)


def _dropout(device: Device, xp: Any, n: Sizes) -> None:
    drawn = Drawn(device, 1, 2, np.arange(n.B), np.ones((n.B, n.S), bool), True)
    drawn.hidden(1_000_001, 6554, n.H)
    drawn.probs(1_000_002, 6554, n.A)


CASES: dict[str, Callable[[Device, Any, Sizes], None]] = {
    "norm": _norm, "dense": _dense, "gelu": _gelu, "attention": _attention, "decoder": _decoder,
    "embedding": _embedding, "update": _update, "dropout": _dropout,
}  # fmt: skip


def lines(records: list[dict[str, Any]]) -> list[str]:
    """What is faster than today's, the largest gains first, and today's slowest launches."""
    done = [r for r in records if "case" in r and "us" in r]
    today = {r["case"]: r for r in done if r["field"] == "today"}
    gains = sorted(
        ((1 - r["us"] / today[r["case"]]["us"], r) for r in done if r["case"] in today), key=lambda pair: -pair[0]
    )
    told = [f"{r['case']}, {r['field']} {r['value']}: {gain:.0%} less time" for gain, r in gains[:6] if gain > 0.02]
    slow = sorted((row for r in today.values() for row in r["launches"]), key=lambda row: -row["us"])
    told += [
        f"{row['us']:8.0f} us {row['gb_s']:5.0f} GB/s" + (f" {row['of_copies']:4.0%}" if "of_copies" in row else "")
        + f"  {row['kernel']}" for row in slow[:8]
    ]  # fmt: skip
    return told
