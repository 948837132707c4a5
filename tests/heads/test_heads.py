"""The heads, forward and backward, in both layouts: against transformers, along random directions, and twins."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertref import backends, heads, model
from bertref.arrays import Namespace
from bertref.config import BertConfig, Numerics
from bertref.dropout import HEAD_SITE, Dropout, kept
from bertref.errors import InputError
from bertref.heads import parameter_shapes
from bertref.layers import Settings
from bertref.layout import Inputs, inputs
from bertref.opset import OpSet
from bertref.probes import Probe, Recorder
from tests.model_cases import case, error, ours, scale_of, small_config

LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
LENGTHS, WIDTH, LABELS, CHOICES = (11, 7, 3, 9), 11, 5, 2
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


@dataclass(frozen=True)
class Head:
    """A head by name: how transformers calls its model, and the axes of its logits."""

    name: str
    theirs: str
    over_tokens: bool
    num_labels: int = LABELS


HEADS = [
    Head("sequence_classification", "BertForSequenceClassification", False),
    Head("multiple_choice", "BertForMultipleChoice", False, 1),
    Head("token_classification", "BertForTokenClassification", True),
    Head("question_answering", "BertForQuestionAnswering", True, 2),
    Head("next_sentence", "BertForNextSentencePrediction", False, 2),
]
EVERY_HEAD = pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)
PARAMETERS = {"next_sentence": ("pooler",)}


def rich(head: Head, config: BertConfig, seed: int = 0) -> Arrays:
    shapes = parameter_shapes(config, PARAMETERS.get(head.name, (head.name,)), num_labels=head.num_labels)
    if head.name == "next_sentence":
        shapes |= {"cls.seq_relationship.weight": (2, config.hidden_size), "cls.seq_relationship.bias": (2,)}
    random = np.random.default_rng(seed)
    return {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3, shape)
        for name, shape in shapes.items()
    }


def ragged(config: BertConfig, seed: int = 1) -> SimpleNamespace:
    random = np.random.default_rng(seed)
    mask = (np.arange(WIDTH) < np.asarray(LENGTHS)[:, None]).astype(np.int64)
    types = (np.arange(WIDTH) >= np.asarray(LENGTHS)[:, None] // 2).astype(np.int64) * mask
    return SimpleNamespace(ids=random.integers(5, config.vocab_size, mask.shape), mask=mask, types=types)


def upstream(head: Head, shape: tuple[int, ...], mask: np.ndarray, seed: int = 2) -> np.ndarray:
    """A random gradient of the logits; 0 at padding, where packed rows don't exist."""
    up = np.random.default_rng(seed).normal(size=shape)
    return up * mask[:, :, None] if head.over_tokens else up


@dataclass(frozen=True)
class Outcome:
    """Logits, (B, ...) or (B, S, ...) with 0 at padding, gradients and probes."""

    logits: np.ndarray
    grads: Arrays
    probes: Arrays


def rows_of(x: Inputs, mask: np.ndarray, rectangle: np.ndarray) -> np.ndarray:
    rows = rectangle.reshape(-1, rectangle.shape[-1])
    return rows[mask.reshape(-1) != 0] if x.layout.packed else rows


def run(
    head: Head, ops: OpSet, params: Arrays, config: BertConfig, *, packed: bool, dropout: bool = False,
    record: bool = False, forward: Callable[..., Any] | None = None, backward: Callable[..., Any] | None = None,
) -> Outcome:  # fmt: skip
    """The encoder with one head, forward and, from a random upstream gradient, backward."""
    xp, batch, settings = ops.xp, ragged(config), Settings(config, Numerics())
    forward = forward or getattr(heads, f"{head.name}_forward")
    backward = backward or getattr(heads, f"{head.name}_backward")
    device = {name: xp.from_numpy(a) for name, a in params.items()}
    x = inputs(xp, batch.ids, batch.mask, batch.types, packed=packed)
    rate = (config.hidden_dropout_prob, config.attention_probs_dropout_prob)
    drop = Dropout(xp, 3, 5, np.arange(4) + 100, batch.mask != 0, packed, *rate) if dropout else None
    encoded, cache = model.forward(ops, device, x, settings, dropout=drop)
    recorder = Recorder()
    options: dict[str, Any] = {"probe": Probe(recorder, xp, x.layout)} if record else {}
    if drop and head.name not in ("question_answering", "next_sentence"):
        options["dropout"] = drop
    read = encoded.sequence if head.over_tokens else encoded.pooled
    extra = (CHOICES,) if head.name == "multiple_choice" else ()
    logits, head_cache = forward(ops, device, read, *extra, **options)
    shape = (*batch.mask.shape, logits.shape[-1]) if head.over_tokens else tuple(logits.shape)
    up = upstream(head, shape, batch.mask)
    dlogits = rows_of(x, batch.mask, up) if head.over_tokens else up
    probe = {"probe": Probe(recorder, xp, x.layout, "grad:")} if record else {}
    dread, grads = backward(ops, xp.from_numpy(dlogits), head_cache, **probe)
    grads |= model.backward(ops, *((dread, None) if head.over_tokens else (None, dread)), cache)
    found = np.array(xp.to_numpy(logits))
    if head.over_tokens:
        spread = np.zeros((batch.mask.size, found.shape[-1]))
        spread[batch.mask.reshape(-1) != 0] = found if packed else found[batch.mask.reshape(-1) != 0]
        found = spread.reshape(shape)
    return Outcome(found, {name: np.array(xp.to_numpy(g)) for name, g in grads.items()}, recorder.to_numpy(xp))


