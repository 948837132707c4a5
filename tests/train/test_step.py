"""One training step against autograd and the optimisers' oracles; many steps across backends, layouts and chunks."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from bertref import backends, model
from bertref.backends.contract import EXTRAS, STANDARD
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.errors import InputError
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.precision import LossScale, Precision
from bertref.probes import Recorder
from bertref.train import gathering
from bertref.train import step as step_module
from bertref.train.step import State, StepResult, TrainingRecipe, chunk_slices, gradients, initial_state, train_step

from .. import model_cases as cases
from ..model_cases import Arrays, Case, case, error, expected
from ..optim import optim_oracles as oracles

KINDS = ("google", "adamw", "lamb")
FLOAT64 = Precision.preset("float64")
FIRST = 7
"""The number of the update that is checked: bias correction and moments are well under way."""


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def recipe(c: Case, kind: Any = "adamw", **changes: Any) -> TrainingRecipe:
    """The oracles' rate and decay, everything in float64."""
    options = {
        "optimizer": Optimizer(kind, weight_decay=oracles.DECAY),
        "schedule": Schedule(kind="constant", peak=oracles.RATE, steps=100),
        "precision": FLOAT64,
        "clip_norm": oracles.CLIP,
        "seed": 11,
    }
    return TrainingRecipe(PretrainingObjective(), Settings(c.config, c.numerics), **{**options, **changes})


def running_moments(c: Case) -> Arrays:
    random = np.random.default_rng(3)
    moments = {}
    for name, p in c.params.items():
        moments[f"{name}/m"] = 0.01 * random.normal(size=p.shape)
        moments[f"{name}/v"] = 1e-4 * random.random(size=p.shape)
    return moments


def dialect_of(kind: str) -> str:
    return "google" if kind == "google" else "huggingface"


def check_step(ops: OpSet, kind: str, **changes: Any) -> None:
    """Update 7 of a 4-layer model: losses, every gradient, the norm, every update and moment are the oracles'."""
    c = case(layers=4, dialect=dialect_of(kind))
    xp, moments = ops.xp, running_moments(c)

    def send(arrays: Arrays) -> dict[str, Any]:
        return {name: xp.from_numpy(a) for name, a in arrays.items()}

    plan = recipe(c, kind, **changes)
    before = State(send(c.params), send(moments), FIRST - 1, None)
    want = expected(c)
    outcome, grads = gradients(ops, plan, before, c.batch)
    found = {name: float(xp.to_numpy(x)) for name, x in outcome.losses.items()}
    cases.check(cases.Outcome(found, {n: xp.to_numpy(g) for n, g in grads.items()}, {}), want)
    after, result = train_step(ops, plan, before, c.batch)
    raw = {name: want.grads[f"grad:{name}"] for name in c.params}
    norm = np.sqrt(sum((g**2).sum() for g in raw.values()))
    assert norm > 2 * oracles.CLIP, "the case must make clipping work"
    assert abs(result.gradient_norm / norm - 1) < 1e-10
    assert abs(result.loss - float(want.values["loss.total"])) < 1e-10
    assert (result.step, result.rate, result.updated) == (FIRST, oracles.RATE, True)
    assert after.step == FIRST
    given = oracles.Case(c.params, [raw], moments, FIRST)
    epsilon = {"google": 1e-6, "adamw": 1e-8, "lamb": 1e-6}[kind]
    params, state = getattr(oracles, kind)(given, epsilon, c.numerics.clip_epsilon)
    for name, old in c.params.items():
        update = np.asarray(xp.to_numpy(after.params[name])) - old
        assert error(update, params[name] - old) < 1e-10, f"update:{name}"
    for name, moment in state.items():
        assert error(np.asarray(xp.to_numpy(after.moments[name])), moment) < 1e-10, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_the_oracles(ops: OpSet, kind: str) -> None:
    check_step(ops, kind)


def test_a_step_in_chunks_packed_is_the_oracles(ops: OpSet) -> None:
    check_step(ops, "adamw", chunks=3, packed=True)


# ---------------------------------------------------------------------------------------------------------------------
# twins with one fault each: `check_step` must reject them all


def replaced(patch: pytest.MonkeyPatch, name: str, make: Any, module: Any = step_module) -> None:
    patch.setattr(module, name, make(getattr(module, name)))


def each_chunk_its_own_denominator(patch: pytest.MonkeyPatch) -> None:
    replaced(patch, "losses_and_gradients", lambda whole: lambda *a, **o: whole(*a, **{**o, "divide_by": None}))


