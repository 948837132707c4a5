"""The ops on a backend: which implementation of each runs, the reference or the backend's faster kernel.

`OpSet(backend).layer_norm.forward(x, gamma, beta, eps=eps)` is the reference op with the backend's `xp` filled in, or a
kernel that replaces the pair. A kernel serves what it says it serves; for anything else, and whenever somebody wants
to see a value inside it, the reference does the work. `OpSet.explain` says which it is, and why.

Two choices are made elsewhere, by the same rule: the optimisers' passes over the parameters (`bertref.optim.faster`),
and who multiplies the matrices of NumPy's kernels (`bertref.backends.numpy.blas`).
"""

import copy
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, Protocol, TypeVar

from .arrays import Array, Namespace
from .errors import InputError
from .ops import (
    OPS,
    add,
    attention,
    bias_activation,
    binary_cross_entropy,
    cosine,
    cross_entropy,
    decoder_cross_entropy,
    dense,
    dropout,
    dropout_add_norm,
    embedding,
    gather,
    gelu_erf,
    gelu_tanh,
    kl_divergence,
    layer_norm,
    log_softmax,
    packing,
    relu,
    soft_cross_entropy,
    softmax,
    span_cross_entropy,
    squared_error,
    tanh,
)
from .ops.op import AnyOp, Kernel, Op

__all__ = ["BackendLike", "BoundOp", "Choice", "ForwardRun", "Kernel", "OpSet"]

log = logging.getLogger("bertref")

P = ParamSpec("P")
G = TypeVar("G")


class BackendLike(Protocol):
    """What an OpSet needs of a backend."""

    @property
    def xp(self) -> Namespace: ...
    @property
    def kernels(self) -> Mapping[str, Kernel]: ...


class ForwardRun(NamedTuple):
    """What forward leaves for backward: the pair that ran, so that it is never half of one, and its cache (None where
    no backward is to follow)."""

    pair: AnyOp | Kernel
    cache: Any


class Choice(NamedTuple):
    """Which implementation of an op serves given arguments: "kernel" or "reference", the module it is in, and why the
    kernel, if there is one, does not."""

    op: str
    implementation: str
    module: str
    why: str


class BoundOp(Generic[P, G]):
    """An op with its array namespace filled in."""

    def __init__(self, xp: Namespace, op: Op[P, G], kernel: Kernel | None) -> None:
        self._xp, self._op, self._kernel = xp, op, kernel
        self._fell_back, self._keep, self._hints = False, True, dict[str, Any]()

    @property
    def name(self) -> str:
        return self._op.name

    def replaced(self, op: Op[P, G]) -> "BoundOp[P, G]":
        """The same op with another pair in place of the reference."""
        other = copy.copy(self)
        other._op = op
        return other

    def forward_only(self) -> "BoundOp[P, G]":
        """The same op, keeping nothing for a backward; kernels with the hint `gradients` don't make it either."""
        other = copy.copy(self)
        other._keep = False
        return other

    def for_backward(self) -> "BoundOp[P, G]":
        """The same op, keeping what a backward needs: undoes `forward_only`."""
        other = copy.copy(self)
        other._keep = True
        return other

    def hinted(self, **hints: Any) -> "BoundOp[P, G]":
        """The same op, with options for a kernel that knows them; the reference does not see them."""
        other = copy.copy(self)
        other._hints = hints
        return other

    def forward(self, *args: P.args, **options: P.kwargs) -> tuple[Array, ForwardRun]:
        """The op's forward without `xp`; an option `probe(name, array)` shows the inner values that `Op.probes` names,
        by the reference, and `figure(name, array)` what `Op.figures` names, whichever implementation runs."""
        if options.get("probe") is None:
            options.pop("probe", None)
            if self._kernel is not None:
                if self._kernel.serves(*args, **options):
                    said = {**self._hints, "gradients": self._keep}
                    known = {name: value for name, value in said.items() if name in self._kernel.hints}
                    y, cache = self._kernel.forward(self._xp, *args, **options, **known)
                    return y, ForwardRun(self._kernel, cache if self._keep else None)
                self._say_fallback()
        y, cache = self._op.forward(self._xp, *args, **options)
        return y, ForwardRun(self._op, cache if self._keep else None)

    def backward(self, dy: Array, run: ForwardRun, *, probe: Callable[[str, Array], None] | None = None) -> G:
        """The gradients, by the pair that ran forward. A probe needs a forward that had one, too.

        Raises `ValueError` after a forward that kept nothing (`OpSet.forward_only`).
        """
        if run.cache is None:
            raise ValueError(f"{self._op.name}: forward kept nothing for backward; don't use forward_only() to train")
        options = {} if probe is None else {"probe": probe}
        grads: G = run.pair.backward(self._xp, dy, run.cache, **options)
        return grads

    def explain(self, *args: P.args, **options: P.kwargs) -> Choice:
        """Which implementation `forward` would take for these arguments; only their dtypes and shapes count."""
        why = "the backend has none"
        if self._kernel is not None:
            if options.get("probe") is not None:
                why = "a value inside is shown"
            elif self._kernel.serves(*args, **{name: value for name, value in options.items() if name != "probe"}):
                return Choice(self._op.name, "kernel", self._kernel.forward.__module__, "")
            else:
                why = f"it serves: {(inspect.getdoc(self._kernel.serves) or 'other arguments').splitlines()[0]}"
        return Choice(self._op.name, "reference", self._op.forward.__module__, why)

    def _say_fallback(self) -> None:
        if not self._fell_back:
            self._fell_back = True
            log.info("%s: the kernel does not serve these shapes or dtypes; the reference is used", self._op.name)


