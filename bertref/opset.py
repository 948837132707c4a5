"""The only place where an implementation of an op is chosen: the reference, or a backend's faster kernel.

`OpSet(backend).layer_norm.forward(x, gamma, beta, eps=eps)` is the reference op with the backend's `xp` filled in, or a
kernel that replaces the pair. A kernel serves what it says it serves; for anything else, and whenever somebody wants
to see a value inside it, the reference does the work.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from .arrays import Array, Namespace
from .ops import OPS, Op
from .ops.op import Kernel

__all__ = ["BackendLike", "BoundOp", "Kernel", "OpSet", "Run"]

log = logging.getLogger("bertref")


class BackendLike(Protocol):
    """What an OpSet needs of a backend."""

    @property
    def xp(self) -> Namespace: ...
    @property
    def kernels(self) -> Mapping[str, Kernel]: ...


class Run(NamedTuple):
    """What forward leaves for backward: the pair that ran, so that it is never half of one, and its cache (None where
    no backward is to follow)."""

    pair: Op | Kernel
    cache: Any


class BoundOp:
    """An op with its array namespace filled in."""

    def __init__(self, xp: Namespace, op: Op, kernel: Kernel | None) -> None:
        self._xp, self._op, self._kernel = xp, op, kernel
        self._fell_back, self._keep = False, True

    def forward_only(self) -> "BoundOp":
        """The same op, keeping nothing for a backward; kernels with the hint `gradients` don't make it either."""
        other = copy.copy(self)
        other._keep = False
        return other

    def forward(
        self,
        *args: Any,
        probe: Callable[[str, Array], None] | None = None,
        hints: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> tuple[Array, Run]:
        """The op's forward without `xp`; `probe(name, array)` shows the inner values that `Op.probes` names.

        `hints` are options for a kernel that knows them; the reference does not see them.
        """
        if probe is not None:
            options["probe"] = probe
        elif self._kernel is not None:
            if self._kernel.serves(*args, **options):
                said = {**(hints or {}), "gradients": self._keep}
                known = {name: value for name, value in said.items() if name in self._kernel.hints}
                y, cache = self._kernel.forward(self._xp, *args, **options, **known)
                return y, Run(self._kernel, cache if self._keep else None)
            self._say_fallback()
        y, cache = self._op.forward(self._xp, *args, **options)
        return y, Run(self._op, cache if self._keep else None)

    def backward(self, dy: Array, run: Run, *, probe: Callable[[str, Array], None] | None = None) -> Any:
        """The gradients, by the pair that ran forward. A probe needs a forward that had one, too.

        Raises `ValueError` after a forward that kept nothing (`OpSet.forward_only`).
        """
        if run.cache is None:
            raise ValueError(f"{self._op.name}: forward kept nothing for backward; don't use forward_only() to train")
        options = {} if probe is None else {"probe": probe}
        return run.pair.backward(self._xp, dy, run.cache, **options)

    def _say_fallback(self) -> None:
        if not self._fell_back:
            self._fell_back = True
            log.info("%s: the kernel does not serve these shapes or dtypes; the reference is used", self._op.name)


class OpSet:
    """All ops on one backend, as attributes: `ops.dense`, `ops.layer_norm`, ... and `ops.xp`.

    `updates` are the backend's faster versions of the optimisers' functions (`bertref.optim.faster`), if it has any;
    `share` are its threads (`Backend.share`), `freeze` is for weights that won't change (`Backend.freeze`). Without
    kernels there is none of them.
    """

    def __init__(self, backend: BackendLike, *, kernels: bool = True) -> None:
        chosen = backend.kernels if kernels else {}
        unknown = sorted(set(chosen) - set(OPS))
        if unknown:
            raise LookupError(f"kernels for ops that do not exist: {', '.join(unknown)}")
        self.backend = backend
        self.xp = backend.xp
        self.updates: Mapping[str, Any] = getattr(backend, "updates", {}) if kernels else {}
        self.share = getattr(backend, "share", None) if kernels else None
        self.freeze = getattr(backend, "freeze", None) if kernels else None
        self._ops = {name: BoundOp(self.xp, op, chosen.get(name)) for name, op in OPS.items()}

    def forward_only(self) -> "OpSet":
        """The same ops for those who will not call backward: what an op would keep for it is let go at once."""
        other = copy.copy(self)
        other._ops = {name: op.forward_only() for name, op in self._ops.items()}
        return other

    def __getattr__(self, name: str) -> BoundOp:
        try:
            return self.__dict__["_ops"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"no op {name!r}; there are {', '.join(sorted(OPS))}") from None
