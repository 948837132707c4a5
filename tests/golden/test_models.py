"""The goldens of the whole model, and bertref held to them: probes, gradients, one step of two optimisers, a run."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from bertref import backends, golden
from bertref.config import BertConfig, Numerics
from bertref.data.pretraining.batch import PretrainingBatch
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.optim import Optimizer, Schedule
from bertref.precision import Precision
from bertref.probes import Recorder
from bertref.train.step import State, TrainingRecipe, initial_state, train_step
from tests.model_cases import probes_of_depth

LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
UPDATES = {"adamw": "huggingface", "google": "google"}
"""Optimiser -> the dialect whose clip it goes with."""


@dataclass(frozen=True)
class Model:
    """A golden, read the way a user would: from its arrays and its details, nothing else."""

    name: str
    arrays: dict[str, np.ndarray]
    details: dict[str, Any]

    @property
    def tolerance(self) -> float:
        return golden.entry(self.name).tolerances["float64"].relative

    @property
    def settings(self) -> Settings:
        return self.settings_in(Numerics.preset(self.name.removeprefix("model/")))

    def settings_in(self, dialect: Numerics) -> Settings:
        """The dialect with the golden's choices."""
        d = self.details["dialect"]
        numerics = replace(
            dialect,
            gelu=d["activation"].removeprefix("gelu_"),
            mask_value=d["mask_value"],
            layer_norm_eps=d["layer_norm_eps"],
            mlm_denominator_epsilon=d["mlm_denominator_epsilon"],
        )
        return Settings(BertConfig(**self.details["config"]), numerics)

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        return {name[len(prefix) :]: a for name, a in self.arrays.items() if name.startswith(prefix)}

    def batch(self, number: int | None = None) -> PretrainingBatch:
        """The batch of the single step, or the `number`-th of the run."""
        source = self.under("batch/" if number is None else "run/")
        if number is not None:
            source = {name: a[number] for name, a in source.items() if name != "losses"}
        source["example"] = np.arange(len(source["input_ids"]))
        layout = PretrainingBatch.LAYOUT
        return PretrainingBatch(**{name: source[name].astype(dtype) for name, (_, dtype) in layout.items()})

    def close(self, name: str, got: Any, expected: np.ndarray, scale: np.ndarray | None = None) -> None:
        """The manifest's criterion: the largest error in units of the largest expected element."""
        got = np.asarray(got)
        assert got.shape == expected.shape, name
        unit = np.abs(expected if scale is None else scale).max()
        assert np.abs(got - expected).max() <= self.tolerance * unit, name


@pytest.fixture(scope="module", params=["huggingface", "google"])
def model(request: pytest.FixtureRequest) -> Model:
    name = f"model/{request.param}"
    return Model(name, golden.load(name), golden.details(name))


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


def send(ops: OpSet, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: ops.xp.from_numpy(a) for name, a in arrays.items()}


def check(model: Model, ops: OpSet, packed: bool = False, numerics: Numerics | None = None) -> None:
    """Every probe where it is defined, and every gradient."""
    batch, recorder, settings = model.batch(), Recorder(), model.settings
    settings = replace(settings, numerics=numerics or settings.numerics)
    params = send(ops, model.under("parameter/"))
    _, grads = losses_and_gradients(
        PretrainingObjective(), ops, params, batch, settings, packed=packed, recorder=recorder
    )
    found, expected = recorder.to_numpy(ops.xp), model.under("probe/")
    assert set(expected) == set(probes_of_depth(2))
    for name in probes_of_depth(2):
        for full, wanted in ((name, expected[name]), (f"grad:{name}", model.arrays[f"grad:{name}"])):
            used = np.broadcast_to(defined(batch, wanted, packed, name.startswith("mlm.")), wanted.shape)
            model.close(full, np.where(used, found[full], 0.0), np.where(used, wanted, 0.0))
    assert set(grads) == set(params)
    for name, grad in grads.items():
        full = f"grad:{name}"
        scale = model.arrays[model.details["gauge"].get(full, full)]
        model.close(full, ops.xp.to_numpy(grad), model.arrays[full], scale)


def defined(batch: PretrainingBatch, value: np.ndarray, packed: bool, prediction: bool) -> np.ndarray:
    """Where both layouts define a probe: at predictions, and when packed at real tokens only."""
    real = batch.attention_mask != 0
    if prediction:
        return (batch.masked_lm_weights != 0)[..., None]
    if not packed or value.ndim < 3:
        return np.ones((1,) * value.ndim, bool)
    return real[:, None, :, None] & real[:, None, None, :] if value.ndim == 4 else real[..., None]


