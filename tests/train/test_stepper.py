"""A step is issued before the one before is read; what comes out is what comes out of waiting for each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.backends.numpy.backend import NumpyNamespace
from bertref.backends.torch.backend import TorchNamespace
from bertref.data.batch import Batch
from bertref.errors import TrainingDiverged
from bertref.opset import OpSet
from bertref.precision import LossScale, Precision
from bertref.train import step as step_module
from bertref.train.diverged import DivergenceWatch
from bertref.train.loop import Pace, Trained, train
from bertref.train.step import State, TrainingRecipe, initial_state, issue_step

from ..model_cases import Case, case
from .pretraining.running import Log, run
from .test_step import FLOAT64, batches, dropping, must_be_equal, recipe

STEPS = 7


class Device(NumpyNamespace):
    """NumPy as a device that the host does not wait for: what is fetched, and when it is read, is written down."""

    asynchronous = True

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.steps = 0

    def fetch(self, x: Any) -> Callable[[], Any]:
        self.steps += 1
        number, values = self.steps, np.array(x)
        self.said.append(f"issued {number}")

        def read() -> Any:
            self.said.append(f"read {number}")
            return values

        return read

    def to_numpy(self, x: Any) -> Any:
        self.said.append("waited")
        return super().to_numpy(x)


@dataclass
class Task:
    """Batches of a case; it remembers what was saved, in which `bad` steps have a weight that is NaN."""

    c: Case
    xp: Any
    bad: tuple[int, ...] = ()
    saved: list[State] = field(default_factory=list)

    def batch(self, step: int) -> Batch:
        batch = list(batches(self.c, step + 1))[-1]
        if step + 1 in self.bad:
            return replace(batch, masked_lm_weights=batch.masked_lm_weights * np.nan)
        return batch

    def save(self, state: State) -> None:
        self.xp.to_numpy(state.params["bert.pooler.dense.bias"])
        self.saved.append(replace(state, params={n: np.array(p) for n, p in state.params.items()},
                                  moments={n: np.array(m) for n, m in state.moments.items()}))  # fmt: skip

    def evaluate(self, state: State) -> bool:
        self.xp.to_numpy(state.params["bert.pooler.dense.bias"])
        return True


def trained(xp: Any, plan: TrainingRecipe, task: Task, pace: Pace) -> tuple[Trained, Log]:
    log = Log()
    ops = OpSet(replace(backends.get("numpy"), xp=xp))
    watch = DivergenceWatch(ops, plan, 10.0, lambda: None)
    return train(ops, plan, initial_state(ops, plan, task.c.params), task, pace, watch, log, lambda: False), log


def shown(log: Log) -> list[dict[str, Any]]:
    """What was reported of each step, but for the time."""
    timed = ("seconds", "tokens_per_second")
    return [{name: value for name, value in step.items() if name not in timed} for step in log.of("step")]


def test_nothing_is_read_before_the_next_step_is_issued() -> None:
    """But for saves, after steps 3 and 6, an evaluation, after step 5, and the end."""
    c, device = dropping(layers=1), Device()
    trained(device, recipe(c), Task(c, device), Pace(STEPS, log_every=1, save_every=3, eval_every=5))
    assert device.said == [
        "issued 1", "issued 2", "read 1", "issued 3", "read 2", "read 3", "waited",
        "issued 4", "issued 5", "read 4", "read 5", "waited",
        "issued 6", "read 6", "waited", "issued 7", "read 7",
    ]  # fmt: skip


def test_a_run_is_the_same() -> None:
    """Losses, figures, what is saved, the last state: to the bit."""
    c, found = dropping(layers=1), []
    for xp in (NumpyNamespace(), Device()):
        task = Task(c, xp)
        found.append((*trained(xp, recipe(c, precision=Precision()), task, Pace(STEPS, 2, 3)), task.saved))
    (one, log, saved), (other, its_log, its_saved) = found
    assert shown(log) == shown(its_log)
    assert [v["step"] for v in log.of("step")] == [1, 2, 4, 6, 7]
    assert one.curve == other.curve
    ops = OpSet(backends.get("numpy"))
    for state, its in zip([*saved, one.state], [*its_saved, other.state], strict=True):
        must_be_equal(ops, state, its)
        assert (state.step, state.loss_scale) == (its.step, its.loss_scale)


@pytest.mark.parametrize("bad", [(3,), (3, 4), (STEPS,), (1,)])
def test_a_bad_step_is_named(bad: tuple[int, ...]) -> None:
    """With the first bad tensor, though the next step has been issued; a step between is not hidden by a later one."""
    c, said = case(layers=1), []
    for xp in (NumpyNamespace(), Device()):
        with pytest.raises(TrainingDiverged) as caught:
            trained(xp, recipe(c), Task(c, xp, bad), Pace(STEPS, 1, 100))
        said.append(str(caught.value))
    assert said[0].startswith(f"step {bad[0]}: the loss is nan and the gradient norm nan; the first bad tensor is loss")
    assert said[1] == said[0]


def skipped_steps_must_agree() -> None:
    """Under a dynamic loss scale, of which each bad step costs a half; the fourth and fifth in a row."""
    c, found = dropping(layers=1), []
    plan = recipe(c, precision=replace(FLOAT64, loss_scale="dynamic"))
    for xp in (NumpyNamespace(), Device()):
        found.append(trained(xp, plan, Task(c, xp, bad=(2, 4, 5)), Pace(STEPS, 1, 100)))
    (one, log), (other, its_log) = found
    np.testing.assert_equal(shown(its_log), shown(log))
    assert [v["updated"] for v in log.of("step")] == [True, False, True, False, False, True, True]
    must_be_equal(OpSet(backends.get("numpy")), one.state, other.state)
    assert (one.state.step, one.state.loss_scale) == (other.state.step, other.state.loss_scale)
    assert one.state.loss_scale == LossScale(2.0**13, good_steps=2)


def test_after_a_skipped_step_the_next_is_made_again() -> None:
    skipped_steps_must_agree()


def test_a_device_that_makes_it_the_first_time_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step after a skipped one is issued twice, the first time with a wrong loss scale, and must be made once."""
    whole = step_module._all_finite
    monkeypatch.setattr(step_module, "_all_finite", lambda xp, numbers, before: whole(xp, numbers, None))
    with pytest.raises(AssertionError):
        skipped_steps_must_agree()


