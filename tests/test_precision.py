"""Precision policies, the dynamic loss scale against torch's, and the helpers on every backend."""

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertref import backends
from bertref.errors import InputError
from bertref.precision import (
    PRESETS,
    LossScale,
    Precision,
    cast,
    first_nonfinite,
    loss_scale_from_dict,
    policy_from_dict,
    unscale,
)


@pytest.fixture(params=["numpy", "torch", "strict"])
def xp(request: pytest.FixtureRequest) -> Any:
    return backends.get(request.param).xp


def by_torch(flags: list[bool], interval: int, start: float) -> list[float]:
    """The scales after each step of torch.amp.GradScaler, which skips a step with an infinite gradient."""
    scaler = torch.amp.GradScaler("cpu", init_scale=start, growth_interval=interval)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scales = []
    for finite in flags:
        scaler.scale(torch.zeros(1))
        parameter.grad = torch.tensor([1.0 if finite else math.inf])
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales


def run(state: LossScale, flags: list[bool]) -> list[float]:
    scales = []
    for finite in flags:
        state = state.after(finite)
        scales.append(state.scale)
    return scales


def check(state: LossScale, flags: list[bool]) -> None:
    assert run(state, flags) == by_torch(flags, state.interval, state.scale)


@given(flags=st.lists(st.sampled_from([True, True, True, False]), max_size=40), interval=st.integers(1, 6))
def test_dynamic_scale_is_torchs(flags: list[bool], interval: int) -> None:
    check(LossScale(2.0**60, interval=interval), flags)  # far from both bounds, of which torch has only the upper


FLAGS = [True] * 5 + [False] + [True] * 2 + [False, False] + [True] * 7


@pytest.mark.parametrize(
    "changes", [{"growth": 2.002}, {"backoff": 0.25}, {"interval": 4}, {"good_steps": 1}, {"dynamic": False}]
)
def test_wrong_scales_are_rejected(changes: dict[str, Any]) -> None:
    check(LossScale(1024.0, interval=3), FLAGS)
    twin = LossScale(**{"scale": 1024.0, "interval": 3, **changes})
    with pytest.raises(AssertionError):
        assert run(twin, FLAGS) == by_torch(FLAGS, 3, 1024.0)


def test_scale_stays_between_one_and_the_largest() -> None:
    assert run(LossScale(4.0), [False] * 4) == [2.0, 1.0, 1.0, 1.0]
    assert run(LossScale(2.0**126, interval=1), [True] * 3) == [2.0**127] * 3


def test_policies_start_their_scale() -> None:
    assert Precision.preset("float32").initial_loss_scale() is None
    assert Precision.preset("float16").initial_loss_scale() == LossScale(2.0**16)
    static = Precision("float16", "float16", loss_scale=128.0).initial_loss_scale()
    assert static is not None
    assert run(static, [True] * 3 + [False]) == [128.0] * 4


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    policy = Precision.preset(name)
    assert policy_from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    scale = policy.initial_loss_scale()
    if scale is not None:
        later = scale.after(True).after(False).after(True)
        assert loss_scale_from_dict(json.loads(json.dumps(later.to_dict()))) == later


@pytest.mark.parametrize(
    "settings",
    [
        {"compute": "int8"},
        {"parameter": "float8"},
        {"master": "float16"},
        {"accumulate": "bfloat16"},
        {"compute": "float64"},
        {"loss_scale": 0.0},
        {"loss_scale": math.inf},
        {"loss_scale": "static"},
        {"loss_scale": True},
    ],
)
def test_policies_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Precision(**settings)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_mixed_presets_have_one_spelling_and_read_the_other(half: str) -> None:
    assert f"mixed-{half}" in PRESETS
    assert Precision.preset(f"mixed_{half}") == Precision.preset(f"mixed-{half}")
    assert Precision.preset(f"mixed-{half}").mixed
    assert not Precision.preset(half).mixed
    assert not Precision("float16", "float32").mixed


