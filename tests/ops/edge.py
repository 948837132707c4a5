"""A case at the edge of what an op is for, with its known result."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bertref.golden.generate.op_inputs import OpCase
from bertref.ops import Op

from .harness import backward, forward

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Edge:
    """A case with a known result; `units` of the largest element's last place may be lost; NaN equals NaN."""

    statement: str
    case: OpCase
    output: Any
    upstream: Any = None
    gradients: dict[str, Any] = field(default_factory=dict)
    units: float = 0

    def forward(self, op: Op, xp: Any) -> None:
        for dtype in DTYPES:
            with np.errstate(all="ignore"):
                y = xp.to_numpy(forward(op, xp, self.case, dtype).y)
            self._match(y, self.output, dtype, f"{op.name}: {self.statement}")

    def backward(self, op: Op, xp: Any) -> None:
        if self.upstream is None:
            return
        for dtype in DTYPES:
            with np.errstate(all="ignore"):
                gradients = backward(op, xp, forward(op, xp, self.case, dtype), np.asarray(self.upstream, dtype=float))
            for name, expected in self.gradients.items():
                self._match(xp.to_numpy(gradients[name]), expected, dtype, f"{op.name}, {name}: {self.statement}")

    def _match(self, got: np.ndarray, expected: Any, dtype: str, where: str) -> None:
        expected = np.asarray(expected, dtype=float)
        assert got.shape == expected.shape, f"{where}: shape {got.shape}, expected {expected.shape}"
        finite = np.isfinite(expected)
        same = np.array_equal(got[~finite].astype(float), expected[~finite], equal_nan=True)
        assert same, f"{where} ({dtype}): got {got}, expected {expected}"
        if finite.any():
            limit = self.units * np.finfo(dtype).eps * np.max(np.abs(expected[finite]))
            error = np.max(np.abs(got[finite].astype(float) - expected[finite].astype(dtype)))
            assert error <= limit, f"{where} ({dtype}): got {got}, expected {expected}"
