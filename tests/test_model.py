"""The whole pre-training model against torch's autograd and Hugging Face's model, and its invariances."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertref import backends, heads, model
from bertref.data.pretraining.batch import PretrainingBatch, padded
from bertref.dropout import Dropout
from bertref.golden.generate import model_torch
from bertref.layers import Settings, encoder_layer, pooler
from bertref.layout import inputs
from bertref.objectives import PretrainingObjective, losses_and_gradients, pretraining
from bertref.opset import OpSet
from bertref.probes import Recorder

from . import model_cases as cases
from .model_cases import Case, case, check, error, expected, ours

LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
DIALECTS = pytest.mark.parametrize("dialect", ["huggingface", "google"])


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


# ---------------------------------------------------------------------------------------------------------------------
# against independent implementations


@LAYOUTS
def test_losses_and_every_gradient_are_those_of_transformers(ops: OpSet, packed: bool) -> None:
    c = case(layers=4)
    theirs = cases.transformers_model(c)
    out = theirs(**cases.transformers_arguments(c.batch), output_hidden_states=True)
    out.loss.backward()
    got = ours(c, ops, packed=packed, record=True)
    assert abs(got.losses["total"] - out.loss.item()) < 1e-12
    want = {f"grad:{name}": p.grad.numpy() for name, p in theirs.named_parameters()}
    assert set(got.grads) == {name.removeprefix("grad:") for name in want}
    errors = cases.grad_errors(got.grads, want)
    assert max(errors.values()) < 1e-10, errors
    assert error(got.probes["nsp.logits"], out.seq_relationship_logits.detach().numpy()) < 1e-12
    rows, slots = np.nonzero(c.batch.masked_lm_weights)
    all_logits = out.prediction_logits.detach().numpy()
    at = all_logits[rows, c.batch.masked_lm_positions[rows, slots]]
    assert error(got.probes["mlm.logits"][rows, slots], at) < 1e-12
    real = c.batch.attention_mask == 1
    for i, hidden in enumerate(out.hidden_states):
        name = f"layer.{i - 1}.output" if i else "embeddings.norm"
        assert error(got.probes[name][real], hidden.detach().numpy()[real]) < 1e-12, name


@DIALECTS
@LAYOUTS
@pytest.mark.parametrize("act", ["gelu", "relu", "tanh"])
def test_losses_and_every_gradient_are_those_of_autograd(ops: OpSet, dialect: str, packed: bool, act: str) -> None:
    c = case(dialect=dialect, hidden_act=act)
    check(ours(c, ops, packed=packed), expected(c))


@pytest.mark.parametrize(
    "changes",
    [{"mask_value": -np.inf}, {"scale_scores": "query"}, {"layer_norm_eps": 0.01}, {"mlm_denominator_epsilon": 0.5},
     {"layers": 0}, {"layers": 1, "num_attention_heads": 1}, {"num_attention_heads": 24}],
    ids=str,
)  # fmt: skip
def test_other_settings(ops: OpSet, changes: dict[str, Any]) -> None:
    c = case(**changes)
    want = expected(c)
    for packed in (False, True):
        check(ours(c, ops, packed=packed), want)


@pytest.mark.parametrize("mask_value", [-10000.0, -3.4028234663852886e38, -np.inf])
def test_a_sequence_that_is_all_padding(ops: OpSet, mask_value: float) -> None:
    c = case(lengths=(11, 0, 5), mask_value=mask_value)
    check(ours(c, ops), expected(c))


def test_transformers_agrees_about_a_sequence_that_is_all_padding(ops: OpSet) -> None:
    c = case(lengths=(11, 0, 5))
    theirs = cases.transformers_model(c)
    out = theirs(**cases.transformers_arguments(c.batch))
    out.loss.backward()
    got = ours(c, ops)
    assert abs(got.losses["total"] - out.loss.item()) < 1e-12
    want = {f"grad:{name}": p.grad.numpy() for name, p in theirs.named_parameters()}
    assert max(cases.grad_errors(got.grads, want).values()) < 1e-10


@LAYOUTS
@DIALECTS
def test_without_predictions_the_mlm_loss_is_zero(ops: OpSet, packed: bool, dialect: str) -> None:
    c = case(dialect=dialect)
    c = replace(c, batch=replace(c.batch, masked_lm_weights=np.zeros_like(c.batch.masked_lm_weights)))
    got = ours(c, ops, packed=packed)
    assert got.losses["mlm"] == 0
    assert got.losses["total"] == got.losses["nsp"] > 0
    check(got, expected(c))
    for name, grad in got.grads.items():
        assert np.isfinite(grad).all(), name
        assert not name.startswith("cls.predictions") or not grad.any(), name


@LAYOUTS
def test_length_one(ops: OpSet, packed: bool) -> None:
    c = case(lengths=(1, 1), max_position_embeddings=1)
    c = replace(c, batch=cases.ragged_batch(c.config, (1, 1), width=1))
    check(ours(c, ops, packed=packed), expected(c))


def test_strict_namespace_runs_the_whole_model() -> None:
    ops = OpSet(backends.get("strict"))
    c = case()
    for packed in (False, True):
        check(ours(c, ops, packed=packed, record=True), expected(c))


def test_holes_in_the_mask(ops: OpSet) -> None:
    c = case()
    mask = c.batch.attention_mask.copy()
    mask[0, [2, 5]] = 0
    predicted = np.isin(c.batch.masked_lm_positions[0], [2, 5])
    weights = c.batch.masked_lm_weights.copy()
    weights[0, predicted] = 0
    c = replace(c, batch=replace(c.batch, attention_mask=mask, masked_lm_weights=weights))
    for packed in (False, True):
        check(ours(c, ops, packed=packed), expected(c))


def test_fractional_weights(ops: OpSet) -> None:
    c = case()
    weights = c.batch.masked_lm_weights * np.array([0.25, 1.5, 2.0, 0.5], np.float32)
    c = replace(c, batch=replace(c.batch, masked_lm_weights=weights))
    for packed in (False, True):
        check(ours(c, ops, packed=packed), expected(c))


@given(st.integers(0, 2**32), st.lists(st.integers(1, 11), min_size=1, max_size=4), st.booleans())
@settings(max_examples=10)
def test_gradient_along_a_random_direction(seed: int, lengths: list[int], packed: bool) -> None:
    """(L(p + h d) - L(p - h d)) / 2h for all parameters at once, extrapolated to order h⁴."""
    ops = OpSet(backends.get("numpy"))
    c = case(layers=1, seed=seed, lengths=tuple(lengths))
    random = np.random.default_rng(seed)
    direction = {name: random.normal(size=a.shape) for name, a in c.params.items()}

    def slope(h: float) -> float:
        ends = []
        for sign in (1, -1):
            moved = {name: a + sign * h * direction[name] for name, a in c.params.items()}
            ends.append(ours(replace(c, params=moved), ops, packed=packed, gradients=False).losses["total"])
        return (ends[0] - ends[1]) / (2 * h)

    h = 1e-4
    numeric = (4 * slope(h) - slope(2 * h)) / 3
    grads = ours(c, ops, packed=packed).grads
    exact = sum(float((grads[name] * direction[name]).sum()) for name in grads)
    size = float(np.sqrt(sum((g**2).sum() for g in grads.values())))
    assert abs(numeric - exact) < 1e-7 * size


# ---------------------------------------------------------------------------------------------------------------------
# what must not change anything


@LAYOUTS
@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_recomputing_is_bit_equal(ops: OpSet, packed: bool, rate: float) -> None:
    c = case(hidden_dropout_prob=rate, attention_probs_dropout_prob=rate)
    options: dict[str, Any] = {"packed": packed, "dropout": dropout_of(c, ops, packed) if rate else None}
    kept = ours(c, ops, **options)
    for level in ("attention", "layers"):
        again = ours(c, ops, recompute=level, **options)
        if getattr(ops.backend, "static_shapes", False):  # another program is compiled, which rounds apart
            same(again, kept)
            continue
        assert again.losses == kept.losses
        for name, grad in kept.grads.items():
            assert (again.grads[name] == grad).all(), (level, name)


def dropout_of(c: Case, ops: OpSet, packed: bool) -> Dropout:
    rates = (c.config.hidden_dropout_prob, c.config.attention_probs_dropout_prob)
    return Dropout(ops.xp, 3, 5, c.batch.example, c.batch.attention_mask != 0, packed, *rates)


def same(got: cases.Outcome, want: cases.Outcome, tolerance: float = 1e-12) -> None:
    for name, value in want.losses.items():
        assert abs(got.losses[name] - value) < tolerance
    for name, grad in want.grads.items():
        assert error(got.grads[name], grad, want.grads[cases.scale_of(name)]) < tolerance, name


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_layouts_agree_with_dropout_too(ops: OpSet, rate: float) -> None:
    c = case(hidden_dropout_prob=rate, attention_probs_dropout_prob=rate / 2)
    found = [ours(c, ops, packed=p, dropout=dropout_of(c, ops, p)) for p in (False, True)]
    same(found[1], found[0])
    if rate:
        assert found[0].losses != ours(c, ops).losses


@LAYOUTS
def test_more_padding_changes_nothing(ops: OpSet, packed: bool) -> None:
    c = case()
    wide = replace(c, batch=padded(c.batch, 16, 7))
    same(ours(wide, ops, packed=packed), ours(c, ops, packed=packed))


@LAYOUTS
def test_what_stands_in_padding_changes_nothing(ops: OpSet, packed: bool) -> None:
    c = case()
    padding = c.batch.attention_mask == 0
    unused = c.batch.masked_lm_weights == 0
    other = replace(
        c.batch,
        input_ids=np.where(padding, 7, c.batch.input_ids),
        token_type_ids=np.where(padding, 1, c.batch.token_type_ids),
        masked_lm_ids=np.where(unused, 3, c.batch.masked_lm_ids),
        masked_lm_positions=np.where(unused, 2, c.batch.masked_lm_positions),
    )
    same(ours(replace(c, batch=other), ops, packed=packed), ours(c, ops, packed=packed))


@LAYOUTS
def test_the_order_of_the_sequences_changes_nothing(ops: OpSet, packed: bool) -> None:
    c = case()
    order = np.array([2, 0, 3, 1])
    turned = replace(c, batch=c.batch[order])
    first, second = (ours(x, ops, packed=packed, record=True) for x in (c, turned))
    same(second, first)
    for name in ("pooled", "layer.1.output", "layer.0.probs", "mlm.logits"):
        assert error(second.probes[name], first.probes[name][order]) < 1e-12


@LAYOUTS
def test_chunks_with_the_whole_batchs_denominators_add_up(ops: OpSet, packed: bool) -> None:
    c = case(dialect="google")
    whole = ours(c, ops, packed=packed)
    divide_by = PretrainingObjective().denominators(c.batch, c.numerics)
    parts = [
        ours(replace(c, batch=c.batch[rows]), ops, packed=packed, divide_by=divide_by)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    total = {name: parts[0].losses[name] + parts[1].losses[name] for name in whole.losses}
    grads = {name: parts[0].grads[name] + parts[1].grads[name] for name in whole.grads}
    same(cases.Outcome(total, grads, {}), whole)


def test_the_loss_scale_multiplies_every_gradient(ops: OpSet) -> None:
    c = case()
    plain, scaled = ours(c, ops), ours(c, ops, loss_scale=1024.0)
    assert scaled.losses == plain.losses
    for name, grad in plain.grads.items():
        assert (scaled.grads[name] == 1024 * grad).all(), name  # a power of two rounds nothing


def test_parameters_and_batch_are_not_touched(ops: OpSet) -> None:
    c = case()
    xp = ops.xp
    params = {name: xp.from_numpy(a.copy()) for name, a in c.params.items()}
    batch = PretrainingBatch(**{name: a.copy() for name, a in c.batch.items()})
    settings = Settings(c.config, c.numerics)
    losses_and_gradients(PretrainingObjective(), ops, params, batch, settings, recorder=Recorder())
    for name, a in c.params.items():
        assert (xp.to_numpy(params[name]) == a).all(), name
    for name, a in c.batch.items():
        assert (getattr(batch, name) == a).all(), name


# ---------------------------------------------------------------------------------------------------------------------
# the encoder by itself


def encoder_grads(ops: OpSet, c: Case, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Backward from random upstream gradients of the sequence, of the pooled output or of both; and torch's."""
    xp, random = ops.xp, np.random.default_rng(1)
    B, S = c.batch.input_ids.shape
    up = {
        "sequence": random.normal(size=(B, S, c.config.hidden_size)),
        "pooled": random.normal(size=(B, c.config.hidden_size)),
    }
    params = {name: xp.from_numpy(a) for name, a in c.params.items()}
    x = inputs(xp, c.batch.input_ids, c.batch.attention_mask, c.batch.token_type_ids)
    _, cache = model.forward(ops, params, x, Settings(c.config, c.numerics))
    d_sequence = xp.from_numpy(up["sequence"].reshape(B * S, -1)) if "sequence" in names else None
    got = model.backward(ops, d_sequence, xp.from_numpy(up["pooled"]) if "pooled" in names else None, cache)
    network = model_torch.Network(c.params, c.dialect)
    b = {name: torch.tensor(a).long() for name, a in c.batch.items() if name != "masked_lm_weights"}
    hidden = network.embeddings(b["input_ids"], b["token_type_ids"])
    for i in range(c.config.num_hidden_layers):
        hidden = network.layer(hidden, b["attention_mask"], i)
    outputs = {"sequence": hidden, "pooled": torch.tanh(network.dense(hidden[:, 0], "bert.pooler.dense"))}
    sum((outputs[name] * torch.tensor(up[name])).sum() for name in names).backward()
    want = {name: p.grad.numpy() for name, p in network.p.items() if p.grad is not None}
    return {name: xp.to_numpy(g) for name, g in got.items()}, want


