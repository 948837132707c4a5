"""Query, key and value: dense layers of one input, whose weights may lie side by side.

    q, k, v = x Wqᵀ + bq, x Wkᵀ + bk, x Wvᵀ + bv          (T, H)

One below the other, the three weights are a matrix W (3H, H), and the three products are one,

    y = x Wᵀ + b                                           (T, 3H): its thirds are q, k and v

and so are those of backward: dx = dy W adds up what comes back from all three, and the thirds of dW = dyᵀ x are their
gradients. That is what is computed where the parameters have such a W (`params.joined`); else there are three layers.
"""

from typing import Any, NamedTuple

from ..arrays import Array, Namespace
from ..opset import OpSet
from ..params import PROJECTIONS


class ProjectionRun(NamedTuple):
    """One dense layer: which projections it makes, and its cache."""

    names: tuple[str, ...]
    cache: Any


def forward(ops: OpSet, p: dict[str, Array], x: Array) -> list[tuple[Array, ProjectionRun]]:
    """x (T, H) -> for every dense layer its y (T, n H), for n projections."""
    joined = f"self.{'_'.join(PROJECTIONS)}"
    together = {f"{joined}.weight", f"{joined}.bias"} <= p.keys()
    layers = []
    for names in [PROJECTIONS] if together else [(name,) for name in PROJECTIONS]:
        module = f"self.{'_'.join(names)}"
        y, cache = ops.dense.forward(x, p[f"{module}.weight"], p[f"{module}.bias"])
        layers.append((y, ProjectionRun(names, cache)))
    return layers


def backward(ops: OpSet, dy: Array, run: ProjectionRun) -> tuple[Array, dict[str, Array]]:
    """dy (T, n H) -> dx (T, H) and the gradients of the n weights and biases, by local names."""
    dense = ops.dense.backward(dy, run.cache)
    grads = {f"self.{name}.weight": part for name, part in parts(dense.weight, run.names, 0).items()}
    return dense.x, grads | {f"self.{name}.bias": part for name, part in parts(dense.bias, run.names, 0).items()}


def parts(array: Array, names: tuple[str, ...], axis: int = -1) -> dict[str, Array]:
    """The array's n equal parts along the first or the last axis, by their names."""
    if len(names) == 1:
        return {names[0]: array}
    width = array.shape[axis] // len(names)
    cuts = [slice(i * width, (i + 1) * width) for i in range(len(names))]
    return {name: array[cut] if axis == 0 else array[..., cut] for name, cut in zip(names, cuts, strict=True)}


def side_by_side(xp: Namespace, grads: Any, names: tuple[str, ...]) -> Array:
    """Of attention's gradients those of n projections, (B, S, n H)."""
    if len(names) == 1:
        return getattr(grads, *names)
    made_so: Array | None = getattr(grads, "side_by_side", None)  # by a kernel that knows the hint of that name
    return xp.concat([getattr(grads, name) for name in names], axis=-1) if made_so is None else made_so
