"""Each layer by itself: its gradients from a random upstream gradient, against torch's autograd."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertref import backends
from bertref.errors import InputError
from bertref.golden.generate.model_torch import Network
from bertref.layers import Settings, embeddings, encoder_layer, feed_forward, pooler, projections, self_attention
from bertref.layers.settings import RECOMPUTE, Recompute, materialised
from bertref.layout import inputs
from bertref.objectives import PretrainingObjective, losses_and_gradients
from bertref.opset import OpSet
from bertref.params import joined, prefixed, scope
from bertref.probes import Recorder

from ..model_cases import Case, case, error, scale_of

LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])


@pytest.fixture(scope="module")
def ops(request: pytest.FixtureRequest) -> OpSet:
    return OpSet(backends.get(request.config.getoption("--backend")))


class Bench:
    """A case, its layout and a random input: rows as bertref wants them, a rectangle as torch does."""

    def __init__(self, ops: OpSet, packed: bool, **changes: Any) -> None:
        self.case: Case = case(**changes)
        batch, self.ops, self.packed = self.case.batch, ops, packed
        self.real = batch.attention_mask != 0
        self.x = inputs(ops.xp, batch.input_ids, batch.attention_mask, batch.token_type_ids, packed=packed)
        self.settings = Settings(self.case.config, self.case.numerics)
        self.random = np.random.default_rng(5)
        self.network = Network(self.case.params, self.case.dialect)
        self.params = {name: ops.xp.from_numpy(a) for name, a in self.case.params.items()}

    def drawn(self) -> np.ndarray:
        """A random rectangle (B, S, H), 0 at the padding."""
        shape = (*self.real.shape, self.case.config.hidden_size)
        return self.random.normal(size=shape) * self.real[..., None]

    def rows(self, rectangle: np.ndarray) -> Any:
        """The rectangle as rows of this layout."""
        rows = rectangle[self.real] if self.packed else rectangle.reshape(-1, rectangle.shape[-1])
        return self.ops.xp.from_numpy(np.ascontiguousarray(rows))

    def real_rows(self, rows: Any) -> np.ndarray:
        """Our rows at real tokens, (T, H)."""
        host = np.asarray(self.ops.xp.to_numpy(rows))
        return host if self.packed else host.reshape(*self.real.shape, -1)[self.real]

    def grads_agree(self, prefix: str, grads: dict[str, Any]) -> None:
        """Our gradients under `prefix` are those that backward left in the network, and none is missing."""
        want = {name: p.grad.numpy() for name, p in self.network.p.items() if p.grad is not None}
        got = {name: self.ops.xp.to_numpy(g) for name, g in prefixed(prefix, grads).items()}
        assert got.keys() == want.keys()
        for name, value in want.items():
            scale = want.get(scale_of(name), value)
            assert error(got[name], value, scale) < 1e-12, name


def with_joined(ops: OpSet, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, and those of query, key and value one below the other."""
    return params | {name: ops.xp.concat([params[one] for one in names]) for name, names in joined(params)}


def torch_half(bench: Bench, which: str, x: Any) -> Any:
    """One half of a layer in torch, from its formula."""
    n, name = bench.network, "bert.encoder.layer.0."
    if which == "attention":
        mask = torch.tensor(bench.case.batch.attention_mask)
        context = n.attention(x, mask, "", name + "attention.self.")
        return n.norm(n.dense(context, name + "attention.output.dense") + x, name + "attention.output.LayerNorm")
    act = torch.nn.functional.gelu(n.dense(x, name + "intermediate.dense"))
    return n.norm(n.dense(act, name + "output.dense") + x, name + "output.LayerNorm")


def self_attention_pair(bench: Bench, x: Any) -> tuple[Any, Callable[[Any], Any]]:
    p = scope(bench.params, "bert.encoder.layer.0.attention")
    y, cache = self_attention.forward(bench.ops, p, x, bench.x.layout, bench.settings, None, 2)
    return y, lambda dy: self_attention.backward(bench.ops, dy, cache)


def feed_forward_pair(bench: Bench, x: Any) -> tuple[Any, Callable[[Any], Any]]:
    p = scope(bench.params, "bert.encoder.layer.0")
    y, cache = feed_forward.forward(bench.ops, p, x, bench.settings, None, 2)
    return y, lambda dy: feed_forward.backward(bench.ops, dy, cache)


def encoder_layer_pair(bench: Bench, x: Any) -> tuple[Any, Callable[[Any], Any]]:
    p = scope(bench.params, "bert.encoder.layer.0")
    y, cache = encoder_layer.forward(bench.ops, p, x, bench.x.layout, bench.settings, None, 0)
    return y, lambda dy: encoder_layer.backward(bench.ops, dy, cache)


HALVES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "self_attention": (self_attention_pair, "bert.encoder.layer.0.attention", ("attention",)),
    "feed_forward": (feed_forward_pair, "bert.encoder.layer.0", ("feed_forward",)),
    "encoder_layer": (encoder_layer_pair, "bert.encoder.layer.0", ("attention", "feed_forward")),
}


@LAYOUTS
@pytest.mark.parametrize(("name", "together"), [*((name, False) for name in HALVES), ("self_attention", True)])
def test_rows_in_rows_out(ops: OpSet, name: str, together: bool, packed: bool) -> None:
    """`together`: query, key and value are one product."""
    pair, prefix, parts = HALVES[name]
    bench = Bench(ops, packed)
    if together:
        bench.params = with_joined(ops, bench.params)
    x, dy = bench.drawn(), bench.drawn()
    y, backward = pair(bench, bench.rows(x))
    dx, grads = backward(bench.rows(dy))
    theirs = torch.tensor(x, requires_grad=True)
    out = theirs
    for part in parts:
        out = torch_half(bench, part, out)
    (out * torch.tensor(dy)).sum().backward()
    assert error(bench.real_rows(y), out.detach().numpy()[bench.real]) < 1e-12
    assert error(bench.real_rows(dx), theirs.grad.numpy()[bench.real]) < 1e-12
    bench.grads_agree(prefix, grads)


