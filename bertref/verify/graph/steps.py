"""The computation as single steps, each of which can be done with anybody's inputs.

A step makes one answer from other answers, the parameters and the batch, with the reference's ops in float64. Applied
to what a subject recorded itself, it tells what the subject should have got from its own inputs: the difference is the
error that *this* step added, whatever went wrong before it.

    forward    layer.3.probs        = softmax of the subject's own layer.3.scores
    backward   grad:layer.3.scores  = softmax's gradient at its own grad:layer.3.probs and layer.3.probs
    parameter  grad:...query.weight = its own grad:layer.3.query times its own layer.2.output
    update     update:NAME          = the optimiser's step from its own gradients

The steps stand in the order of the computation: forward, losses, backward from the loss down (a layer's parameters
right after the gradient that they need), updates. What a dump lacks is made from what it has (`Replay`).
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np

from ...backends import get
from ...config import BertConfig
from ...layers import Settings
from ...losses import denominators
from ...ops import OPS, attention, layer_norm
from ...ops.bias_activation import ACTIVATIONS
from ..judgement.reference import Updates
from ..records import Case
from .axes import AxesOf

Values = Any
LAYER = "bert.encoder.layer."
WORD = "bert.embeddings.word_embeddings.weight"
TABLES = ("word", "position", "token_type")


@dataclass(frozen=True)
class Step:
    """`compute(*inputs)` makes the answer `name` from the answers `inputs`. `along` is the input that an elementwise
    step follows element by element, "" for other steps. `terms` makes the sum of the squared terms that each element
    is the sum of, from the squares of the inputs and of the parameters; None where an element isn't a sum."""

    name: str
    inputs: tuple[str, ...]
    compute: Callable[..., Values]
    along: str = ""
    terms: Callable[..., Values] | None = None


def _sum(name: str, inputs: tuple[str, ...], compute: Callable[..., Values]) -> Step:
    """A step of sums of products: the same sums of squares are their squared terms."""
    return Step(name, inputs, compute, "", compute)


