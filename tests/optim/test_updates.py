"""Every optimiser against its oracle, and mutated twins that the same check must reject."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.config import Numerics
from bertref.errors import InputError
from bertref.optim import RULES, Optimizer, clip_by_global_norm

from .optim_oracles import CLIP, DECAY, RATE, Case, adamw, case, google, lamb

ORACLES: dict[str, Callable[..., Any]] = {"google": google, "adamw": adamw, "lamb": lamb}
CLIP_EPSILON = {"google": 0.0, "adamw": 1e-6, "lamb": 1e-6}
CASES = [case(1, warm=True), case(2, warm=False), case(3, warm=True, scale=0.02)]
"""Warm and clipped, three steps from zero, warm and below the clip."""


def run(xp: Any, settings: Optimizer, case: Case, *, rate: float = RATE, clip_epsilon: float = 1e-6) -> Any:
    """Clip and update as a training step does; NumPy arrays in and out."""
    params = {n: xp.from_numpy(p) for n, p in case.params.items()}
    state = {n: xp.from_numpy(a) for n, a in case.state.items()}
    for number, grads in enumerate(case.grads, start=case.first):
        on_device = {n: xp.from_numpy(g) for n, g in grads.items()}
        clipped, _ = clip_by_global_norm(xp, on_device, CLIP, epsilon=clip_epsilon)
        params, state = settings.update(xp, params, clipped, state, rate=rate, step=number)
    return {n: xp.to_numpy(p) for n, p in params.items()}, {n: xp.to_numpy(a) for n, a in state.items()}


def compare(case: Case, got: Any, wanted: Any) -> None:
    """Updates to 1e-12 of their own length, moments to 1e-12 element by element."""
    for name, old in case.params.items():
        error = np.linalg.norm(got[0][name] - wanted[0][name])
        length = np.linalg.norm(wanted[0][name] - old)
        assert length > 0
        assert error <= 1e-12 * length, (name, error / length)
    for name, moment in wanted[1].items():
        np.testing.assert_allclose(got[1][name], moment, rtol=1e-12, atol=0, err_msg=name)


def check(xp: Any, kind: str, **run_options: Any) -> None:
    """The whole comparison of one optimiser; `run_options` let a mutation in."""
    settings = run_options.pop("settings", None) or Optimizer(kind)
    options = {"clip_epsilon": CLIP_EPSILON[kind], **run_options}
    for each in CASES:
        wanted = ORACLES[kind](each, epsilon=Optimizer(kind).epsilon, clip_epsilon=CLIP_EPSILON[kind])
        compare(each, run(xp, settings, each, **options), wanted)


@pytest.mark.parametrize("kind", ORACLES)
def test_update_equals_its_oracle(xp: Any, kind: str) -> None:
    check(xp, kind)


def test_lamb_with_a_trust_ratio_for_every_parameter(xp: Any) -> None:
    wanted = [lamb(each, 1e-6, 1e-6, adapt_excluded=True) for each in CASES]
    for each, want in zip(CASES, wanted, strict=True):
        compare(each, run(xp, Optimizer("lamb", adapt_excluded=True), each), want)
    with pytest.raises(AssertionError):
        compare(CASES[0], run(xp, Optimizer("lamb"), CASES[0]), wanted[0])


@pytest.mark.parametrize("kind", RULES)
def test_whether_to_update_can_be_decided_on_the_device(xp: Any, kind: str) -> None:
    """If not, all stays as it is, whatever the gradient; if so, these are the bits of an update (its values, where both
    are compiled, each as a whole)."""
    settings, given = Optimizer(kind), CASES[0]
    params = {n: xp.from_numpy(p) for n, p in given.params.items()}
    state = {n: xp.from_numpy(a) for n, a in given.state.items() if n.rpartition("/")[2] in settings.rule.moments}
    grads = {n: xp.from_numpy(g) for n, g in given.grads[0].items()}
    bad = {n: g * float("nan") for n, g in grads.items()}

    def updated(grads: Any, only_if: Any) -> dict[str, Any]:
        new, moments = settings.update(xp, params, grads, state, rate=RATE, step=3, only_if=only_if)
        return {n: np.asarray(xp.to_numpy(a)) for n, a in (new | moments).items()}

    def must_be(found: dict[str, Any], wanted: dict[str, Any], tolerance: float = 0) -> None:
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance, err_msg=name)

    yes, no = (xp.from_numpy(np.asarray(flag)) for flag in (True, False))
    compiled = backends.of(*params.values()).static_shapes
    must_be(updated(bad, no), {n: np.asarray(xp.to_numpy(a)) for n, a in (params | state).items()})
    must_be(updated(grads, yes), updated(grads, None), 1e-13 if compiled else 0)
    with pytest.raises(AssertionError):
        must_be(updated(grads, yes), updated(grads, no), 1e-13)


# ----------------------------------------------------------------------------------------------------
# Mutated twins


def _settings(kind: str, **changes: Any) -> dict[str, Any]:
    return {"settings": replace(Optimizer(kind), **changes)}


SETTINGS_TWINS: dict[str, Callable[[str], dict[str, Any]]] = {
    "rate scaled by 1.001": lambda kind: {"rate": RATE * 1.001},
    "the other clip": lambda kind: {"clip_epsilon": 1e-6 - CLIP_EPSILON[kind]},
    "layer norm decayed": lambda kind: _settings(kind, decay_exclusions=("bias",)),
    "bias decayed": lambda kind: _settings(kind, decay_exclusions=("LayerNorm",)),
    "nothing decayed": lambda kind: _settings(kind, weight_decay=0.0),
    "beta2 0.99": lambda kind: _settings(kind, beta2=0.99),
    "epsilon doubled": lambda kind: _settings(kind, epsilon=2 * (Optimizer(kind).epsilon or 0)),
}


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("twin", SETTINGS_TWINS)
def test_wrong_settings_are_rejected(xp: Any, kind: str, twin: str) -> None:
    with pytest.raises(AssertionError):
        check(xp, kind, **SETTINGS_TWINS[twin](kind))


class _FirstStepOnly(Optimizer):
    """Wrong in the very first update alone."""

    def update(self, *args: Any, rate: float, step: int, **kwargs: Any) -> Any:
        return super().update(*args, rate=rate * (1.001 if step == 1 else 1.0), step=step, **kwargs)


class _StepFromZero(Optimizer):
    """Counts the updates from 0, so that the bias corrections come one step late."""

    def update(self, *args: Any, step: int, **kwargs: Any) -> Any:
        return super().update(*args, step=step + 1, **kwargs)


class _LastElement(Optimizer):
    """Leaves the last element of each parameter as it was."""

    def update(self, xp: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        new, state = super().update(xp, params, *args, **kwargs)
        for name, p in new.items():
            flat = xp.to_numpy(p).copy().reshape(-1)
            flat[-1] = xp.to_numpy(params[name]).reshape(-1)[-1]
            new[name] = xp.from_numpy(flat.reshape(p.shape))
        return new, state


@pytest.mark.parametrize(
    ("kind", "twin"),
    [(kind, twin) for kind in ORACLES for twin in (_FirstStepOnly, _StepFromZero, _LastElement)
     if not (kind == "google" and twin is _StepFromZero)],  # Google's has no correction to come late
)  # fmt: skip
def test_wrong_steps_are_rejected(xp: Any, kind: str, twin: Any) -> None:
    with pytest.raises(AssertionError):
        check(xp, kind, settings=twin(kind))


def formula(xp: Any, p: Any, g: Any, m: Any, v: Any, rate: Any, c1: Any = 1.0, c2: Any = 1.0, **options: Any) -> Any:
    """All three optimisers in one formula, with every place where it is commonly got wrong as an option."""
    wrong, b1, b2 = options["wrong"], options["beta1"], options["beta2"]
    kind, decay, eps = options["kind"], options["weight_decay"], options["epsilon"]
    g = g + decay * p if wrong == "L2 penalty" else g
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    corrected = (kind != "google") != (wrong == "bias correction toggled")
    c1, c2 = (c1, c2) if corrected else (1.0, 1.0)
    root = xp.sqrt(v / c2 + eps) if wrong == "epsilon inside the root" else xp.sqrt(v / c2) + eps
    if wrong == "epsilon before the correction":
        root = (xp.sqrt(v) + eps) / math.sqrt(c2)
    update = m / c1 / root
    if decay and wrong != "L2 penalty" and kind != "adamw":
        update = update + decay * p
    if kind == "lamb" and options["adapt"]:
        length, step = xp.sqrt(xp.sum(p * p)), xp.sqrt(xp.sum(update * update))
        length = xp.minimum(length, 10.0) if wrong == "norm clamped at 10" else length
        length = length * length if wrong == "norm not rooted" else length
        safe = xp.where(length > 0, length / step, xp.ones_like(length))
        update = update * (length / step if wrong == "ratio 0 for zero weights" else safe)
    if decay and kind == "adamw" and wrong != "L2 penalty":
        p = p - (decay if wrong == "decay without the rate" else rate * decay) * p
    return p - rate * update, m, v


def _install(monkeypatch: pytest.MonkeyPatch, kind: str, wrong: str) -> None:
    def twin(xp: Any, *arrays: Any, **options: Any) -> Any:
        if kind == "google":
            arrays = (*arrays, 1 - 0.9**7, 1 - 0.999**7)
        return formula(xp, *arrays, kind=kind, wrong=wrong, **options)

    monkeypatch.setitem(RULES, kind, replace(RULES[kind], update=twin))


@pytest.mark.parametrize("kind", ORACLES)
def test_the_twins_formula_is_right_when_nothing_is_wrong(xp: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, kind, "")
    check(xp, kind)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *[(kind, "L2 penalty") for kind in ORACLES],
        *[(kind, "bias correction toggled") for kind in ORACLES],
        *[(kind, "epsilon inside the root") for kind in ORACLES],
        ("adamw", "epsilon before the correction"),
        ("lamb", "epsilon before the correction"),
        ("adamw", "decay without the rate"),
        ("lamb", "norm not rooted"),
        ("lamb", "norm clamped at 10"),
        ("lamb", "ratio 0 for zero weights"),
    ],
)
def test_wrong_formulas_are_rejected(xp: Any, kind: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, kind, wrong)
    with pytest.raises(AssertionError):
        check(xp, kind)


# ----------------------------------------------------------------------------------------------------
# Figures published elsewhere


def test_the_originals_own_test(xp: Any) -> None:
    """optimization_test.py of google-research/bert: 100 steps of rate 0.2 on mean((x - w)²) reach x."""
    x = xp.from_numpy(np.array([0.4, 0.2, -0.5]))
    params = {"w": xp.from_numpy(np.array([0.1, -0.2, -0.1]))}
    settings = Optimizer("google", weight_decay=0.0)
    state = settings.init_state(xp, params)
    for step in range(1, 101):
        grads = {"w": 2.0 * (params["w"] - x) / 3.0}
        params, state = settings.update(xp, params, grads, state, rate=0.2, step=step)
    np.testing.assert_allclose(xp.to_numpy(params["w"]), [0.4, 0.2, -0.5], rtol=1e-2, atol=1e-2)


TIMM = {  # timm 1.0.31, optim.lamb.Lamb, float64, bias_correction=True, max_grad_norm=None, foreach=False
    "dense.weight": [[0.2041378685345963, -1.1924777559428925, 1.9159037879877467],
                     [0.7571502702859016, 0.064609434340019, -0.25580866345449593]],
    "zero.weight": [0.005817783371665279, -0.004371166522663401],
}  # fmt: skip
TIMM_BIAS = {
    False: [0.1692250304650636, -0.39827647271373834],
    True: [0.1441857618630021, -0.3968741687207255],
}
"""The bias by always_adapt."""


@pytest.mark.parametrize("adapt_excluded", [False, True])
def test_lamb_equals_another_implementation(xp: Any, adapt_excluded: bool) -> None:
    params = {
        "dense.weight": [[0.5, -1.25, 2.0], [0.75, 0.1, -0.3]],
        "dense.bias": [0.2, -0.4],
        "zero.weight": [0, 0],
    }
    grads = {"dense.weight": [[0.1, -0.2, 0.3], [-0.4, 0.5, -0.6]], "dense.bias": [0.7, -0.8],
             "zero.weight": [0.05, -0.15]}  # fmt: skip
    state = {
        "dense.weight/m": [[0.01, 0.02, -0.03], [0.04, -0.05, 0.06]],
        "dense.weight/v": [[0.001, 0.002, 0.003], [0.004, 0.005, 0.006]],
        "dense.bias/m": [0.07, 0.08],
        "dense.bias/v": [0.007, 0.008],
        "zero.weight/m": [-0.02, 0.03],
        "zero.weight/v": [0.002, 0.003],
    }
    p, g, s = ({n: xp.from_numpy(np.array(a, float)) for n, a in d.items()} for d in (params, grads, state))
    settings = Optimizer("lamb", weight_decay=DECAY, adapt_excluded=adapt_excluded)
    new, _ = settings.update(xp, p, g, s, rate=0.125, step=7)
    for name, wanted in {**TIMM, "dense.bias": TIMM_BIAS[adapt_excluded]}.items():
        np.testing.assert_allclose(xp.to_numpy(new[name]), wanted, rtol=1e-13, err_msg=name)


def test_first_update_is_3_16_times_adams(xp: Any) -> None:
    """Without bias correction the first step is (1 - 0.9)/sqrt(1 - 0.999) = 3.162 rates long."""
    params = {"w": xp.from_numpy(np.array([1.0, -2.0, 3.0]))}
    grads = {"w": xp.from_numpy(np.array([0.5, -3.0, 100.0]))}
    steps = {}
    for kind in ("google", "adamw"):
        settings = Optimizer(kind, weight_decay=0.0)  # type: ignore[arg-type]
        new, _ = settings.update(xp, params, grads, settings.init_state(xp, params), rate=1e-3, step=1)
        steps[kind] = np.abs(xp.to_numpy(new["w"] - params["w"])) / 1e-3
    np.testing.assert_allclose(steps["google"], math.sqrt(10), rtol=1e-4)
    np.testing.assert_allclose(steps["adamw"], 1.0, rtol=1e-7)


# ----------------------------------------------------------------------------------------------------
# Defaults and refusals


@pytest.mark.parametrize(
    ("dialect", "overrides", "wanted"),
    [
        ("google", {}, ("google", 1e-6, 0.01)),
        ("huggingface", {}, ("adamw", 1e-8, 0.01)),
        ("huggingface", {"kind": "lamb"}, ("lamb", 1e-6, 0.01)),
        ("google", {"epsilon": 1e-5, "weight_decay": 0.0}, ("google", 1e-5, 0.0)),
    ],
)
def test_defaults_follow_the_dialect(dialect: str, overrides: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    settings = Optimizer.from_numerics(Numerics.preset(dialect), **overrides)
    assert (settings.kind, settings.epsilon, settings.weight_decay) == wanted
    assert not settings.decays("bert.embeddings.LayerNorm.weight")
    assert not settings.decays("cls.predictions.bias")
    assert settings.decays("bert.embeddings.word_embeddings.weight")
    assert Optimizer(**settings.to_dict()) == settings


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "sgd"},
        {"beta1": 1.0},
        {"beta2": -0.1},
        {"epsilon": -1e-8},
        {"weight_decay": math.inf},
        {"beta1": math.nan},
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Optimizer(**{"kind": "adamw", **changes})


def test_what_does_not_fit_is_refused(xp: Any) -> None:
    settings = Optimizer("adamw")
    params = {"w": xp.from_numpy(np.ones(2))}
    state = settings.init_state(xp, params)
    with pytest.raises(InputError, match="number 1"):
        settings.update(xp, params, params, state, rate=0.1, step=0)
    with pytest.raises(InputError, match="gradients differ"):
        settings.update(xp, params, {}, state, rate=0.1, step=1)
    with pytest.raises(InputError, match="state differ"):
        settings.update(xp, params, params, {"w/m": state["w/m"]}, rate=0.1, step=1)
    narrow = {"w": xp.from_numpy(np.ones(2, dtype=np.float32))}
    with pytest.raises(InputError, match="cast the gradient"):
        settings.update(xp, params, narrow, state, rate=0.1, step=1)