@LAYOUTS
def test_probes_and_gradients(model: Model, ops: OpSet, packed: bool) -> None:
    check(model, ops, packed)


@pytest.mark.parametrize(
    "change",
    [{"gelu": None}, {"mlm_denominator_epsilon": 1e-4}, {"layer_norm_eps": 1e-6}, {"mask_value": -3.0}],
    ids=str,
)
def test_another_dialect_is_rejected(model: Model, ops: OpSet, change: dict[str, Any]) -> None:
    numerics = model.settings.numerics
    other = {"gelu": {"erf": "tanh", "tanh": "erf"}[numerics.gelu]} if "gelu" in change else change
    with pytest.raises(AssertionError):
        check(model, ops, numerics=replace(numerics, **other))


def recipe(model: Model, kind: Any, **changes: Any) -> TrainingRecipe:
    u = model.details["update"]
    numerics = replace(model.settings.numerics, clip_epsilon=u["clip_epsilon"][kind])
    options: dict[str, Any] = {"epsilon": u["epsilon"][kind], "weight_decay": u["weight_decay"]}
    return TrainingRecipe(
        objective=PretrainingObjective(),
        settings=replace(model.settings, numerics=numerics),
        optimizer=Optimizer(kind, u["beta1"], u["beta2"], **options),
        schedule=changes.pop("schedule", Schedule(kind="constant", peak=u["rate"], steps=100)),
        precision=Precision.preset("float64"),
        clip_norm=u["clip_norm"],
        **changes,
    )


@LAYOUTS
@pytest.mark.parametrize("kind", UPDATES)
def test_one_step(model: Model, ops: OpSet, kind: str, packed: bool) -> None:
    before, u = model.under("parameter/"), model.details["update"]
    moments = model.under("moment/")
    state = State(send(ops, before), send(ops, moments), u["step"] - 1, None)
    after, result = train_step(ops, recipe(model, kind, packed=packed), state, model.batch())
    assert abs(result.gradient_norm / u["gradient_norm"] - 1) < 1e-12
    for name, old in before.items():
        update = ops.xp.to_numpy(after.params[name]) - old
        model.close(f"update:{name}", update, model.arrays[f"{kind}/update:{name}"])
    for name in moments:
        model.close(name, ops.xp.to_numpy(after.moments[name]), model.arrays[f"{kind}/{name}"])
    excluded = {name for name in before if not recipe(model, kind).optimizer.decays(name)}
    assert excluded == set(u["excluded_from_decay"])


@LAYOUTS
def test_ten_steps(model: Model, ops: OpSet, packed: bool) -> None:
    r = model.details["run"]
    kind = r["optimizer"]
    rates = Schedule(
        kind={"adamw": "huggingface", "google": "google"}[kind],  # type: ignore[arg-type]
        peak=r["peak"],
        steps=r["steps"],
        warmup_steps=r["warmup_steps"],
    )
    plan = recipe(model, kind, schedule=rates, packed=packed)
    state, losses = initial_state(ops, plan, model.under("parameter/")), []
    for number in range(10):
        state, result = train_step(ops, plan, state, model.batch(number))
        losses.append(result.loss)
    model.close("run/losses", np.array(losses), model.arrays["run/losses"])


def test_weights_and_batch_are_rich(model: Model) -> None:
    for name, p in model.under("parameter/").items():
        assert np.abs(p - (1.0 if name.endswith("LayerNorm.weight") else 0.0)).min() > 0, name
        assert p.size < 20 or p.std() > 0.1, name
    batch = model.batch()
    assert sorted(batch.masked_lm_weights.sum(1).tolist()) == [0, 1, 2, 4]
    lengths = batch.attention_mask.sum(1)
    assert lengths.max() == batch.input_ids.shape[1]
    assert len(set(lengths.tolist())) == 4
    assert batch.token_type_ids.any()
    assert set(batch.next_sentence_label.tolist()) == {0, 1}
    assert model.details["update"]["gradient_norm"] > 2 * model.details["update"]["clip_norm"]


def test_files_are_small() -> None:
    files = [golden.entry(name).path for name in golden.names() if name.startswith("model/")]
    assert len(files) >= 2
    assert sum(path.stat().st_size for path in files) < 15e6
