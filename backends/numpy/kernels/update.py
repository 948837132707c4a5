"""The optimisers' updates, clipped: each element is read once and written once.

The formulas are those of `bertref.optim` (adam, lamb, norms); this room may not import them, and a test compares. Sums
of squares are taken block by block and then over the blocks in float64, which the reference's single sum in float32
does not reach.

`donate=True` gives the arguments away: results may take their memory, which halves what an update needs.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ....arrays import Namespace
from ...backend import UpdateKernel
from .buffers import HostArray, empty, scratch
from .rows import over_rows, reals, row_blocks


def serves(*arrays: Any) -> bool:
    """Arrays of one shape in float32 or float64."""
    return reals(*arrays) and all(a.shape == arrays[0].shape for a in arrays)


def over_elements(work: Callable[[int, slice], None], *arrays: HostArray) -> None:
    """Calls `work(number, elements)` for every block of flat arrays."""
    over_rows(work, arrays[0].size, 1)


def _flat(*arrays: HostArray) -> list[HostArray]:
    return [a.reshape(-1) for a in arrays]


def _results(donate: bool, *arrays: HostArray) -> tuple[HostArray, ...]:
    """For each array the place of its next value: itself, if it is given away and can be written to, or a new one."""
    return tuple(
        a if donate and a.flags.writeable and a.flags.c_contiguous else empty(a.shape, a.dtype) for a in arrays
    )


def _by(factor: Any, g: HostArray) -> Any:
    """What gradients like g are multiplied by, in their type; None stands for 1."""
    return g.dtype.type(1 if factor is None else factor)


def _moments(
    g: HostArray, m: HostArray, v: HostArray, new_m: HostArray, new_v: HostArray, beta1: float, beta2: float, by: Any
) -> None:
    """m' = β₁ m + (1 - β₁) g and v' = β₂ v + (1 - β₂) g², of a block, for gradients `by` g."""
    part = scratch(0, g.shape, g.dtype)
    if by != 1:
        g = np.multiply(g, by, out=scratch(1, g.shape, g.dtype))
    np.multiply(g, 1.0 - beta1, out=part)
    np.multiply(m, beta1, out=new_m)
    np.add(new_m, part, out=new_m)
    np.multiply(g, g, out=part)
    np.multiply(part, 1.0 - beta2, out=part)
    np.multiply(v, beta2, out=new_v)
    np.add(new_v, part, out=new_v)


def _google(
    xp: Namespace, p: HostArray, g: HostArray, m: HostArray, v: HostArray, rate: Any,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float, factor: Any = None, donate: bool = False,
) -> tuple[HostArray, ...]:  # fmt: skip
    """p' = p - η (m' / (√v' + ε) + λ p)"""
    return _adam(p, g, m, v, float(rate), epsilon, float(rate) * weight_decay, (beta1, beta2), factor, donate)


def _adamw(
    xp: Namespace, p: HostArray, g: HostArray, m: HostArray, v: HostArray,
    rate: Any, correction1: Any, correction2: Any,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float, factor: Any = None, donate: bool = False,
) -> tuple[HostArray, ...]:  # fmt: skip
    """p' = (1 - η λ) p - η (m'/c₁) / (√(v'/c₂) + ε), and the fraction is (√c₂/c₁) m' / (√v' + √c₂ ε)."""
    root = math.sqrt(correction2)
    length = float(rate) * root / float(correction1)
    return _adam(p, g, m, v, length, epsilon * root, float(rate) * weight_decay, (beta1, beta2), factor, donate)


def _adam(
    p: HostArray, g: HostArray, m: HostArray, v: HostArray,
    length: float, epsilon: float, decay: float, betas: tuple[float, float], factor: Any, donate: bool,
) -> tuple[HostArray, ...]:  # fmt: skip
    """p' = p - (length m' / (√v' + epsilon) + decay p)"""
    new = _results(donate, p, m, v)
    flat, by = _flat(p, g, m, v, *new), _by(factor, g)

    def block(_: int, r: slice) -> None:
        p, g, m, v, new_p, new_m, new_v = (a[r] for a in flat)
        _moments(g, m, v, new_m, new_v, *betas, by)
        step = _step(new_m, new_v, epsilon, length)
        if decay:
            part = scratch(1, p.shape, p.dtype)
            np.multiply(p, decay, out=part)
            np.add(step, part, out=step)
        np.subtract(p, step, out=new_p)

    over_elements(block, p)
    return new


def _step(new_m: HostArray, new_v: HostArray, epsilon: float, length: float) -> HostArray:
    """length m' / (√v' + epsilon) of a block, in scratch."""
    step = scratch(0, new_m.shape, new_m.dtype)
    np.sqrt(new_v, out=step)
    np.add(step, epsilon, out=step)
    np.divide(new_m, step, out=step)
    return np.multiply(step, length, out=step)


def _lamb(
    xp: Namespace, p: HostArray, g: HostArray, m: HostArray, v: HostArray,
    rate: Any, correction1: Any, correction2: Any,
    *, beta1: float, beta2: float, epsilon: float, weight_decay: float, adapt: bool = True, factor: Any = None,
    donate: bool = False,
) -> tuple[HostArray, ...]:  # fmt: skip
    """p' = p - η ‖p‖/‖u‖ u with u = (m'/c₁) / (√(v'/c₂) + ε) + λ p; u waits where p' will be."""
    new = (*_results(False, p), *_results(donate, m, v))
    flat, by = _flat(p, g, m, v, *new), _by(factor, g)
    root = math.sqrt(correction2)
    squares = np.zeros((2, len(row_blocks(p.size, 1))))

    def block(i: int, r: slice) -> None:
        p, g, m, v, u, new_m, new_v = (a[r] for a in flat)
        _moments(g, m, v, new_m, new_v, beta1, beta2, by)
        step = _step(new_m, new_v, epsilon * root, root / float(correction1))
        if weight_decay:
            np.multiply(p, weight_decay, out=u)
            np.add(u, step, out=u)
        else:
            u[...] = step
        squares[:, i] = np.vdot(p, p), np.vdot(u, u)

    over_elements(block, p)
    weight, step = (math.sqrt(total) for total in np.add.reduce(squares, axis=1))
    ratio = weight / step if adapt and weight > 0 and step > 0 else 1.0
    factor = float(rate) * ratio

    def apply(_: int, r: slice) -> None:
        np.multiply(flat[4][r], factor, out=flat[4][r])
        np.subtract(flat[0][r], flat[4][r], out=flat[4][r])

    over_elements(apply, p)
    return new


def _squared_norm(xp: Namespace, a: HostArray) -> Any:
    """Σ a², in a's type."""
    flat = a.reshape(-1)
    parts = np.zeros(len(row_blocks(a.size, 1)))

    def block(i: int, r: slice) -> None:
        parts[i] = np.vdot(flat[r], flat[r])

    over_elements(block, a)
    return np.asarray(np.sum(parts), a.dtype)


def _blank(xp: Namespace, length: int, dtype: str) -> HostArray:
    """An array to be written to, in memory that was used before."""
    return empty((length,), np.dtype(dtype))


UPDATES: dict[str, UpdateKernel] = {
    name: UpdateKernel(name, compute, serves if compute is not _blank else lambda *arrays: not arrays)
    for name, compute in (
        ("adamw_update", _adamw),
        ("blank", _blank),
        ("google_update", _google),
        ("lamb_update", _lamb),
        ("squared_norm", _squared_norm),
    )
}
