"""Probes: which there are, what they are, and that looking changes nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertref import backends
from bertref.layers import Settings
from bertref.objectives import PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.probes import Probe, Recorder

from . import model_cases as cases
from .model_cases import Case, case, error, expected, ours, probes_of_depth

LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
RECOMPUTE = pytest.mark.parametrize("recompute", ["none", "attention", "layers"])

B, S, P, V, H, A, I = 4, 11, 4, 41, 24, 3, 40  # noqa: E741 (the legend's letter)
SHAPES = {
    "embeddings.word": (B, S, H), "embeddings.position": (B, S, H), "embeddings.token_type": (B, S, H),
    "embeddings.sum": (B, S, H), "embeddings.norm": (B, S, H),
    "layer.0.query": (B, S, H), "layer.0.key": (B, S, H), "layer.0.value": (B, S, H),
    "layer.0.scores": (B, A, S, S), "layer.0.probs": (B, A, S, S), "layer.0.context": (B, S, H),
    "layer.0.attention_output": (B, S, H), "layer.0.attention_sum": (B, S, H), "layer.0.attention_norm": (B, S, H),
    "layer.0.ffn_pre": (B, S, I), "layer.0.ffn_act": (B, S, I), "layer.0.ffn_output": (B, S, H),
    "layer.0.ffn_sum": (B, S, H), "layer.0.output": (B, S, H),
    "pooled_pre": (B, H), "pooled": (B, H),
    "mlm.dense": (B, P, H), "mlm.act": (B, P, H), "mlm.transform": (B, P, H), "mlm.logits": (B, P, V),
    "nsp.logits": (B, 2), "loss.mlm": (), "loss.nsp": (), "loss.total": (),
}  # fmt: skip


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


@pytest.fixture(scope="module")
def plain(request: pytest.FixtureRequest) -> OpSet:
    """Without kernels, whose inside nobody can see: a probe there puts the reference in their place."""
    return OpSet(backends.get(request.config.getoption("--backend")), kernels=False)


def test_the_names_are_literal() -> None:
    assert probes_of_depth(1) == list(SHAPES)
    second = [name.replace("layer.0.", "layer.1.") for name in SHAPES if name.startswith("layer.0.")]
    assert probes_of_depth(2) == [*list(SHAPES)[:19], *second, *list(SHAPES)[19:]]
    assert probes_of_depth(0) == [name for name in SHAPES if not name.startswith("layer")]


@LAYOUTS
@RECOMPUTE
def test_all_probes_are_there_in_their_shapes(ops: OpSet, packed: bool, recompute: str) -> None:
    found = ours(case(), ops, packed=packed, recompute=recompute, record=True).probes
    names = probes_of_depth(2)
    assert set(found) == {*names, *(f"grad:{name}" for name in names)}
    for name, value in found.items():
        forward = name.removeprefix("grad:").replace("layer.1.", "layer.0.")
        assert value.shape == SHAPES[forward], name


def used(c: Case, name: str, value: np.ndarray, packed: bool) -> np.ndarray:
    """The part of a probe that is defined in both layouts: real tokens (as queries and keys), real predictions."""
    name = name.removeprefix("grad:")
    real = c.batch.attention_mask != 0
    if name.startswith("mlm."):
        return value[c.batch.masked_lm_weights != 0]
    if not packed or value.ndim < 3:
        return value
    if value.ndim == 4:
        return value.transpose(0, 2, 3, 1)[real[:, :, None] & real[:, None, :]]
    return value[real]


@LAYOUTS
@pytest.mark.parametrize("dialect", ["huggingface", "google"])
def test_values_and_gradients_are_those_of_autograd(ops: OpSet, packed: bool, dialect: str) -> None:
    c = case(dialect=dialect)
    want = expected(c)
    found = ours(c, ops, packed=packed, record=True).probes
    for name in probes_of_depth(2):
        for full, wanted in ((name, want.values[name]), (f"grad:{name}", want.grads[f"grad:{name}"])):
            got, wanted = used(c, full, found[full], packed), used(c, full, wanted, packed)
            # a key's gradient sums to 0 over the queries; nothing else here cancels
            assert error(got, wanted) < 1e-10, full


@LAYOUTS
def test_hooked_transformers_sees_the_same(ops: OpSet, packed: bool) -> None:
    """Module outputs of Hugging Face's own model, kept by forward hooks, and their gradients by `retain_grad`."""
    c = case()
    theirs = cases.transformers_model(c)
    seen: dict[str, Any] = {}

    def keep(name: str, module: Any, *, first_input: bool = False) -> None:
        def hook(_module: Any, given: Any, output: Any) -> None:
            tensor = given[0] if first_input else output[0] if isinstance(output, tuple) else output
            tensor.retain_grad()
            seen[name] = tensor

        module.register_forward_hook(hook)

    for i, layer in enumerate(theirs.bert.encoder.layer):
        for part in ("query", "key", "value"):
            keep(f"layer.{i}.{part}", getattr(layer.attention.self, part))
        keep(f"layer.{i}.context", layer.attention.output.dense, first_input=True)
        keep(f"layer.{i}.attention_output", layer.attention.output.dense)
        keep(f"layer.{i}.attention_sum", layer.attention.output.LayerNorm, first_input=True)
        keep(f"layer.{i}.attention_norm", layer.attention.output)
        keep(f"layer.{i}.ffn_pre", layer.intermediate.dense)
        keep(f"layer.{i}.ffn_act", layer.intermediate)
        keep(f"layer.{i}.ffn_output", layer.output.dense)
        keep(f"layer.{i}.ffn_sum", layer.output.LayerNorm, first_input=True)
        keep(f"layer.{i}.output", layer.output)
    for name in ("word", "token_type"):  # positions are looked up once for the whole batch there
        keep(f"embeddings.{name}", getattr(theirs.bert.embeddings, f"{name}_embeddings"))
    keep("embeddings.norm", theirs.bert.embeddings.LayerNorm)
    keep("pooled_pre", theirs.bert.pooler.dense)
    keep("pooled", theirs.bert.pooler)
    keep("nsp.logits", theirs.cls.seq_relationship)
    theirs(**cases.transformers_arguments(c.batch)).loss.backward()
    assert len(seen) == 2 * 12 + 3 + 3
    found = ours(c, ops, packed=packed, record=True).probes
    for name, tensor in seen.items():
        for full, value in ((name, tensor.detach()), (f"grad:{name}", tensor.grad)):
            got, wanted = used(c, full, found[full], packed), used(c, full, value.numpy(), packed)
            assert error(got, wanted) < 1e-10, full