def theirs(head: Head, params: Arrays, config: BertConfig) -> Any:
    values = {**config.__dict__, "layer_norm_eps": 1e-12, "num_labels": head.num_labels}
    settings = transformers.BertConfig(**values)
    settings._attn_implementation = "eager"
    network = getattr(transformers, head.theirs)(settings).double().eval()
    found = network.load_state_dict({n: torch.tensor(a) for n, a in params.items()}, strict=False)
    assert not found.unexpected_keys
    assert not found.missing_keys
    return network


def expected(head: Head, params: Arrays, config: BertConfig) -> Outcome:
    """What transformers and torch's autograd make of it."""
    network, batch = theirs(head, params, config), ragged(config)
    given = [torch.tensor(a) for a in (batch.ids, batch.mask, batch.types)]
    if head.name == "multiple_choice":
        given = [a.reshape(-1, CHOICES, WIDTH) for a in given]
    out = network(**dict(zip(("input_ids", "attention_mask", "token_type_ids"), given, strict=True)))
    if head.name == "question_answering":
        logits = torch.stack([out.start_logits, out.end_logits], dim=-1)
    else:
        logits = out.logits
    up = upstream(head, tuple(logits.shape), batch.mask)
    (logits * torch.tensor(up)).sum().backward()
    found = logits.detach().numpy()
    if head.over_tokens:
        found = found * batch.mask[:, :, None]
    return Outcome(found, {n: p.grad.numpy() for n, p in network.named_parameters() if p.grad is not None}, {})


def check(got: Outcome, want: Outcome) -> None:
    """Logits and all gradients are the oracle's."""
    assert error(got.logits, want.logits) < 1e-12
    assert got.grads.keys() == want.grads.keys()
    for name, grad in want.grads.items():
        assert error(got.grads[name], grad, want.grads[scale_of(name)]) < 1e-10, name


@LAYOUTS
@EVERY_HEAD
def test_logits_and_every_gradient_are_those_of_transformers(ops: OpSet, head: Head, packed: bool) -> None:
    config = small_config()
    params = rich(head, config)
    check(run(head, ops, params, config, packed=packed), expected(head, params, config))


