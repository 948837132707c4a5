"""What a right op satisfies. Every check raises AssertionError for a wrong one; the mutated twins hold them
to that.

`check_forward` and `check_backward` are everything about an op's values: its goldens, fixed random cases
(empty ones among them) against torch, the slope along random directions, and the edge cases that its
docstring states.
"""

import itertools
from typing import Any

import numpy as np

from bertref.golden.generate import op_torch
from bertref.golden.generate.op_inputs import INPUTS, OpCase
from bertref.ops import Op

from .edges import EDGES
from .harness import arguments, backward, close, forward, golden_cases

TORCH_LIMIT = 1e-12
"""Two float64 computations of sums of some dozen terms, each good to 1e-15, with room for cancellation."""
SLOPE_LIMIT = 1e-9
SLOPE_NOISE = 1e-11
STEP = 2.0**-9
"""Three extrapolated differences leave an error of order step^6, and rounding of order 1e-16 / step."""


def check_golden_forward(op: Op, xp: Any, dtype: str) -> None:
    for golden in golden_cases(op.name, dtype):
        call = forward(op, xp, golden.case, dtype)
        close(xp.to_numpy(call.y), golden.output, golden.relative, f"{op.name}, {golden.name}, {dtype}")


def check_golden_backward(op: Op, xp: Any, dtype: str) -> None:
    for golden in golden_cases(op.name, dtype):
        gradients = backward(op, xp, forward(op, xp, golden.case, dtype), golden.upstream)
        compare(xp, gradients, golden.gradients, golden.relative, f"{op.name}, {golden.name}, {dtype}")


def compare(
    xp: Any, got: dict[str, Any], expected: dict[str, Any], relative: float, where: str, floor: float = 0
) -> None:
    """Gradients by name; one that is absent on one side is absent on the other. `floor`: see `close`."""
    present = {name: xp.to_numpy(gradient) for name, gradient in got.items() if gradient is not None}
    assert set(present) == set(expected), f"{where}: gradients of {set(present)}, expected of {set(expected)}"
    for name, gradient in expected.items():
        close(present[name], gradient, relative, f"{where}, gradient of {name}", floor)


def check_case_forward(op: Op, xp: Any, case: OpCase) -> None:
    """The output is torch's."""
    y = xp.to_numpy(forward(op, xp, case).y)
    close(y, op_torch.output(op.name, case.inputs, case.options), TORCH_LIMIT, f"{op.name} against torch")


def check_case_backward(op: Op, xp: Any, case: OpCase, upstream: np.ndarray) -> None:
    """The gradients are autograd's."""
    wrt = INPUTS[op.name].differentiable
    _, expected = op_torch.solve(op.name, case.inputs, case.options, wrt, upstream)
    gradients = backward(op, xp, forward(op, xp, case), upstream)
    # a gradient that cancels (a row of length 2 in layer norm) is judged by the size of the others
    floor = max((float(np.max(np.abs(g))) for g in expected.values() if g.size), default=0.0)
    compare(xp, gradients, expected, TORCH_LIMIT, f"{op.name} against autograd", floor)


def check_slope(op: Op, xp: Any, case: OpCase, upstream: np.ndarray, rng: np.random.Generator) -> None:
    """Along a random direction, L = Σ dy y rises as steeply as the gradients say."""
    gradients = backward(op, xp, forward(op, xp, case), upstream)
    moving = {name: xp.to_numpy(g) for name, g in gradients.items() if g is not None}
    direction = {name: rng.normal(size=gradient.shape) for name, gradient in moving.items()}

    def loss(t: float) -> np.ndarray:
        moved = {name: case.inputs[name] + t * direction[name] for name in moving}
        y, _ = op.forward(xp, **arguments(xp, OpCase({**case.inputs, **moved}, case.options), "float64"))
        return upstream * xp.to_numpy(y)

    slopes = [float(np.sum(loss(h) - loss(-h))) / (2 * h) for h in (STEP, STEP / 2, STEP / 4)]
    once = [(4 * fine - coarse) / 3 for coarse, fine in itertools.pairwise(slopes)]
    measured = (16 * once[1] - once[0]) / 15
    terms = [moving[name] * direction[name] for name in moving]
    claimed = sum(float(np.sum(term)) for term in terms)
    scale = sum(float(np.sum(np.abs(term))) for term in terms)
    limit = SLOPE_LIMIT * scale + SLOPE_NOISE * float(np.sum(np.abs(loss(0.0))))
    assert abs(measured - claimed) <= limit, f"{op.name}: the slope is {measured}, the gradients say {claimed}"


def random_case(op: str, seed: int, sizes: dict[str, int], **options: Any) -> tuple[OpCase, np.ndarray, Any]:
    """A case, an upstream gradient for it, and the generator for more."""
    rng = np.random.default_rng(seed)
    case = INPUTS[op].sampler(rng, **sizes, **options)
    shape = op_torch.output(op, case.inputs, case.options).shape
    return case, rng.normal(size=shape), rng


def fixed_cases(op: str) -> list[tuple[OpCase, np.ndarray, Any]]:
    """Ordinary sizes twice, then every size that may be 0 set to 0."""
    known = INPUTS[op]
    sizes = dict(zip(known.sizes, range(3, 3 + len(known.sizes)), strict=True))
    empty = {**sizes, **dict.fromkeys(known.may_be_empty, 0)}
    return [random_case(op, seed, given) for seed, given in enumerate((sizes, sizes, empty))]


def check_forward(op: Op, xp: Any) -> None:
    """All that is checked of an op's forward."""
    for dtype in ("float64", "float32"):
        check_golden_forward(op, xp, dtype)
    for case, _, _ in fixed_cases(op.name):
        check_case_forward(op, xp, case)
    for edge in EDGES[op.name]:
        edge.forward(op, xp)


def check_backward(op: Op, xp: Any) -> None:
    """All that is checked of an op's backward."""
    for dtype in ("float64", "float32"):
        check_golden_backward(op, xp, dtype)
    for case, upstream, rng in fixed_cases(op.name):
        check_case_backward(op, xp, case, upstream)
        check_slope(op, xp, case, upstream, rng)
    for edge in EDGES[op.name]:
        edge.backward(op, xp)