def mean_of_chunk_means(patch: pytest.MonkeyPatch) -> None:
    def make(whole: Any) -> Any:
        def fault(objective: Any, ops: Any, params: Any, batch: Any, settings: Any, **o: Any) -> Any:
            d = objective.denominators(batch, settings.numerics)
            doubled = {name: 2 * value for name, value in d.items()}
            return whole(objective, ops, params, batch, settings, **{**o, "divide_by": doubled})

        return fault

    replaced(patch, "losses_and_gradients", make)


def only_the_last_chunk(patch: pytest.MonkeyPatch) -> None:
    replaced(patch, "accumulate", lambda whole: lambda total, grads: whole(None, grads), gathering)


def no_clipping(patch: pytest.MonkeyPatch) -> None:
    replaced(
        patch, "clipping_factor", lambda whole: lambda xp, norm, *a, **o: xp.ones_like(norm)
    )


def another_clip_epsilon(patch: pytest.MonkeyPatch) -> None:
    replaced(patch, "clipping_factor", lambda whole: lambda *a, **o: whole(*a, **{**o, "epsilon": 1e-3}))


def update_counted_from_zero(patch: pytest.MonkeyPatch) -> None:
    whole = Optimizer.update
    patch.setattr(Optimizer, "update", lambda self, *a, **o: whole(self, *a, **{**o, "step": o["step"] - 1}))


def everything_decays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Optimizer, "decays", lambda self, name: True)


def gradients_under_the_wrong_names(patch: pytest.MonkeyPatch) -> None:
    def make(whole: Any) -> Any:
        def fault(grads: Any, like: Any) -> Any:
            query, key = (f"bert.encoder.layer.1.attention.self.{n}.weight" for n in ("query", "key"))
            return {**whole(grads, like), query: grads[key], key: grads[query]}

        return fault

    replaced(patch, "ordered", make, gathering)