@EVERY_HEAD
def test_layouts_agree_with_dropout_too(ops: OpSet, head: Head) -> None:
    config = small_config(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    params = rich(head, config)
    padded, packed = (run(head, ops, params, config, packed=p, dropout=True) for p in (False, True))
    check(packed, padded)
    assert error(run(head, ops, params, config, packed=True).logits, padded.logits) > 1e-3


@LAYOUTS
@EVERY_HEAD
def test_gradient_along_a_random_direction_through_dropout(ops: OpSet, head: Head, packed: bool) -> None:
    """(L(p + h d) - L(p - h d)) / 2h with L = Σ upstream · logits, extrapolated to order h⁴; the same elements drop."""
    config = small_config(layers=1, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.1)
    params, random = rich(head, config), np.random.default_rng(9)
    direction = {name: random.normal(size=a.shape) for name, a in params.items()}
    mask = ragged(config).mask

    def value(step: float) -> float:
        moved = {name: a + step * direction[name] for name, a in params.items()}
        logits = run(head, ops, moved, config, packed=packed, dropout=True).logits
        return float((logits * upstream(head, logits.shape, mask)).sum())

    def slope(h: float) -> float:
        return (value(h) - value(-h)) / (2 * h)

    numeric = (4 * slope(1e-4) - slope(2e-4)) / 3
    grads = run(head, ops, params, config, packed=packed, dropout=True).grads
    assert set(grads) == set(params)
    exact = sum(float((grads[name] * direction[name]).sum()) for name in grads)
    size = float(np.sqrt(sum((g**2).sum() for g in grads.values())))
    assert abs(numeric - exact) < 1e-7 * size


@pytest.mark.parametrize("name", ["sequence_classification", "multiple_choice", "token_classification"])
@LAYOUTS
def test_what_a_head_drops_is_drawn_at_its_site(ops: OpSet, name: str, packed: bool) -> None:
    """logits = (keep ∘ x · scale) Wᵀ + b with the keep mask of the head's own stream."""
    xp, random, H = ops.xp, np.random.default_rng(0), 8
    mask = np.array([[1, 1, 1], [1, 1, 0]], bool)
    dropout = Dropout(xp, 7, 2, np.array([5, 6]), mask, packed, 0.4, 0.0)
    rows = 2 if name != "token_classification" else (5 if packed else 6)
    x, labels = random.normal(size=(rows, H)), 1 if name == "multiple_choice" else 3
    params = {"classifier.weight": random.normal(size=(labels, H)), "classifier.bias": random.normal(size=labels)}
    extra = (2,) if name == "multiple_choice" else ()
    device = {key: xp.from_numpy(a) for key, a in params.items()}
    logits, _ = getattr(heads, f"{name}_forward")(ops, device, xp.from_numpy(x), *extra, dropout=dropout)
    keep = np.zeros((2, 3, H), bool)
    for b, length in enumerate((3, 2)):
        count = length if name == "token_classification" else 1
        keep[b, :count] = kept(7, HEAD_SITE, 2, 5 + b, count * H, 0.4).reshape(count, H)
    rows_kept = keep[mask] if packed else keep.reshape(6, H)
    chosen = rows_kept if name == "token_classification" else keep[:, 0]
    by_hand = (x * chosen * dropout.hidden_scale) @ params["classifier.weight"].T + params["classifier.bias"]
    np.testing.assert_allclose(xp.to_numpy(logits).reshape(by_hand.shape), by_hand, rtol=1e-13)


@LAYOUTS
@EVERY_HEAD
def test_probes_show_logits_and_their_gradient(ops: OpSet, head: Head, packed: bool) -> None:
    config = small_config()
    got = run(head, ops, rich(head, config), config, packed=packed, record=True)
    (name,) = (name for name in got.probes if not name.startswith("grad:"))
    mask = ragged(config).mask
    where = mask[:, :, None] if head.over_tokens else 1
    np.testing.assert_array_equal(got.probes[name] * where, got.logits)
    np.testing.assert_array_equal(got.probes[f"grad:{name}"], upstream(head, got.logits.shape, mask))


def test_strict_namespace_runs_every_head() -> None:
    strict, config = OpSet(backends.get("strict")), small_config(hidden_dropout_prob=0.3)
    for head in HEADS:
        params = rich(head, config)
        for packed in (False, True):
            check(run(head, strict, params, config, packed=packed), expected(head, params, config))


def test_sequences_that_are_no_multiple_of_the_choices_are_refused(ops: OpSet) -> None:
    params = {"classifier.weight": ops.xp.ones((1, 4), dtype=ops.xp.float64)}
    for choices in (3, 0):
        with pytest.raises(InputError, match=f"4 sequences are not a multiple of {choices} choices"):
            heads.multiple_choice_forward(ops, params, ops.xp.ones((4, 4), dtype=ops.xp.float64), choices)


# ---------------------------------------------------------------------------------------------------------------------
# a decoder of its own


def untied(ops: OpSet, packed: bool) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Any]:
    """Gradients with an untied decoder, transformers' gradients, and ours."""
    c = case(layers=1)
    table = np.random.default_rng(4).normal(0, 0.3, c.params[heads.WORD_EMBEDDINGS].shape)
    c = replace(c, params={**c.params, heads.DECODER: table})
    values = {**c.config.__dict__, "layer_norm_eps": 1e-12, "tie_word_embeddings": False}
    settings = transformers.BertConfig(**values)
    settings._attn_implementation = "eager"
    network = transformers.BertForPreTraining(settings).double().eval()
    state = {n: torch.tensor(a) for n, a in c.params.items()}
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    network.load_state_dict(state, strict=True)
    b = c.batch
    out = network(*(torch.tensor(a).long() for a in (b.input_ids, b.attention_mask, b.token_type_ids)))
    rows, slots = np.nonzero(b.masked_lm_weights)
    logits = out.prediction_logits[rows, b.masked_lm_positions[rows, slots]]
    words = torch.nn.functional.cross_entropy(logits, torch.tensor(b.masked_lm_ids[rows, slots]).long())
    pairs = torch.nn.functional.cross_entropy(out.seq_relationship_logits, torch.tensor(b.next_sentence_label).long())
    (words + pairs).backward()
    want = {n: p.grad.numpy() for n, p in network.named_parameters() if p.grad is not None}
    bias = want.pop("cls.predictions.decoder.bias", 0.0)
    want["cls.predictions.bias"] = want.get("cls.predictions.bias", 0.0) + bias
    return ours(c, ops, packed=packed).grads, want, (float((words + pairs).detach()), c)