class Graph:
    """The steps of a case by name, in order. `params` are the weights that the model computes with where they aren't
    the case's own: rounded ones. The optimiser updates the case's own all the same."""

    def __init__(self, case: Case, params: Mapping[str, Values] | None = None) -> None:
        self.case = case
        self.axes = AxesOf(case)
        self.steps: dict[str, Step] = {}
        self._p = case.params if params is None else params
        self._s = Settings(case.config, case.numerics)
        self._xp = get("numpy").xp
        self._mask = case.batch.attention_mask.astype(bool)
        B, S = self._mask.shape
        rows = np.arange(B)[:, None] * S + case.batch.masked_lm_positions
        self._predicted = rows.reshape(-1).astype(np.int64)
        self._first = np.arange(B) * S
        self._denominators = denominators(case.batch, case.numerics)
        for step in (*self._forward(), *self._losses(), *self._heads_back(), *self._layers_back(), *self._tables()):
            self.steps[step.name] = step
        for step in self._updates():
            self.steps[step.name] = step

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps.values())

    # -- ops on NumPy ------------------------------------------------------------------------------------------------

    def _dense(self, weight: str, bias: str) -> Callable[[Values], Values]:
        return lambda x: times(x, self._p[weight].T) + self._p[bias]

    def _norm(self, prefix: str) -> Callable[[Values], Values]:
        gamma, beta = self._p[prefix + ".weight"], self._p[prefix + ".bias"]
        return lambda x: layer_norm.forward(self._xp, x, gamma, beta, eps=self._s.eps)[0]

    def _norm_back(self, prefix: str, field: str) -> Callable[[Values, Values], Values]:
        """(gradient of the norm's output, the norm's input) -> one of its gradients."""
        gamma, beta = self._p[prefix + ".weight"], self._p[prefix + ".bias"]

        def back(dy: Values, x: Values) -> Values:
            _, cache = layer_norm.forward(self._xp, x, gamma, beta, eps=self._s.eps)
            return getattr(layer_norm.backward(self._xp, dy, cache), field)

        return back

    def _act(self, x: Values) -> Values:
        return ACTIVATIONS[self._s.activation].forward(self._xp, x)[0]

    def _act_back(self, dy: Values, x: Values) -> Values:
        op = ACTIVATIONS[self._s.activation]
        return op.backward(self._xp, dy, op.forward(self._xp, x)[1]).x

    def _cross_entropy(self, logits: Values, which: str) -> tuple[Values, Any]:
        batch, xp = self.case.batch, self._xp
        if which == "nsp":
            labels, weights = batch.next_sentence_label, None
        else:
            labels, weights = batch.masked_lm_ids.reshape(-1), batch.masked_lm_weights.reshape(-1)
        rows = logits.reshape(-1, logits.shape[-1])
        total = np.asarray(getattr(self._denominators, which))
        loss, cache = OPS["cross_entropy"].forward(xp, rows, labels.astype(np.int64), weights, total)
        return loss, cache

    # -- forward -----------------------------------------------------------------------------------------------------

    def _forward(self) -> Iterator[Step]:
        batch = self.case.batch
        columns = np.broadcast_to(np.arange(self._mask.shape[1]), self._mask.shape)
        ids = {"word": batch.input_ids, "position": columns, "token_type": batch.token_type_ids}
        for table in TABLES:
            name = f"bert.embeddings.{table}_embeddings.weight"
            yield Step(f"embeddings.{table}", (), lambda name=name, at=ids[table]: np.take(self._p[name], at, axis=0))
        yield Step("embeddings.sum", tuple(f"embeddings.{t}" for t in TABLES), lambda w, p, t: w + t + p)
        yield Step("embeddings.norm", ("embeddings.sum",), self._norm("bert.embeddings.LayerNorm"))
        for i in range(self.case.config.num_hidden_layers):
            yield from self._layer(i)
        last = last_output(self.case.config)
        pooler, transform = "bert.pooler.dense.", "cls.predictions.transform."
        first = self._dense(pooler + "weight", pooler + "bias")
        yield _sum("pooled_pre", (last,), lambda x: first(x[:, 0]))
        yield Step("pooled", ("pooled_pre",), np.tanh, "pooled_pre")
        dense = self._dense(transform + "dense.weight", transform + "dense.bias")
        shape = (*batch.masked_lm_positions.shape, -1)
        yield _sum("mlm.dense", (last,), lambda x: dense(_rows(x)[self._predicted]).reshape(shape))
        yield Step("mlm.act", ("mlm.dense",), self._act, "mlm.dense")
        yield Step("mlm.transform", ("mlm.act",), self._norm(transform + "LayerNorm"))
        yield _sum("mlm.logits", ("mlm.transform",), self._dense(WORD, "cls.predictions.bias"))
        nsp = "cls.seq_relationship."
        yield _sum("nsp.logits", ("pooled",), self._dense(nsp + "weight", nsp + "bias"))

    def _layer(self, i: int) -> Iterator[Step]:
        p, q = f"layer.{i}.", f"{LAYER}{i}."
        x = layer_input(i)
        for name in ("query", "key", "value"):
            parameter = f"{q}attention.self.{name}."
            yield _sum(p + name, (x,), self._dense(parameter + "weight", parameter + "bias"))
        yield _sum(p + "scores", (p + "query", p + "key"), self._scores)
        yield Step(p + "probs", (p + "scores",), self._probs)
        yield _sum(p + "context", (p + "probs", p + "value"), self._context)
        out = q + "attention.output."
        yield _sum(p + "attention_output", (p + "context",), self._dense(out + "dense.weight", out + "dense.bias"))
        yield Step(p + "attention_sum", (p + "attention_output", x), np.add)
        yield Step(p + "attention_norm", (p + "attention_sum",), self._norm(out + "LayerNorm"))
        wide = q + "intermediate.dense."
        yield _sum(p + "ffn_pre", (p + "attention_norm",), self._dense(wide + "weight", wide + "bias"))
        yield Step(p + "ffn_act", (p + "ffn_pre",), self._act, p + "ffn_pre")
        out = q + "output."
        yield _sum(p + "ffn_output", (p + "ffn_act",), self._dense(out + "dense.weight", out + "dense.bias"))
        yield Step(p + "ffn_sum", (p + "ffn_output", p + "attention_norm"), np.add)
        yield Step(p + "output", (p + "ffn_sum",), self._norm(out + "LayerNorm"))

    def _heads(self, x: Values) -> Values:
        return attention.split_heads(self._xp, x, self.case.config.num_attention_heads)

    def _merged(self, x: Values) -> Values:
        return attention.merge_heads(self._xp, x)

    def _scores(self, query: Values, key: Values) -> Values:
        return self._heads(query) @ self._heads(key).swapaxes(-1, -2) * self._s.scale

    def _probs(self, scores: Values) -> Values:
        masked = attention.add_mask(self._xp, scores, self._mask, self.case.numerics.mask_value)
        return OPS["softmax"].forward(self._xp, masked)[0]

    def _context(self, probs: Values, value: Values) -> Values:
        return self._merged(probs @ self._heads(value))

    def _losses(self) -> Iterator[Step]:
        yield Step("loss.mlm", ("mlm.logits",), lambda x: self._cross_entropy(x, "mlm")[0])
        yield Step("loss.nsp", ("nsp.logits",), lambda x: self._cross_entropy(x, "nsp")[0])
        yield Step("loss.total", ("loss.mlm", "loss.nsp"), np.add)

    # -- backward ----------------------------------------------------------------------------------------------------

    def _weight_grads(self, parameter: str, dy: str, x: str, rows: Callable[[Values], Values]) -> Iterator[Step]:
        """Gradients of a dense layer's weight and bias."""
        yield _sum(f"grad:{parameter}weight", (dy, x), lambda dy, x: _rows(dy).T @ rows(x))
        yield _sum(f"grad:{parameter}bias", (dy,), lambda dy: _rows(dy).sum(axis=0))

    def _norm_grads(self, parameter: str, dy: str, x: str) -> Iterator[Step]:
        yield Step(f"grad:{parameter}.weight", (dy, x), self._norm_back(parameter, "gamma"))
        yield Step(f"grad:{parameter}.bias", (dy,), lambda dy: _rows(dy).sum(axis=0))

    def _heads_back(self) -> Iterator[Step]:
        last = last_output(self.case.config)
        transform, pooler, nsp = "cls.predictions.transform.", "bert.pooler.dense.", "cls.seq_relationship."
        yield Step("grad:loss.total", (), lambda: np.ones(()))
        for which in ("mlm", "nsp"):
            yield Step(f"grad:loss.{which}", ("grad:loss.total",), lambda d: d)
        for which in ("mlm", "nsp"):
            yield Step(
                f"grad:{which}.logits", (f"grad:loss.{which}", f"{which}.logits"),
                lambda d, x, which=which: OPS["cross_entropy"]
                .backward(self._xp, d, self._cross_entropy(x, which)[1]).logits.reshape(x.shape),
            )  # fmt: skip
            if which == "mlm":
                yield Step("grad:cls.predictions.bias", ("grad:mlm.logits",), lambda d: _rows(d).sum(axis=0))
                yield _sum("grad:mlm.transform", ("grad:mlm.logits",), lambda d: times(d, self._p[WORD]))
                yield from self._norm_grads(transform + "LayerNorm", "grad:mlm.transform", "mlm.act")
                back = self._norm_back(transform + "LayerNorm", "x")
                yield Step("grad:mlm.act", ("grad:mlm.transform", "mlm.act"), back)
                yield Step("grad:mlm.dense", ("grad:mlm.act", "mlm.dense"), self._act_back, "mlm.dense", _whole)
                yield from self._weight_grads(
                    transform + "dense.", "grad:mlm.dense", last, lambda x: _rows(x)[self._predicted]
                )
        yield from self._weight_grads(nsp, "grad:nsp.logits", "pooled", lambda x: x)
        yield _sum("grad:pooled", ("grad:nsp.logits",), lambda d: d @ self._p[nsp + "weight"])
        yield Step("grad:pooled_pre", ("grad:pooled", "pooled"), lambda d, y: d * (1 - y * y), "pooled")
        yield from self._weight_grads(pooler, "grad:pooled_pre", last, lambda x: x[:, 0])
        yield _sum(f"grad:{last}", ("grad:mlm.dense", "grad:pooled_pre"), self._sequence_back)

    def _sequence_back(self, mlm: Values, pooled: Values) -> Values:
        """The sequence output is read at the predicted positions and at the first ones; both add up there."""
        B, S = self._mask.shape
        rows = np.zeros((B * S, self.case.config.hidden_size))
        np.add.at(rows, self._predicted, _rows(mlm) @ self._p["cls.predictions.transform.dense.weight"])
        rows[self._first] += pooled @ self._p["bert.pooler.dense.weight"]
        return rows.reshape(B, S, -1)

    def _layers_back(self) -> Iterator[Step]:
        for i in reversed(range(self.case.config.num_hidden_layers)):
            yield from self._feed_forward_back(i)
            yield from self._attention_back(i)

    def _feed_forward_back(self, i: int) -> Iterator[Step]:
        p, g, q = f"layer.{i}.", f"grad:layer.{i}.", f"{LAYER}{i}."
        norm, out, wide = q + "output.LayerNorm", q + "output.dense.", q + "intermediate.dense."
        yield from self._norm_grads(norm, g + "output", p + "ffn_sum")
        yield Step(g + "ffn_sum", (g + "output", p + "ffn_sum"), self._norm_back(norm, "x"))
        yield Step(g + "ffn_output", (g + "ffn_sum",), lambda d: d)
        yield from self._weight_grads(out, g + "ffn_output", p + "ffn_act", _rows)
        yield _sum(g + "ffn_act", (g + "ffn_output",), lambda d: times(d, self._p[out + "weight"]))
        yield Step(g + "ffn_pre", (g + "ffn_act", p + "ffn_pre"), self._act_back, p + "ffn_pre", _whole)
        yield from self._weight_grads(wide, g + "ffn_pre", p + "attention_norm", _rows)
        back = lambda s, d: s + times(d, self._p[wide + "weight"])  # noqa: E731
        yield _sum(g + "attention_norm", (g + "ffn_sum", g + "ffn_pre"), back)

    def _attention_back(self, i: int) -> Iterator[Step]:
        p, g, q = f"layer.{i}.", f"grad:layer.{i}.", f"{LAYER}{i}."
        x, norm, out = layer_input(i), q + "attention.output.LayerNorm", q + "attention.output.dense."
        yield from self._norm_grads(norm, g + "attention_norm", p + "attention_sum")
        yield Step(g + "attention_sum", (g + "attention_norm", p + "attention_sum"), self._norm_back(norm, "x"))
        yield Step(g + "attention_output", (g + "attention_sum",), lambda d: d)
        yield from self._weight_grads(out, g + "attention_output", p + "context", _rows)
        yield _sum(g + "context", (g + "attention_output",), lambda d: times(d, self._p[out + "weight"]))
        yield _sum(
            g + "value", (g + "context", p + "probs"),
            lambda d, probs: self._merged(probs.swapaxes(-1, -2) @ self._heads(d)),
        )  # fmt: skip
        yield _sum(
            g + "probs", (g + "context", p + "value"),
            lambda d, v: self._heads(d) @ self._heads(v).swapaxes(-1, -2),
        )  # fmt: skip
        yield Step(
            g + "scores", (g + "probs", p + "probs"),
            lambda d, y: y * (d - np.sum(d * y, axis=-1, keepdims=True)), "",
            lambda d, y: y * (d + np.sum(d * y, axis=-1, keepdims=True)),
        )  # fmt: skip
        scale = self._s.scale
        yield _sum(g + "query", (g + "scores", p + "key"), lambda d, k: self._merged(d @ self._heads(k)) * scale)
        yield _sum(
            g + "key", (g + "scores", p + "query"),
            lambda d, query: self._merged(d.swapaxes(-1, -2) @ self._heads(query)) * scale,
        )  # fmt: skip
        names = ("query", "key", "value")
        for name in names:
            yield from self._weight_grads(f"{q}attention.self.{name}.", g + name, x, _rows)
        weights = [f"{q}attention.self.{name}.weight" for name in names]
        yield _sum(
            f"grad:{x}", (g + "attention_sum", *(g + name for name in names)),
            lambda s, *d: s + sum(times(a, self._p[w]) for a, w in zip(d, weights, strict=True)),
        )  # fmt: skip

    def _tables(self) -> Iterator[Step]:
        batch = self.case.batch
        norm = "bert.embeddings.LayerNorm"
        yield from self._norm_grads(norm, "grad:embeddings.norm", "embeddings.sum")
        back = self._norm_back(norm, "x")
        yield Step("grad:embeddings.sum", ("grad:embeddings.norm", "embeddings.sum"), back)
        for table in TABLES:
            yield Step(f"grad:embeddings.{table}", ("grad:embeddings.sum",), lambda d: d)
        columns = np.broadcast_to(np.arange(self._mask.shape[1]), self._mask.shape)
        ids = {"word": batch.input_ids, "position": columns, "token_type": batch.token_type_ids}
        for table in TABLES:
            parameter = f"bert.embeddings.{table}_embeddings.weight"
            inputs: tuple[str, ...] = (f"grad:embeddings.{table}",)
            # the word table is the decoder's, too
            inputs += ("grad:mlm.logits", "mlm.transform") if table == "word" else ()
            yield Step(
                f"grad:{parameter}", inputs,
                lambda d, *tied, name=parameter, at=ids[table]: _spread(self._p[name].shape, at, d)
                + (_rows(tied[0]).T @ _rows(tied[1]) if tied else 0.0),
            )  # fmt: skip

    # -- the optimiser -----------------------------------------------------------------------------------------------

    def _updates(self) -> Iterator[Step]:
        """Clipping mixes all gradients, so every update needs all of them; `Replay` does them together."""
        if self.case.optimizer is None:
            return
        names = list(self.case.params)
        for name in names:
            yield Step(f"update:{name}", tuple(f"grad:{other}" for other in names), _together)

    def updates(self, grads: Mapping[str, Values]) -> Updates:
        """What makes the update of a parameter's name, from the gradients by parameters' names."""
        assert self.case.optimizer is not None
        return Updates(self._xp, self.case.optimizer, self.case.params, grads)