@pytest.mark.parametrize("names", [("sequence",), ("pooled",), ("sequence", "pooled")], ids="+".join)
def test_backward_from_either_output(ops: OpSet, names: tuple[str, ...]) -> None:
    got, want = encoder_grads(ops, case(), names)
    assert got.keys() == want.keys()
    for name, grad in want.items():
        assert error(got[name], grad, want[cases.scale_of(name)]) < 1e-10, name


def test_a_model_without_a_pooler_has_no_pooled_output(ops: OpSet) -> None:
    c = case()
    xp = ops.xp
    params = {name: xp.from_numpy(a) for name, a in c.params.items() if "pooler" not in name}
    x = inputs(xp, c.batch.input_ids, c.batch.attention_mask, c.batch.token_type_ids)
    encoded, cache = model.forward(ops, params, x, Settings(c.config, c.numerics))
    assert encoded.pooled is None
    with pytest.raises(ValueError, match="backward needs"):
        model.backward(ops, None, None, cache)


@LAYOUTS
@DIALECTS
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("kernels", [False, True])
def test_the_pooled_output_alone_is_that_of_the_whole_model(
    ops: OpSet, packed: bool, dialect: str, layers: int, kernels: bool
) -> None:
    """The last layer at the first tokens, with keys of every length, against all of the layer."""
    c = case(layers=layers, dialect=dialect)
    ops = OpSet(ops.backend, kernels=kernels).forward_only()
    params = {name: ops.xp.from_numpy(a) for name, a in c.params.items()}
    x = inputs(ops.xp, c.batch.input_ids, c.batch.attention_mask, c.batch.token_type_ids, packed=packed)
    settings = Settings(c.config, c.numerics)
    whole = model.forward(ops, params, x, settings)[0].pooled
    found = model.pooled(ops, params, x, settings)
    assert error(ops.xp.to_numpy(found), ops.xp.to_numpy(whole)) < 1e-13