@LAYOUTS
def test_an_untied_decoder_has_a_gradient_of_its_own(ops: OpSet, packed: bool) -> None:
    got, want, (total, c) = untied(ops, packed)
    assert abs(ours(c, ops, packed=packed).losses["total"] - total) < 1e-12
    assert got.keys() == want.keys()
    for name, grad in want.items():
        assert error(got[name], grad, want[scale_of(name)]) < 1e-10, name


def test_logits_for_prediction_are_the_decoders(ops: OpSet) -> None:
    xp, c = ops.xp, case()
    b, settings = c.batch, Settings(c.config, c.numerics)
    table = np.random.default_rng(4).normal(size=c.params[heads.WORD_EMBEDDINGS].shape)
    x = inputs(xp, b.input_ids, b.attention_mask, b.token_type_ids)
    found = {}
    for name, extra in {"tied": {}, "untied": {heads.DECODER: table}}.items():
        params = {key: xp.from_numpy(a) for key, a in {**c.params, **extra}.items()}
        encoded, _ = model.forward(ops, params, x, settings)
        positions = xp.from_numpy(np.arange(5))
        transformed, _ = heads.transform_forward(ops, params, encoded.sequence, positions, settings)
        logits = heads.masked_lm_logits(ops, params, encoded.sequence, positions, settings)
        used = extra.get(heads.DECODER, c.params[heads.WORD_EMBEDDINGS])
        by_hand = xp.to_numpy(transformed) @ used.T + c.params[heads.DECODER_BIAS]
        np.testing.assert_allclose(xp.to_numpy(logits), by_hand, rtol=1e-12, atol=1e-12)
        found[name] = xp.to_numpy(logits)
    assert error(found["tied"], found["untied"]) > 0.1


# ---------------------------------------------------------------------------------------------------------------------
# twins with one fault each: `check` must reject them all


def transposed_weight_gradient(head: Head) -> dict[str, Any]:
    """The rows in the opposite order; with one label there is no order of rows, and the columns are turned instead."""
    whole, axis = getattr(heads, f"{head.name}_backward"), 1 if head.num_labels == 1 else 0

    def backward(ops: OpSet, *args: Any, **options: Any) -> Any:
        dx, grads = whole(ops, *args, **options)
        return dx, {n: reversed_along(ops.xp, g, axis) if n.endswith("weight") else g for n, g in grads.items()}

    return {"backward": backward}


def reversed_along(xp: Namespace, x: Any, axis: int) -> Any:
    return xp.take(x, xp.arange(x.shape[axis] - 1, -1, -1), axis=axis)


def bias_forgotten(head: Head) -> dict[str, Any]:
    whole = getattr(heads, f"{head.name}_forward")

    def forward(ops: OpSet, params: dict[str, Any], *args: Any, **options: Any) -> Any:
        zeroed = {n: p * 0.0 if n in ("classifier.bias", "qa_outputs.bias", "cls.seq_relationship.bias") else p
                  for n, p in params.items()}  # fmt: skip
        return whole(ops, zeroed, *args, **options)

    return {"forward": forward}


def a_thousandth_too_long(head: Head) -> dict[str, Any]:
    whole = getattr(heads, f"{head.name}_backward")

    def backward(*args: Any, **options: Any) -> Any:
        dx, grads = whole(*args, **options)
        return dx * 1.001, grads

    return {"backward": backward}


def one_row_without_gradient(head: Head) -> dict[str, Any]:
    whole = getattr(heads, f"{head.name}_backward")

    def backward(ops: OpSet, dlogits: Any, *args: Any, **options: Any) -> Any:
        first = np.ones(tuple(dlogits.shape))
        first[0] = 0.0
        return whole(ops, dlogits * ops.xp.from_numpy(first), *args, **options)

    return {"backward": backward}


FAULTS = [bias_forgotten, a_thousandth_too_long, one_row_without_gradient, transposed_weight_gradient]


@pytest.mark.parametrize("fault", FAULTS)
@LAYOUTS
@EVERY_HEAD
def test_the_check_rejects_a_twin_with_a_fault(ops: OpSet, head: Head, packed: bool, fault: Any) -> None:
    config = small_config(layers=1)
    params = rich(head, config)
    want = expected(head, params, config)
    with pytest.raises(AssertionError):
        check(run(head, ops, params, config, packed=packed, **fault(head)), want)