class _OpAttribute(Generic[P, G]):
    """An op as an attribute of `OpSet`, with the op's own signature."""

    def __init__(self, op: Op[P, G]) -> None:
        self.name = op.name

    def __get__(self, ops: "OpSet", _owner: type) -> BoundOp[P, G]:
        bound: BoundOp[P, G] = ops._ops[self.name]
        return bound


class OpSet:
    """All ops on one backend, as attributes: `ops.dense`, `ops.layer_norm`, ... and `ops.xp`.

    `updates` are the backend's faster versions of the optimisers' functions (`bertref.optim.faster`), if it has any;
    `share` are its threads (`Backend.share`), `draw` makes dropout's decisions on the device (`Backend.draw`), `freeze`
    is for weights that won't change (`Backend.freeze`). Without kernels there is none of them. `take` is handed
    gradients to which nothing is added any more (`taking`).
    """

    add = _OpAttribute(add.add)
    attention = _OpAttribute(attention.attention)
    bias_activation = _OpAttribute(bias_activation.bias_activation)
    binary_cross_entropy = _OpAttribute(binary_cross_entropy.binary_cross_entropy)
    cosine = _OpAttribute(cosine.cosine)
    cross_entropy = _OpAttribute(cross_entropy.cross_entropy)
    decoder_cross_entropy = _OpAttribute(decoder_cross_entropy.decoder_cross_entropy)
    dense = _OpAttribute(dense.dense)
    dropout = _OpAttribute(dropout.dropout)
    dropout_add_norm = _OpAttribute(dropout_add_norm.dropout_add_norm)
    embedding = _OpAttribute(embedding.embedding)
    gather = _OpAttribute(gather.gather)
    gelu_erf = _OpAttribute(gelu_erf.gelu_erf)
    gelu_tanh = _OpAttribute(gelu_tanh.gelu_tanh)
    kl_divergence = _OpAttribute(kl_divergence.kl_divergence)
    layer_norm = _OpAttribute(layer_norm.layer_norm)
    log_softmax = _OpAttribute(log_softmax.log_softmax)
    pack = _OpAttribute(packing.pack)
    relu = _OpAttribute(relu.relu)
    soft_cross_entropy = _OpAttribute(soft_cross_entropy.soft_cross_entropy)
    softmax = _OpAttribute(softmax.softmax)
    span_cross_entropy = _OpAttribute(span_cross_entropy.span_cross_entropy)
    squared_error = _OpAttribute(squared_error.squared_error)
    tanh = _OpAttribute(tanh.tanh)
    unpack = _OpAttribute(packing.unpack)

    def __init__(self, backend: BackendLike, *, kernels: bool = True) -> None:
        chosen = backend.kernels if kernels else {}
        unknown = sorted(set(chosen) - set(OPS))
        if unknown:
            raise LookupError(f"kernels for ops that do not exist: {', '.join(unknown)}")
        self.backend = backend
        self.xp = backend.xp
        self.updates: Mapping[str, Any] = getattr(backend, "updates", {}) if kernels else {}
        self.share = getattr(backend, "share", None) if kernels else None
        self.draw = getattr(backend, "draw", None) if kernels else None
        self.freeze = getattr(backend, "freeze", None) if kernels else None
        self.take: Callable[[dict[str, Array]], dict[str, Array]] | None = None
        self._ops: dict[str, Any] = {name: BoundOp(self.xp, op, chosen.get(name)) for name, op in OPS.items()}

    def drawing(self, rng: str) -> Callable[..., Any] | None:
        """Who decides on the device what dropout keeps, by the random numbers `rng` (`bertref.dropout.RNGS`); None: the
        host. Raises `InputError` where the device has no generator of its own for "native"."""
        if rng != "native":
            return self.draw
        native: Callable[..., Any] | None = getattr(self.backend, "native", None)
        if native is None:
            name = getattr(self.backend, "name", "this backend")
            raise InputError(f"--rng native: {name} draws dropout by the reference's numbers alone; leave it out")
        return native

    def forward_only(self) -> "OpSet":
        """The same ops for those who will not call backward: what an op would keep for it is let go at once."""
        return self.mapped(lambda op: op.forward_only())

    def for_backward(self) -> "OpSet":
        """The same ops for those who will: undoes `forward_only`."""
        return self.mapped(lambda op: op.for_backward())

    def taking(self, take: Callable[[dict[str, Array]], dict[str, Array]]) -> "OpSet":
        """The same ops for a backward that hands over the gradients of each layer when they are complete: what `take`
        makes of them stands in their place."""
        other = copy.copy(self)
        other.take = take
        return other

    def mapped(self, change: Callable[[BoundOp[..., Any]], Any]) -> "OpSet":
        """The same set with something else in place of every op, which can do what a `BoundOp` can."""
        other = copy.copy(self)
        other._ops = {name: change(op) for name, op in self._ops.items()}
        return other

    def explain(self, op: str, *args: Any, **options: Any) -> Choice:
        """Which implementation serves the op of that name for these arguments (see `BoundOp.explain`).

        `bertref.workload` has arguments as they occur in a model, without memory. Raises `AttributeError` for no op.
        """
        bound: BoundOp[..., Any] = getattr(self, op)
        return bound.explain(*args, **options)

    if not TYPE_CHECKING:  # the type checker refuses an op that is not declared

        def __getattr__(self, name: str) -> None:
            raise AttributeError(f"no op {name!r}; there are {', '.join(sorted(OPS))}")