def _together(*_: Values) -> Values:
    raise AssertionError("updates are computed together: Graph.updates")


def layer_input(i: int) -> str:
    """The name of what layer i reads."""
    return f"layer.{i - 1}.output" if i else "embeddings.norm"


def last_output(config: BertConfig) -> str:
    """The name of the sequence output."""
    return layer_input(config.num_hidden_layers)


def _whole(d: Values, _: Values) -> Values:
    """Squared terms of an activation's gradient: its slope is a sum of terms of about 1, as small as it may be."""
    return d


def times(x: Values, matrix: Values) -> Values:
    """x @ matrix as one product of two matrices: a stack of products would go through the matrix once for each."""
    return (_rows(x) @ matrix).reshape(*x.shape[:-1], matrix.shape[-1])


def _rows(x: Values) -> Values:
    return x.reshape(-1, x.shape[-1])


def _spread(shape: tuple[int, ...], at: Values, d: Values) -> Values:
    table = np.zeros(shape)
    np.add.at(table, np.asarray(at).reshape(-1), _rows(d))
    return table


KEPT = 32
"""So many of somebody's recorded values are kept in float64: a layer's."""


class Replay:
    """What each step makes of somebody's recorded values, in float64.

    An input that was not recorded is made by its own step, and so on down to the parameters: then the result's
    difference from the recorded answer is the error of all steps since the nearest recorded ones (`sources`).
    """

    def __init__(self, graph: Graph, recorded: Mapping[str, Values]) -> None:
        self._graph, self._recorded = graph, recorded
        self._made: dict[str, Values] = {}
        self._updates: Updates | None = None
        self._kept: OrderedDict[str, Values] = OrderedDict()
        self._one = RLock()  # several threads may ask

    def __call__(self, name: str) -> Values:
        """The answer `name` made from recorded inputs, never the recorded answer itself."""
        if name in self._made:
            return self._made[name]
        step = self._graph.steps[name]
        with np.errstate(all="ignore"):
            if name.startswith("update:"):
                made = self._update(name.removeprefix("update:"))
            else:
                values = [self.input(other) for other in step.inputs]
                made = self._graph.axes(name).clean(np.asarray(step.compute(*values)))
        if name not in self._recorded:  # only those are anybody's inputs
            self._made[name] = made
        return made

    def input(self, name: str) -> Values:
        """The recorded answer, 0 where nothing is asked; made if there is none."""
        if name not in self._recorded:
            return self(name)
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        axes = self._graph.axes(name)
        value = axes.clean(np.asarray(self._recorded[name], np.float64))
        if axes.counts is not None:  # what other steps start from; gradients of parameters are looked at once
            self._kept[name] = value
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return value

    def _update(self, name: str) -> Values:
        with self._one:
            if self._updates is None:
                self._updates = self._graph.updates(_Gradients(self._graph.case.params, self.input))
        return np.asarray(self._updates(name))


class _Gradients(Mapping[str, Values]):
    """The gradients of all parameters, by the parameters' names, made when they are looked at."""

    def __init__(self, names: Collection[str], look: Callable[[str], Values]) -> None:
        self._names, self._look = names, look

    def __getitem__(self, name: str) -> Values:
        return self._look(f"grad:{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def sources(graph: Graph, name: str, recorded: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The nearest recorded answers that `name` is made from, and whether these are all its direct inputs."""
    found: dict[str, None] = {}
    direct = all(other in recorded for other in graph.steps[name].inputs)
    open_, seen = list(graph.steps[name].inputs), set()
    while open_:
        other = open_.pop()
        if other in seen:
            continue
        seen.add(other)
        if other in recorded:
            found[other] = None
        else:
            open_.extend(graph.steps[other].inputs)
    order = list(graph.steps)
    return tuple(sorted(found, key=order.index)), direct
