"""bertref's ops, forward and backward, each by itself at the shapes of a training step."""

from typing import Any

import numpy as np

from ... import backends
from ...opset import OpSet
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
            y, run = op.forward(*arguments, **options)
            grads = op.backward(dy, run)
            for name, array in {"output": y, **grads._asdict()}.items():
                if array is not None:
                    host = self.ops.xp.to_numpy(array)
                    found[f"{unit}: {name}"] = float(np.linalg.norm(np.asarray(host, np.float64).reshape(-1)))
        return found

    def run(self, unit: str) -> None:
        op, arguments, options, dy = self._place(unit)
        _, run = op.forward(*arguments, **options)
        op.backward(dy, run)
        self.ops.xp.synchronize()