FAULTS = [
    each_chunk_its_own_denominator, mean_of_chunk_means, only_the_last_chunk, no_clipping, another_clip_epsilon,
    update_counted_from_zero, everything_decays, gradients_under_the_wrong_names,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_rejects_a_twin_with_a_fault(ops: OpSet, monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_step(ops, "adamw", chunks=2)


# ---------------------------------------------------------------------------------------------------------------------
# many steps


def batches(c: Case, count: int) -> Iterator[PretrainingBatch]:
    """Batches of one shape and of other lengths each time."""
    for i in range(count):
        lengths = tuple(np.random.default_rng(i).integers(3, 12, size=4).tolist())
        batch = cases.ragged_batch(c.config, lengths, seed=i)
        yield replace(batch, example=batch.example + 4 * i)


def dropping(**changes: Any) -> Case:
    return case(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, **changes)


def run(ops: OpSet, c: Case, plan: TrainingRecipe, count: int) -> tuple[State, list[StepResult]]:
    state, results = initial_state(ops, plan, c.params), []
    for batch in batches(c, count):
        state, result = train_step(ops, plan, state, batch)
        results.append(result)
    return state, results


def trajectory(backend: str, **changes: Any) -> np.ndarray:
    c = dropping(layers=1)
    plan = recipe(c, schedule=Schedule(kind="huggingface", peak=2e-3, steps=20, warmup_steps=4), **changes)
    return np.array([result.loss for result in run(OpSet(backends.get(backend)), c, plan, 20)[1]])


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    """Twenty steps with dropout on NumPy, padded, in one chunk."""
    return trajectory("numpy")


VARIANTS = [
    ("torch", {}),
    ("numpy", {"packed": True}),
    ("numpy", {"chunks": 2}),
    ("torch", {"packed": True, "chunks": 2}),
]


@pytest.mark.parametrize(("backend", "changes"), VARIANTS, ids=str)
def test_twenty_steps_with_dropout_are_the_same_everywhere(
    plain: np.ndarray, backend: str, changes: dict[str, Any]
) -> None:
    other = trajectory(backend, **changes)
    assert np.abs(other / plain - 1).max() < 1e-10


def test_the_trajectory_depends_on_seed_and_dropout_and_learns(plain: np.ndarray) -> None:
    assert np.abs(trajectory("numpy", seed=12) / plain - 1).max() > 1e-3
    c = case()
    plan = recipe(c, schedule=Schedule(kind="constant", peak=3e-3, steps=30))
    ops = OpSet(backends.get("numpy"))
    state, losses = initial_state(ops, plan, c.params), []
    for _ in range(30):
        state, result = train_step(ops, plan, state, c.batch)
        losses.append(result.loss)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("packed", [False, True])
def test_float32_runs_are_bit_equal_when_repeated(ops: OpSet, packed: bool) -> None:
    c = dropping()
    plan = recipe(c, precision=Precision(), packed=packed, chunks=2)
    (first, one), (second, two) = run(ops, c, plan, 5), run(ops, c, plan, 5)
    assert one == two
    for name in first.params:
        assert (ops.xp.to_numpy(first.params[name]) == ops.xp.to_numpy(second.params[name])).all(), name
    for name in first.moments:
        assert (ops.xp.to_numpy(first.moments[name]) == ops.xp.to_numpy(second.moments[name])).all(), name


@dataclass
class Watched:
    """A namespace that writes down the shapes in and out of every call, as a compiler would see them."""

    xp: Any
    calls: list[Any] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.xp, name)
        if name not in {*STANDARD, *EXTRAS} or name in ("dtype", "dtype_name", "finfo"):
            return value

        def watched(*args: Any, **options: Any) -> Any:
            result = value(*args, **options)
            given = [a for a in (*args, *options.values(), result) if not isinstance(a, type)]
            self.calls.append((name, [tuple(a.shape) for a in given if hasattr(a, "shape")]))
            return result

        return watched


def shapes_of_steps(ops: OpSet, count: int, packed: bool) -> list[list[Any]]:
    watched = Watched(ops.xp)
    backend = type("Backend", (), {"xp": watched, "kernels": {}})()
    c = dropping()
    plan = recipe(c, packed=packed)
    seeing = OpSet(backend)
    state, found = initial_state(seeing, plan, c.params), []
    for batch in batches(c, count):
        watched.calls.clear()
        state, _ = train_step(seeing, plan, state, batch)
        found.append(list(watched.calls))
    return found


def test_ten_padded_steps_use_the_same_shapes(ops: OpSet) -> None:
    steps = shapes_of_steps(ops, 10, packed=False)
    if ops.xp.asynchronous:
        del steps[0]  # is told by the host that there was no step before
    assert len(steps[0]) > 500
    assert all(step == steps[0] for step in steps)
    packed = shapes_of_steps(ops, 2, packed=True)
    assert packed[0] != packed[1], "packed steps have other shapes, or this test sees nothing"


# ---------------------------------------------------------------------------------------------------------------------
# precision and failures


@pytest.mark.parametrize(
    ("precision", "packed"),
    [("bfloat16", True), ("float16", False), ("mixed_bfloat16", False), ("mixed_float16", True)],
)
def test_half_precision_runs_and_stays_finite(precision: str, packed: bool) -> None:
    ops = OpSet(backends.get("torch"))
    c = dropping(layers=1)
    rates = Schedule(kind="constant", peak=1e-3, steps=100)
    plan = recipe(c, precision=Precision.preset(precision), packed=packed, schedule=rates)
    state, results = run(ops, c, plan, 5)
    assert state.step == 5
    assert all(np.isfinite(r.loss) for r in results)
    # float16 starts with a scale that is too large for these weights, and finds its own
    assert results[-1].updated
    assert "bfloat16" not in precision or all(r.updated for r in results)
    for name, p in state.params.items():
        assert ops.xp.dtype_name(p.dtype) == "float32"
        assert np.isfinite(ops.xp.to_numpy(p)).all(), name
    full = run(ops, c, replace(plan, precision=Precision()), 1)[1]
    assert abs(results[0].loss - full[0].loss) < 0.05 * full[0].loss


def test_gradients_of_chunks_are_added_in_the_type_that_the_policy_says() -> None:
    """Of plain bfloat16, where that is the only sum over chunks: added in float64 it is exact, in float32 nearly."""
    ops, c = OpSet(backends.get("torch")), dropping(layers=1)
    found = {}
    for name in ("float32", "float64"):
        plan = recipe(c, precision=Precision("bfloat16", "bfloat16", accumulate=name, master="float64"), chunks=3)
        found[name] = gradients(ops, plan, initial_state(ops, plan, c.params), c.batch)[1]
    for name, wide in found["float64"].items():
        assert ops.xp.dtype_name(wide.dtype) == "float64"
        narrow = found["float32"][name]
        assert (ops.xp.to_numpy(narrow) == ops.xp.to_numpy(narrow).astype(np.float32)).all()
        np.testing.assert_allclose(ops.xp.to_numpy(narrow), ops.xp.to_numpy(wide), rtol=1e-5, atol=1e-9)
    assert any((ops.xp.to_numpy(found["float32"][n]) != ops.xp.to_numpy(w)).any() for n, w in found["float64"].items())


def test_mixed_precision_holds_its_weights_in_float32() -> None:
    ops, c = OpSet(backends.get("torch")), dropping(layers=1)
    plan = recipe(c, precision=Precision.preset("mixed-bfloat16"))
    state = initial_state(ops, plan, c.params)
    params = step_module.working_params(ops, plan, state)
    assert {ops.xp.dtype_name(p.dtype) for p in params.values()} == {"float32"}
    assert step_module.working_ops(ops, replace(plan, precision=Precision())) is ops


def test_an_overflow_skips_the_step_and_halves_the_scale() -> None:
    ops = OpSet(backends.get("torch"))
    c = case()
    plan = recipe(c, precision=Precision.preset("float16"))
    start = initial_state(ops, plan, c.params)
    assert start.loss_scale == LossScale(2.0**16)
    start = replace(start, loss_scale=LossScale(2.0**60))
    after, result = train_step(ops, plan, start, c.batch)
    assert not result.updated
    assert np.isfinite(result.loss)
    assert not np.isfinite(result.gradient_norm)
    assert after.step == 1
    assert after.loss_scale == LossScale(2.0**59)
    assert after.params is start.params
    assert after.moments is start.moments


def test_a_loss_scale_does_not_change_the_update(ops: OpSet) -> None:
    c = case()
    plain_plan = recipe(c)
    scaled = replace(plain_plan, precision=replace(FLOAT64, loss_scale=1024.0))
    (one, _), (two, _) = (run(ops, c, plan, 2) for plan in (plain_plan, scaled))
    for name in one.params:
        assert (ops.xp.to_numpy(one.params[name]) == ops.xp.to_numpy(two.params[name])).all(), name


@pytest.mark.parametrize("loss_scale", [None, 8.0])
def test_without_a_dynamic_scale_nonfinite_gradients_leave_the_state(ops: OpSet, loss_scale: float | None) -> None:
    c = case()
    broken = {**c.params, "cls.predictions.bias": c.params["cls.predictions.bias"] * np.nan}
    plan = recipe(c, precision=replace(FLOAT64, loss_scale=loss_scale))
    start = initial_state(ops, plan, broken)
    after, result = train_step(ops, plan, start, c.batch)
    assert not result.updated
    assert np.isnan(result.loss)
    assert after.step == 0
    must_be_equal(ops, after, start)


def must_be_equal(ops: OpSet, one: State, other: State) -> None:
    """Bit by bit."""
    for ours, theirs in ((one.params, other.params), (one.moments, other.moments)):
        assert ours.keys() == theirs.keys()
        for name in ours:
            left, right = (np.asarray(ops.xp.to_numpy(arrays[name])) for arrays in (ours, theirs))
            assert left.tobytes() == right.tobytes(), name


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("precision", ["float64", "float16"])
def test_decided_on_the_device_a_step_is_the_same(
    monkeypatch: pytest.MonkeyPatch, precision: str, broken: bool
) -> None:
    """An asynchronous device chooses whether an update is made: too large a loss scale skips some steps, and a
    parameter that is NaN all of them."""
    ops, c = OpSet(backends.get("torch")), case()
    plan = recipe(c, precision=Precision.preset(precision))
    given = c.params | ({"cls.predictions.bias": c.params["cls.predictions.bias"] * np.nan} if broken else {})
    ended = []
    for asynchronous in (False, True):
        monkeypatch.setattr(ops.xp, "asynchronous", asynchronous)
        state, results = initial_state(ops, plan, given), []
        if state.loss_scale:
            state = replace(state, loss_scale=LossScale(2.0**18))
        for batch in batches(c, 6):
            state, result = train_step(ops, plan, state, batch)
            results.append((result.updated, result.gradient_norm))
        ended.append((state, np.array(results)))
    (one, ours), (other, theirs) = ended
    must_be_equal(ops, one, other)
    assert np.array_equal(ours, theirs, equal_nan=True)
    assert (one.step, one.loss_scale) == (other.step, other.loss_scale)
    updated = set(ours[:, 0])
    assert updated == ({0.0} if broken else {1.0} if precision == "float64" else {0.0, 1.0})


def test_without_clipping_the_norm_is_still_reported(ops: OpSet) -> None:
    c = case()
    clipped, whole = (run(ops, c, recipe(c, clip_norm=clip), 1)[1][0] for clip in (1e9, None))
    assert clipped == whole


def test_a_step_leaves_its_state_and_batch_alone(ops: OpSet) -> None:
    c = dropping()
    plan = recipe(c)
    start = initial_state(ops, plan, {name: a.copy() for name, a in c.params.items()})
    train_step(ops, plan, start, c.batch)
    for name, p in c.params.items():
        assert (ops.xp.to_numpy(start.params[name]) == p).all(), name
        assert not ops.xp.to_numpy(start.moments[f"{name}/m"]).any()
    assert start.step == 0
    for name, a in case().batch.items():
        assert (getattr(c.batch, name) == a).all()


def test_a_recorder_sees_a_step_and_changes_nothing(ops: OpSet) -> None:
    c = dropping()
    plan = recipe(c)
    start = initial_state(ops, plan, c.params)
    recorder = Recorder({"layer.1.output", "grad:pooled"})
    seen, one = train_step(ops, plan, start, c.batch, recorder)
    blind, two = train_step(ops, plan, start, c.batch)
    assert one == two
    assert set(recorder.values) == {"layer.1.output", "grad:pooled"}
    for name in seen.params:
        assert (ops.xp.to_numpy(seen.params[name]) == ops.xp.to_numpy(blind.params[name])).all(), name


@pytest.mark.parametrize("changes", [{}, {"clip_norm": None}, {"chunks": 2}, {"precision": Precision()}])
def test_a_step_waits_for_the_device_once(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    """The losses and the norm come to the host together, with the values that each has by itself."""
    ops, c = OpSet(backends.get("torch")), case()
    plan, batch = recipe(c, **changes), next(batches(c, 1))
    state = initial_state(ops, plan, c.params)
    outcome, _ = gradients(ops, plan, state, batch)
    want = {name: float(ops.xp.to_numpy(loss)) for name, loss in outcome.losses.items()}
    fetches: list[Any] = []
    fetch = ops.xp.to_numpy
    monkeypatch.setattr(ops.xp, "to_numpy", lambda x: fetches.append(x) or fetch(x))
    _, result = train_step(ops, plan, state, batch)
    assert len(fetches) == 1
    assert result.losses == want
    assert result.updated


def test_chunks() -> None:
    sizes = [s.stop - s.start for s in chunk_slices(10, 4)]
    assert sum(sizes) == 10
    assert set(sizes) == {2, 3}
    assert chunk_slices(3, 1) == [slice(0, 3)]
    for rows, chunks in ((3, 4), (3, 0)):
        with pytest.raises(InputError, match=f"a batch of 3 can't be split into {chunks} chunks"):
            chunk_slices(rows, chunks)


# ---------------------------------------------------------------------------------------------------------------------
# what is frozen


@pytest.mark.parametrize("recompute", ["none", "layers"])
@pytest.mark.parametrize("frozen", [1, 2, 3, 5])
def test_backward_stops_above_what_is_frozen(ops: OpSet, frozen: int, recompute: str) -> None:
    """The others' gradients are the same, bit for bit, and of what is frozen forward keeps nothing."""
    c = case(layers=4)
    below = ["bert.embeddings.", *(f"bert.encoder.layer.{i}." for i in range(4))][:frozen]
    scales = {name: 0.0 for name in c.params if name.startswith(tuple(below))}
    whole = recipe(c, rate_scales=scales)
    state = initial_state(ops, whole, c.params)
    short = replace(whole, settings=replace(whole.settings, frozen=frozen, recompute=recompute))
    (losses, grads), (others, few) = gradients(ops, whole, state, c.batch), gradients(ops, short, state, c.batch)
    assert float(losses.losses["total"]) == float(others.losses["total"])
    assert list(few) == [name for name in c.params if name not in scales] == list(grads)
    for name, gradient in few.items():
        assert np.array_equal(ops.xp.to_numpy(gradient), ops.xp.to_numpy(grads[name])), name
    inputs = whole.objective.prepare(ops.xp, c.batch, c.numerics, packed=False, dtype="float64").inputs
    kept = model.forward(ops, state.params, inputs, short.settings)[1]
    assert [kept.embeddings is None, *(layer is None for layer in kept.layers)] == [i < frozen for i in range(5)]
