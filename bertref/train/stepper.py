"""The steps of a run, one after the other, without waiting for the device.

A step is issued before the host reads what the one before has reported, so that an asynchronous device always has work:
it decides by itself whether a step is made (`issue_step`). One that isn't made is known of when the next one is issued
already, by a loss scale and a count that are then wrong; the device leaves that one out, too, and it is issued again.

    issue 1    issue 2, read 1    issue 3, read 2    ...

Where calls return when all is done, a step is read at once.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ..data.batch import Batch
from ..opset import OpSet
from .results import IssuedStep, StepResult
from .step import State, TrainingRecipe, issue_step, not_updated

Seen = Callable[[StepResult, State, Batch], None]
"""Is called with each step in turn: what it reported; the state before it, if it was not made (else the count and the
loss scale are those before it, the arrays later ones); and its batch."""


class _Unread(NamedTuple):
    """A step that the host has not read; `before` is the state before it, without arrays."""

    before: State
    batch: Batch
    issued: IssuedStep


class Stepper:
    """`state` is the one after the last step that was issued: to be relied on after `settle`. The state that it begins
    with is given away (`issue_step`)."""

    def __init__(self, ops: OpSet, recipe: TrainingRecipe, state: State, seen: Seen) -> None:
        self.state = state
        self._ops, self._recipe, self._seen = ops, recipe, seen
        self._unread: _Unread | None = None

    def step(self, batch: Batch) -> None:
        """Makes a step."""
        unread = self._issued(batch)
        if not self._read():
            unread = self._issued(batch)
        self._unread = unread
        if not self._ops.xp.asynchronous:
            self.settle()

    def settle(self) -> None:
        """Reads the last step, too."""
        self._read()

    def _issued(self, batch: Batch) -> _Unread:
        before = replace(self.state, params={}, moments={})
        self.state, issued = issue_step(self._ops, self._recipe, self.state, batch, donate=True)
        return _Unread(before, batch, issued)

    def _read(self) -> bool:
        """Whether the step that was not read yet was made; True if there is none."""
        if self._unread is None:
            return True
        (before, batch, issued), self._unread = self._unread, None
        result = issued.result
        if not result.updated:
            self.state = not_updated(before, self.state)
        self._seen(result, replace(before, params=self.state.params, moments=self.state.moments), batch)
        return result.updated