@LAYOUTS
def test_embeddings(ops: OpSet, packed: bool) -> None:
    bench = Bench(ops, packed)
    dy = bench.drawn()
    p = scope(bench.params, "bert.embeddings")
    y, cache = embeddings.forward(ops, p, bench.x, bench.settings, None)
    grads = embeddings.backward(ops, bench.rows(dy), cache)
    batch = bench.case.batch
    out = bench.network.embeddings(torch.tensor(batch.input_ids).long(), torch.tensor(batch.token_type_ids).long())
    (out * torch.tensor(dy)).sum().backward()
    assert error(bench.real_rows(y), out.detach().numpy()[bench.real]) < 1e-12
    bench.grads_agree("bert.embeddings", grads)


@LAYOUTS
def test_pooler_reads_the_first_token_only(ops: OpSet, packed: bool) -> None:
    bench = Bench(ops, packed)
    x = bench.drawn()
    dy = bench.random.normal(size=x[:, 0].shape)
    y, cache = pooler.forward(ops, scope(bench.params, "bert.pooler"), bench.rows(x), bench.x.layout, bench.settings)
    dx, grads = pooler.backward(ops, ops.xp.from_numpy(dy), cache)
    theirs = torch.tensor(x, requires_grad=True)
    out = torch.tanh(bench.network.dense(theirs[:, 0], "bert.pooler.dense"))
    (out * torch.tensor(dy)).sum().backward()
    assert error(np.asarray(ops.xp.to_numpy(y)), out.detach().numpy()) < 1e-12
    assert error(bench.real_rows(dx), theirs.grad.numpy()[bench.real]) < 1e-12
    first = np.zeros_like(bench.real)
    first[:, 0] = True
    assert not bench.real_rows(dx)[~first[bench.real]].any()
    bench.grads_agree("bert.pooler", grads)


def test_rectangle_and_rows_are_transposes(ops: OpSet) -> None:
    for packed in (False, True):
        bench = Bench(ops, packed)
        xp, layout = ops.xp, bench.x.layout
        a, b = bench.rows(bench.drawn()), bench.random.normal(size=(*bench.real.shape, 24))
        there = xp.to_numpy(self_attention.to_rectangle(ops, a, layout))
        back = xp.to_numpy(self_attention.to_rows(ops, xp.from_numpy(b), layout))
        assert abs((there * b).sum() - (np.asarray(xp.to_numpy(a)) * back).sum()) < 1e-11


def test_settings_say_what_is_wrong_and_what_follows() -> None:
    c = case()
    with pytest.raises(InputError, match=r"recompute: 'all' is not one of none, attention, layers"):
        Settings(c.config, c.numerics, "all")
    for level in RECOMPUTE:
        assert Settings(c.config, c.numerics, level).scale == 1 / math.sqrt(8)
    assert Settings(c.config, c.numerics).activation == "gelu_erf"
    assert Settings(c.config, c.numerics).eps == 1e-12


def test_recomputing_layers_keeps_no_activation(ops: OpSet) -> None:
    bench = Bench(ops, False)
    p = scope(bench.params, "bert.encoder.layer.0")
    kept = {}
    for level in RECOMPUTE:
        options = Settings(bench.case.config, bench.case.numerics, level)
        _, cache = encoder_layer.forward(ops, p, bench.rows(bench.drawn() * 0 + 1), bench.x.layout, options, None, 0)
        kept[level] = cache
    assert isinstance(kept["layers"], Recompute)
    assert isinstance(kept["attention"].attention.attention, Recompute)
    assert not isinstance(kept["none"].attention.attention, Recompute)
    assert materialised(kept["none"]) is kept["none"]
    assert isinstance(materialised(kept["layers"]), encoder_layer.EncoderLayerCache)


def test_biases_by_themselves_are_three_products(ops: OpSet) -> None:
    """Of which decay, for one, may part some."""
    bench = Bench(ops, packed=False)
    x = bench.rows(bench.drawn())
    p = scope(with_joined(ops, bench.params), "bert.encoder.layer.0.attention")
    both = projections.forward(ops, p, x)
    del p["self.query_key_value.bias"]
    alone = projections.forward(ops, p, x)
    assert [run.names for _, run in both] == [("query", "key", "value")]
    assert [run.names for _, run in alone] == [("query",), ("key",), ("value",)]


@LAYOUTS
@pytest.mark.parametrize("recompute", RECOMPUTE)
def test_query_key_and_value_are_shown_by_themselves(ops: OpSet, recompute: str, packed: bool) -> None:
    """Where they are one product, too: the same probes and gradients, in name and value."""
    c = case(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    params = {name: ops.xp.from_numpy(a) for name, a in c.params.items()}
    found = []
    for given in (params, with_joined(ops, params)):
        recorder = Recorder()
        settings = Settings(c.config, c.numerics, recompute)
        _, grads = losses_and_gradients(
            PretrainingObjective(), ops, given, c.batch, settings, packed=packed, recorder=recorder
        )
        found.append({name: np.asarray(ops.xp.to_numpy(a)) for name, a in (recorder.values | grads).items()})
    apart, together = found
    assert "grad:layer.1.key" in apart
    assert together.keys() == apart.keys()
    for name, value in apart.items():
        scale = apart.get(scale_of(name), value)
        assert error(together[name], value, scale) < 1e-11, name
