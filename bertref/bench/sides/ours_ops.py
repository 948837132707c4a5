"""bertref's ops, forward and backward, each by itself at the shapes of a training step."""

from typing import Any

import numpy as np

from ... import backends
from ...opset import OpSet
from ...optim import Optimizer
from .. import op_cases
from ..job import Job
from .ours import about


class Ops:
    """Every op with its kernel, where the backend has one and they are on, else the reference."""

    def __init__(self, job: Job) -> None:
        backend = backends.get(job.backend)
        self.ops = OpSet(backend, kernels=job.kernels)
        self.about = about(job)
        self.units = tuple(op_cases.cases(job))
        self.rule = Optimizer("adamw")
        self.job = job
        self._ready: tuple[str, Any] | None = None

    def _place(self, unit: str) -> Any:
        """The arguments on the device; one op's at a time, since those of all would fill the memory."""
        if self._ready is None or self._ready[0] != unit:
            self._ready = None
            xp = self.ops.xp
            # each case from a generator of its own, so that the order in which ops are asked for makes no difference
            arrays, options = op_cases.cases(self.job)[unit]()
            placed = [
                a if a is None else xp.from_numpy(a, self.job.dtype if a.dtype.kind == "f" else None)
                for a in arrays.values()
            ]
            if unit == op_cases.ADAMW:
                self._ready = unit, (None, placed, options, None)
                return self._ready[1]
            op = getattr(self.ops, unit.partition(" ")[0])
            y, _ = op.forward(*placed, **options)
            dy = xp.from_numpy(op_cases.upstream(xp.to_numpy(y), self.job.seed), self.job.dtype)
            self._ready = unit, (op, placed, options, dy)
        return self._ready[1]

    def figures(self) -> dict[str, Any]:
        """The norm of every op's output and of its gradients."""
        found: dict[str, Any] = {}
        for unit in self.units:
            op, arguments, options, dy = self._place(unit)
            if op is None:
                moved = self._update(arguments) - arguments[0]
                found[f"{unit}: p"] = self._norm(moved)
                continue
            y, run = op.forward(*arguments, **options)
            grads = op.backward(dy, run)
            for name, array in {"output": y, **grads._asdict()}.items():
                if array is not None:
                    found[f"{unit}: {name}"] = self._norm(array)
        return found

    def _norm(self, array: Any) -> float:
        return float(np.linalg.norm(np.asarray(self.ops.xp.to_numpy(array), np.float64).reshape(-1)))

    def _update(self, arguments: list[Any]) -> Any:
        """The new parameter."""
        p, g, m, v = arguments
        params, _ = self.rule.update(
            self.ops.xp, {"p": p}, {"p": g}, {"p/m": m, "p/v": v}, rate=op_cases.RATE, step=op_cases.UPDATES + 1,
            updates=self.ops.updates,
        )  # fmt: skip
        return params["p"]

    def run(self, unit: str) -> None:
        op, arguments, options, dy = self._place(unit)
        if op is None:
            self._update(arguments)
        else:
            _, run = op.forward(*arguments, **options)
            op.backward(dy, run)
        self.ops.xp.synchronize()

