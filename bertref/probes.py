"""Probes: looking at intermediate values by their canonical names, without touching the model.

Forward values are called `embeddings.word`, `layer.3.scores`, `pooled`, `mlm.logits`, `loss.total`, ...; the gradient
that arrives at one is `grad:` and its name. Values over tokens are given in the padded layout (B, S, ...), whatever
layout the model computes in. `topology.probe_names` lists them all.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from .arrays import Array, Namespace
from .layout import Layout
from .ops.packing import unpack


class Recorder:
    """Collects the probes named in `wanted` (all, if None) in `values`, as arrays of the backend."""

    def __init__(self, wanted: Collection[str] | None = None) -> None:
        self.wanted = None if wanted is None else frozenset(wanted)
        self.values: dict[str, Array] = {}
        self._forms: dict[str, Callable[[Array], Array]] = {}

    def wants(self, name: str) -> bool:
        return self.wanted is None or name in self.wanted

    def record(self, name: str, value: Array, form: Callable[[Array], Array] | None = None) -> None:
        """Keeps a value; `form`, if there is one, makes what is shown of it, in `finish`."""
        self.values[name] = value
        if form is not None:
            self._forms[name] = form

    def finish(self) -> None:
        """Brings what was recorded into the form in which it is shown: when all is computed, because an emulated
        arithmetic may draw a random number for each of its operations, and looking must not change what is drawn."""
        for name in [name for name in self.values if name in self._forms]:
            self.values[name] = self._forms.pop(name)(self.values[name])

    def to_numpy(self, xp: Namespace) -> dict[str, Any]:
        """The recorded values as NumPy arrays."""
        return {name: xp.to_numpy(value) for name, value in self.values.items()}


class Probe:
    """A recorder as one part of the model sees it: under a prefix, knowing the layout of its rows."""

    def __init__(
        self,
        recorder: Recorder,
        xp: Namespace,
        layout: Layout,
        prefix: str = "",
        form: Callable[[Array], Array] | None = None,
    ) -> None:
        self._recorder, self._xp, self._layout, self._prefix, self._form = recorder, xp, layout, prefix, form

    def scope(self, prefix: str) -> "Probe":
        """The same under a longer prefix: `layer.3.` for a layer, `grad:` for the way back."""
        return Probe(self._recorder, self._xp, self._layout, self._prefix + prefix, self._form)

    def formed(self, form: Callable[[Array], Array]) -> "Probe":
        """The same for arrays whose rows aren't those of the layout: `form` makes the padded form of one, in
        `Recorder.finish`."""
        return Probe(self._recorder, self._xp, self._layout, self._prefix, form)

    def array(self, name: str, value: Array) -> None:
        """Records a value that has no token rows."""
        if self._recorder.wants(self._prefix + name):
            self._recorder.record(self._prefix + name, value, self._form)

    def rows(self, name: str, value: Array) -> None:
        """Records token rows (T, ...) as (B, S, ...)."""
        if self._recorder.wants(self._prefix + name):
            self._recorder.record(self._prefix + name, padded(self._xp, value, self._layout))

    def inner(self, names: Mapping[str, str], *, rows: bool) -> Callable[[str, Array], None] | None:
        """A probe for the inside of a composition (`names`: the op's -> ours), or None if nothing there is wanted.

        Not in backward either: the gradients inside can be seen only if the same composition ran forward.
        """
        ours = [self._prefix + name for name in names.values()]
        if not any(self._recorder.wants(full) for name in ours for full in (name, f"grad:{name}")):
            return None
        record = self.rows if rows else self.array
        return lambda name, value: record(names[name], value)


def padded(xp: Namespace, rows: Array, layout: Layout) -> Array:
    """Token rows (T, ...) in the padded layout (B, S, ...), 0 where there is no token in the packed one."""
    if layout.packed:
        rows, _ = unpack.forward(xp, rows, layout.slots, layout.valid, layout.places)
    return xp.reshape(rows, (layout.batch, layout.length, *rows.shape[1:]))