def test_a_cache_serves_once(ops: OpSet) -> None:
    """What a layer kept is let go as soon as it has served, and its absence is not taken for a model of no layers."""
    c = case()
    xp = ops.xp
    params = {name: xp.from_numpy(a) for name, a in c.params.items()}
    x = inputs(xp, c.batch.input_ids, c.batch.attention_mask, c.batch.token_type_ids)
    encoded, cache = model.forward(ops, params, x, Settings(c.config, c.numerics))
    model.backward(ops, xp.ones_like(encoded.sequence), None, cache)
    assert cache.layers == [None] * c.config.num_hidden_layers
    with pytest.raises(ValueError, match="served a backward already"):
        model.backward(ops, xp.ones_like(encoded.sequence), None, cache)


# ---------------------------------------------------------------------------------------------------------------------
# twins with one fault each: `check` must reject them all


def half_of_the_tied_gradient(patch: pytest.MonkeyPatch) -> None:
    whole = PretrainingObjective.backward

    def fault(self: Any, ops: OpSet, d: Any, cache: Any, probe: Any = None) -> Any:
        other_half = ops.decoder_cross_entropy.backward(d, cache.decoder).table
        grads = whole(self, ops, d, cache, probe)
        return {**grads, heads.WORD_EMBEDDINGS: grads[heads.WORD_EMBEDDINGS] - other_half}

    patch.setattr(PretrainingObjective, "backward", fault)


