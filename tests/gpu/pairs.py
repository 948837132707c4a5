"""Part 2: every kernel in every type against its reference pair in float64, and twice with the same bits; the
optimisers' passes; dropout's decisions. Then the smallest cases once more under compute-sanitizer, where that is.

`python -m tests.gpu.pairs` runs the smallest cases, each array in memory of its own.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bertref import backends
from bertref.backends.cupy.kernels import updates
from bertref.backends.cupy.kernels.philox import Drawn
from bertref.dropout import Dropout
from bertref.optim import adamw_update, google_update, lamb_update
from bertref.optim.norms import squared_norm

from ..backends.cupy.kernels import pairs as kernel_pairs
from ..backends.cupy.kernels.on_cpu import Cpu
from ..ops import checks
from ..ops.harness import same_bits, solve
from .context import Context, PartFailed
from .part import first_line

SANITIZER = ("compute-sanitizer", "--tool", "memcheck", "--report-api-errors", "no", "--error-exitcode", "9")
DRY_NAMES, DRY_DTYPES = ("gather", "layer_norm"), ("bfloat16",)
PARAMETER, DRY_PARAMETER = (300, 517), (3, 50)
"""Of an update: more elements than a block takes at once."""


class Check(NamedTuple):
    """Something that is right or raises."""

    name: str
    dtype: str
    sizes: str
    call: Callable[[], None]


def run(context: Context) -> None:
    failed = 0
    for check in all_checks("cpu" if context.dry else context.backend, context.dry):
        error = tried(check.call)
        failed += error is not None
        context.report(kernel=check.name, dtype=check.dtype, sizes=check.sizes, error_of_kernel=error)
    failed += not context.dry and sanitized(context)
    if failed:
        raise PartFailed(f"{failed} checks failed")


def tried(call: Callable[[], None]) -> str | None:
    """The error in a line, if there is one."""
    try:
        call()
    except Exception as error:
        return first_line(error)
    return None


def all_checks(place: str, dry: bool = False) -> Iterator[Check]:
    """Small cases of all kernels before larger ones."""
    made, xp = kernel_pairs.at(place)
    dtypes = DRY_DTYPES if dry else kernel_pairs.DTYPES
    names = DRY_NAMES if dry else tuple(sorted(made))
    for sizes in (kernel_pairs.small, kernel_pairs.wide, kernel_pairs.many)[: 1 if dry else 3]:
        for name in names:
            for dtype in dtypes:
                yield Check(name, dtype, sizes.__name__, partial(agrees, made[name], sizes(name), dtype, xp))
    for name in names:
        yield Check(name, dtypes[0], "twice", partial(repeats, made[name], kernel_pairs.wide(name), dtypes[0], xp))
    device = Cpu() if place == "cpu" else None
    draw = partial(Drawn, device) if device else backends.get(place).draw
    yield Check("philox", "bool", "ragged", partial(decides_as_the_host, xp, draw))
    shape, passes = (DRY_PARAMETER, updates(device)) if device else (PARAMETER, backends.get(place).updates)
    for name, update in passes.items():
        yield Check(name, "float32", str(shape), partial(updates_right, xp, update, shape))


def agrees(kernel: Any, sizes: dict[str, int], dtype: str, xp: Any) -> None:
    case, upstream, _ = checks.random_case(kernel.name, 1, sizes)
    kernel_pairs.check(kernel, case, upstream, dtype, xp)


def repeats(kernel: Any, sizes: dict[str, int], dtype: str, xp: Any) -> None:
    """Two runs give the same bits."""
    case, upstream, _ = checks.random_case(kernel.name, 2, sizes)
    op = kernel_pairs.as_op(kernel)
    (y, grads), (again, others) = (solve(op, kernel_pairs.Losses(xp), case, upstream, dtype) for _ in range(2))
    assert same_bits(again, y), "the output has other bits in another run"
    for name, gradient in grads.items():
        assert same_bits(others[name], gradient), f"the gradient of {name} has other bits in another run"


def decides_as_the_host(xp: Any, draw: Any) -> None:
    """Dropout's decisions, to the bit."""
    mask = np.arange(9) < np.array([9, 4, 1, 7])[:, None]
    for packed in (False, True):
        host, drawn = (Dropout(xp, 7, 3, np.arange(4) * 2**40, mask, packed, 0.3, 0.15, draw=d) for d in (None, draw))
        for name, width in (("hidden", 40), ("first", 40), ("probs", 3)):
            want, got = (xp.to_numpy(getattr(dropout, name)(5, width)) for dropout in (host, drawn))
            assert same_bits(got, want), f"dropout of {name}, packed: {packed}"


def updates_right(xp: Any, update: Any, shape: tuple[int, ...]) -> None:
    """A pass of an optimiser against its function, which computes in float64."""
    name, host = update.name, backends.get("numpy").xp
    reference = {f.__name__: f for f in (adamw_update, google_update, lamb_update, squared_norm)}[name]
    rng = np.random.default_rng(3)
    p, g, m, v = (rng.standard_normal(shape, np.float32) * np.float32(size) for size in (1, 0.1, 0.05, 0.01))
    numbers = [np.float32(x) for x in (0.1, 1 - 0.9**7, 1 - 0.999**7)]
    arrays: list[Any] = [p, g, m, np.abs(v), *numbers]
    settings: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01}
    if name == "squared_norm":
        arrays, settings = [p], {}
    elif name == "google_update":
        arrays = arrays[:5]
    want = reference(host, *(np.asarray(a, np.float64) for a in arrays), **settings)
    got = update.compute(xp, *(xp.from_numpy(np.asarray(a)) for a in arrays), **settings)
    for true, found in zip(*(x if isinstance(x, tuple) else (x,) for x in (want, got)), strict=True):
        np.testing.assert_allclose(xp.to_numpy(found), true, rtol=1e-5, atol=1e-6)


def sanitized(context: Context) -> bool:
    """Whether compute-sanitizer found something."""
    if shutil.which(SANITIZER[0]) is None or context.left < 10:
        context.report(sanitizer="not here" if context.left >= 10 else "no time left")
        return False
    command = [*SANITIZER, sys.executable, "-m", __spec__.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=context.left - 3)
    except subprocess.TimeoutExpired:
        context.report(sanitizer="no time left")
        return False
    context.report(sanitizer=done.returncode, said=(done.stdout + done.stderr)[-3000:])
    return done.returncode != 0


def smallest() -> None:
    """The smallest cases of all kernels; an error of one ends the process."""
    import cupy

    cupy.cuda.set_allocator(None)  # no pool: an access beyond an array is one beyond its memory
    for check in all_checks("cupy"):
        if check.name == "philox" or (check.sizes == "small" and check.dtype != "float16"):
            check.call()


def lines(records: list[dict[str, Any]]) -> list[str]:
    checked = [r for r in records if "kernel" in r]
    wrong = [r for r in checked if r["error_of_kernel"]]
    told = [f"{r['kernel']}, {r['dtype']}, {r['sizes']}: {r['error_of_kernel']}" for r in wrong[:6]]
    told += [f"compute-sanitizer: {r['sanitizer'] or 'nothing found'}" for r in records if "sanitizer" in r]
    return [*told, f"{len(checked) - len(wrong)} of {len(checked)} checks passed"] if checked else told


if __name__ == "__main__":
    smallest()