def test_unknown_names_and_keys_are_refused() -> None:
    with pytest.raises(InputError, match="no preset"):
        Precision.preset("int4")
    with pytest.raises(InputError, match="unknown setting colour"):
        policy_from_dict({"colour": "red"})
    with pytest.raises(InputError, match="unknown setting colour"):
        loss_scale_from_dict({"scale": 1.0, "colour": "red"})


@pytest.mark.parametrize("name", PRESETS)
def test_backends_that_cannot_compute_say_so(name: str) -> None:
    policy = Precision.preset(name)
    policy.validate(backends.get("torch"))
    if policy.compute in ("float16", "bfloat16"):
        message = f"numpy computes in float32 and float64, not in {policy.compute}; use --backend torch"
        with pytest.raises(InputError, match=message):
            policy.validate(backends.get("numpy"))
    else:
        policy.validate(backends.get("numpy"))


def test_numpy_may_store_what_it_cannot_compute() -> None:
    Precision("float16", "float32").validate(backends.get("numpy"))
    narrow = SimpleNamespace(name="torch", dtypes=("float32",))
    with pytest.raises(InputError, match=r"torch computes in float32, not in float64$"):
        Precision.preset("float64").validate(narrow)


def test_cast_changes_the_type_and_passes_on_what_has_it(xp: Any) -> None:
    params = {"a": xp.from_numpy(np.array([1.0, 1 / 3])), "b": xp.from_numpy(np.ones(2, np.float32))}
    got = cast(xp, params, "float32")
    assert {xp.dtype_name(a.dtype) for a in got.values()} == {"float32"}
    assert got["b"] is params["b"] or np.shares_memory(xp.to_numpy(got["b"]), xp.to_numpy(params["b"]))
    np.testing.assert_array_equal(xp.to_numpy(got["a"]), np.array([1.0, 1 / 3], np.float32))
    assert xp.dtype_name(params["a"].dtype) == "float64"


def test_unscale_divides_exactly_and_after_the_cast() -> None:
    """2**-24 is float16's smallest number: dividing before the cast would give 0."""
    xp = backends.get("torch").xp
    grads = {"a": xp.from_numpy(np.array([2.0**-24, -3.0, 0.0]), dtype="float16")}
    got = unscale(xp, grads, 2.0**16)["a"]
    assert xp.dtype_name(got.dtype) == "float32"
    np.testing.assert_array_equal(xp.to_numpy(got), [2.0**-40, -3 * 2.0**-16, 0.0])


def test_unscale_without_a_scale_only_casts(xp: Any) -> None:
    grads = {"a": xp.from_numpy(np.array([1 / 3, 2.0], np.float32))}
    for scale in (None, 1.0):
        got = unscale(xp, grads, scale, "float64")["a"]
        assert xp.dtype_name(got.dtype) == "float64"
        np.testing.assert_array_equal(xp.to_numpy(got), np.array([1 / 3, 2.0], np.float32).astype(float))


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_first_nonfinite_names_the_first(xp: Any, bad: float) -> None:
    good = np.ones((2, 3), np.float32)
    last = good.copy()
    last[-1, -1] = bad
    arrays = {"z": xp.from_numpy(good), "m": xp.from_numpy(last), "a": xp.from_numpy(np.full(1, bad))}
    assert first_nonfinite(xp, arrays) == "m"
    assert first_nonfinite(xp, {"z": arrays["z"], "empty": xp.from_numpy(np.ones(0))}) is None
    assert first_nonfinite(xp, {}) is None


def test_first_nonfinite_fetches_once() -> None:
    base = backends.get("numpy").xp
    fetches = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(base, name)

        def to_numpy(self, x: Any) -> Any:
            fetches.append(x)
            return base.to_numpy(x)

    assert first_nonfinite(Counting(), {str(i): np.ones(3) for i in range(20)}) is None
    assert len(fetches) == 1