def test_packed_probes_lie_in_the_padded_layout(ops: OpSet) -> None:
    c = case()
    rectangle, packed = (ours(c, ops, packed=p, record=True).probes for p in (False, True))
    padding = c.batch.attention_mask == 0
    for name, value in packed.items():
        assert value.shape == rectangle[name].shape
        if value.ndim == 3 and not name.removeprefix("grad:").startswith("mlm."):
            assert not value[padding].any(), name
        assert error(used(c, name, value, True), used(c, name, rectangle[name], True)) < 1e-12, name


@LAYOUTS
@RECOMPUTE
def test_looking_changes_no_bit(plain: OpSet, packed: bool, recompute: str) -> None:
    c = case()
    blind, seeing = (ours(c, plain, packed=packed, recompute=recompute, record=record) for record in (False, True))
    assert blind.losses == seeing.losses
    for name, grad in blind.grads.items():
        assert (seeing.grads[name] == grad).all(), name


def test_without_a_recorder_no_probe_is_made(ops: OpSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("a probe was made although nobody records")

    monkeypatch.setattr(Probe, "__init__", refuse)
    ours(case(), ops)
    with pytest.raises(AssertionError, match="nobody records"):
        ours(case(), ops, record=True)


@pytest.mark.parametrize("inside", ["scores", "probs", "ffn_pre", "ffn_sum", "attention_sum"])
@RECOMPUTE
def test_only_a_gradient_inside_a_composition(ops: OpSet, inside: str, recompute: str) -> None:
    """Whoever wants to see it in backward alone needs forward to have run the composition as well."""
    c = case()
    name = f"grad:layer.0.{inside}"
    recorder = Recorder({name})
    params = {n: ops.xp.from_numpy(a) for n, a in c.params.items()}
    settings = Settings(c.config, c.numerics, recompute)
    losses_and_gradients(PretrainingObjective(), ops, params, c.batch, settings, recorder=recorder)
    assert set(recorder.values) == {name}
    assert error(recorder.to_numpy(ops.xp)[name], expected(c).grads[name]) < 1e-10


def test_only_what_is_wanted_is_recorded(plain: OpSet) -> None:
    ops = plain
    c = case()
    wanted = {"layer.1.probs", "grad:layer.0.query", "loss.total", "mlm.logits"}
    recorder = Recorder(wanted)
    xp = ops.xp
    params = {name: xp.from_numpy(a) for name, a in c.params.items()}
    settings = Settings(c.config, c.numerics)
    losses_and_gradients(PretrainingObjective(), ops, params, c.batch, settings, recorder=recorder)
    assert set(recorder.values) == wanted
    everything = ours(c, ops, record=True).probes
    for name, value in recorder.to_numpy(xp).items():
        assert (value == everything[name]).all(), name


def test_scores_are_before_the_mask_and_probabilities_before_dropout(ops: OpSet) -> None:
    c = case(mask_value=-np.inf)
    open_mask = replace(c, batch=replace(c.batch, attention_mask=np.ones_like(c.batch.attention_mask)))
    masked, plain = (ours(x, ops, record=True).probes for x in (c, open_mask))
    assert (masked["layer.0.scores"] == plain["layer.0.scores"]).all()
    assert np.isfinite(masked["layer.1.scores"]).all()
    padding = c.batch.attention_mask == 0
    assert not masked["layer.1.probs"].transpose(0, 3, 1, 2)[padding].any()
    assert np.abs(masked["layer.1.probs"].sum(-1) - 1).max() < 1e-12