def pooler_without_its_way_back(patch: pytest.MonkeyPatch) -> None:
    whole = pooler.backward

    def fault(*args: Any) -> Any:
        dx, grads = whole(*args)
        return dx * 0.0, grads

    patch.setattr(pooler, "backward", fault)


def layer_without_its_residual(patch: pytest.MonkeyPatch) -> None:
    whole = encoder_layer.feed_forward.backward

    def fault(ops: OpSet, dy: Any, cache: Any, probe: Any = None) -> Any:
        dx, grads = whole(ops, dy, cache, probe)
        return dx - ops.dropout_add_norm.backward(dy, cache.norm).residual, grads

    patch.setattr(encoder_layer.feed_forward, "backward", fault)


def next_sentence_labels_turned(patch: pytest.MonkeyPatch) -> None:
    whole = pretraining.targets

    def fault(*args: Any) -> Any:
        found = whole(*args)
        return replace(found, next_sentence=1 - found.next_sentence)

    patch.setattr(pretraining, "targets", fault)


def another_denominator(patch: pytest.MonkeyPatch) -> None:
    whole = PretrainingObjective.denominators

    def fault(self: Any, batch: Any, numerics: Any) -> Any:
        return {**whole(self, batch, numerics), "mlm": float(batch.masked_lm_weights.size)}

    patch.setattr(PretrainingObjective, "denominators", fault)


def positions_off_by_one(patch: pytest.MonkeyPatch) -> None:
    whole = pretraining.inputs

    def fault(xp: Any, *args: Any, **options: Any) -> Any:
        found = whole(xp, *args, **options)
        return replace(found, position_ids=found.position_ids + 1)

    patch.setattr(pretraining, "inputs", fault)


def a_gradient_a_thousandth_too_long(patch: pytest.MonkeyPatch) -> None:
    whole = pooler.backward

    def fault(*args: Any) -> Any:
        dx, grads = whole(*args)
        return dx * 1.001, grads

    patch.setattr(pooler, "backward", fault)


FAULTS = [
    half_of_the_tied_gradient, pooler_without_its_way_back, layer_without_its_residual, next_sentence_labels_turned,
    another_denominator, positions_off_by_one, a_gradient_a_thousandth_too_long,
]  # fmt: skip


@LAYOUTS
@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_rejects_a_twin_with_a_fault(ops: OpSet, monkeypatch: Any, fault: Any, packed: bool) -> None:
    c = case()
    want = expected(c)
    check(ours(c, ops, packed=packed), want)
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check(ours(c, ops, packed=packed), want)