@pytest.mark.parametrize(
    "changes", [{}, {"packed": True, "chunks": 2}, {"precision": Precision.preset("mixed-float16")}], ids=str
)
def test_no_value_is_asked_for_within_a_step(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    """Neither by `to_numpy` nor by making a Python number of an array, which torch calls `_local_scalar_dense`."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    asked: list[str] = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            asked.extend([str(func)] if "local_scalar_dense" in str(func) or "nonzero" in str(func) else [])
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(TorchNamespace, "asynchronous", True)
    monkeypatch.setattr(TorchNamespace, "to_numpy", lambda self, x: asked.append("to_numpy"))
    ops, c = OpSet(backends.get("torch")), dropping(layers=1)
    plan = recipe(c, **changes)
    state = initial_state(ops, plan, c.params)
    monkeypatch.setattr(TorchNamespace, "fetch", lambda self, x: asked.append("fetched"))
    with Watching():
        issue_step(ops, plan, state, next(batches(c, 1)))
        assert asked == ["fetched"]
        float(torch.ones(()))
        assert len(asked) == 2, "a number that is asked for isn't seen"


def test_pretraining_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run tells and leaves on the disk, interrupted and resumed, too."""
    options = {"eval_every": 5, "save_every": 4, "keep": 9}
    want = run(tmp_path, "waiting", **options)
    monkeypatch.setattr(NumpyNamespace, "asynchronous", True)
    got = run(tmp_path, "going-on", **options)
    assert shown(got) == shown(want)
    kinds = [[event for event, _ in log] for log in (want, got)]
    assert kinds[0] == kinds[1]
    assert want.of("eval") == got.of("eval")
    run(tmp_path, "parts", stop_after=6, **options)
    run(tmp_path, "parts", resume=True, **options)
    names = sorted(path.relative_to(tmp_path / "waiting") for path in (tmp_path / "waiting").rglob("*.safetensors"))
    assert len(names) > 3
    for out in ("going-on", "parts"):
        for name in names:
            assert (tmp_path / out / name).read_bytes() == (tmp_path / "waiting" / name).read_bytes(), (out, name)
