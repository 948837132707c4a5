"""bertref's steps one by one, from whatever inputs: `BackendSubject.answer_step`.

Every step is done by the op, or the kernel, that does it in the model, in the padded layout. What lies inside a
composition can be seen, and fed, only where no kernel replaces the whole. So with kernels on these are left out:
scores, probs, context and their gradients; ffn_pre and mlm.dense; the sums before norms; mlm.logits and its loss; and
the gradients of the parameters that belong to them. The activation and the norm of a fused op are done with a bias and
a residual of 0.

Always left out are gradients that are only handed on: of the losses, and of the terms of a sum; and of outputs whose
gradients are given (`given_gradient`) the sums and the gradients at them.

Here stand the kinds of steps and the encoder; the heads are `backend_head_steps`'.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...arrays import Array
from ...layers import Settings
from ...layers.positions import position_ids
from ...ops import attention, softmax
from ...opset import OpSet
from ...precision import Precision, cast
from ...topology import last_embedding, layer_input
from ..graph.axes import AxesOf
from ..own_model import asked
from ..records import Arrays, Case

Values = Mapping[str, Array]
Maker = Callable[[Values], Array]
TABLES = ("word", "position", "token_type")


class EncoderSteps:
    """The steps of a case's encoder under a policy. `kernels`: those of `ops` that take part, by the op's name."""

    def __init__(self, ops: OpSet, case: Case, policy: Precision, kernels: Mapping[str, Any]) -> None:
        self._ops, self._xp, self._case, self._kernels = ops, ops.xp, case, kernels
        self._dtype, self._compute, self._wide = policy.parameter, policy.compute, policy.master
        self._axes = AxesOf(case)
        self._s = Settings(case.config, case.numerics)
        weights = {name: self._xp.from_numpy(array.astype(self._wide)) for name, array in case.params.items()}
        self._p = cast(self._xp, weights, self._dtype)
        self._objective, batch = asked(case)
        prepared = self._objective.prepare(self._xp, batch, case.numerics, packed=False, dtype=self._wide)
        self._x, self._targets = prepared.inputs, prepared.targets
        self._makers: dict[str, Maker] = {}
        self._embeddings()
        for i in range(case.config.num_hidden_layers):
            self._attention(i)
            self._feed_forward(i)

    def __call__(self, name: str, inputs: Arrays) -> Arrays:
        """The answer `name`, or nothing if it is left out."""
        if name not in self._makers:
            return {}
        made = self._makers[name]({one: self._array(one, value) for one, value in inputs.items()})
        return {name: self._xp.to_numpy(made).reshape(self._axes(name).shape)}

    def _array(self, name: str, value: Any) -> Array:
        """Token rows (T, ...) as the model has them; losses are never narrower than float32."""
        rows = value.reshape(-1, value.shape[-1]) if value.ndim == 3 else value
        return self._xp.from_numpy(np.ascontiguousarray(rows), self._wide if "loss." in name else self._dtype)

    # -- kinds of steps ----------------------------------------------------------------------------------------------

    def _zeros(self, *shape: int) -> Array:
        return self._xp.zeros(shape, dtype=self._xp.dtype(self._dtype))

    def _sum(self, first: Array, *others: Array) -> Array:
        for other in others:
            first, _ = self._ops.add.forward(first, other)
        return first

    def _learnt(self, parameter: str, made: Maker) -> None:
        """A part of a parameter's gradient: of one that several layers use, the sum of what each makes."""
        name, before = f"grad:{parameter}", self._makers.get(f"grad:{parameter}")
        self._makers[name] = made if before is None else lambda v: self._sum(made(v), before(v))

    def _dense(
        self,
        x: str,
        y: str,
        weight: str,
        bias: str,
        *,
        read: Callable[[Array], Array] | None = None,
        fused: bool = False,
    ) -> Maker:
        """y = read(x) Wᵀ + b with the gradients of both parameters; returned is what makes the gradient of read(x).
        `fused`: the bias is added by the next op."""
        dense, w = self._ops.dense, self._p[weight]
        more = () if fused else (self._p[bias],)
        read = read or (lambda x: x)

        def back(v: Values, field: str) -> Array:
            dy = self._xp.reshape(v[f"grad:{y}"], (-1, w.shape[0]))  # choices stand side by side
            rows = read(v[x]) if x in v else self._zeros(dy.shape[0], w.shape[1])
            return getattr(dense.backward(dy, dense.forward(rows, w, *more)[1]), field)

        self._learnt(weight, lambda v: back(v, "weight"))
        if not fused:
            self._makers[y] = lambda v: dense.forward(read(v[x]), w, *more)[0]
            self._learnt(bias, lambda v: back(v, "bias"))
        return lambda v: back(v, "x")

    def _norm(self, x: str, y: str, prefix: str, *, residual: bool = False) -> None:
        """`residual`: it is done by the op that adds a residual, which is 0."""
        plain, added = self._ops.layer_norm, self._ops.dropout_add_norm
        gamma, beta = self._p[prefix + ".weight"], self._p[prefix + ".bias"]

        def run(rows: Array) -> Any:
            if residual:
                return added.forward(rows, self._xp.zeros_like(rows), None, gamma, beta, scale=1.0, eps=self._s.eps)
            return plain.forward(rows, gamma, beta, eps=self._s.eps)

        def back(v: Values, field: str) -> Array:
            dy = v[f"grad:{y}"]
            made = run(v[x] if x in v else self._xp.zeros_like(dy))[1]
            return getattr((added if residual else plain).backward(dy, made), field)

        self._makers[y] = lambda v: run(v[x])[0]
        self._makers[f"grad:{x}"] = lambda v: back(v, "x")
        self._learnt(f"{prefix}.weight", lambda v: back(v, "gamma"))
        self._learnt(f"{prefix}.bias", lambda v: back(v, "beta"))

    def _activation(self, x: str, y: str) -> None:
        op = self._ops.bias_activation

        def run(rows: Array) -> Any:
            return op.forward(rows, self._zeros(rows.shape[-1]), activation=self._s.activation)

        self._makers[y] = lambda v: run(v[x])[0]
        self._makers[f"grad:{x}"] = lambda v: op.backward(v[f"grad:{y}"], run(v[x])[1]).x

    # -- the model ---------------------------------------------------------------------------------------------------

    def _embeddings(self) -> None:
        positions = position_ids(self._xp, self._x, self._s)
        ids = {"word": self._x.input_ids, "position": positions, "token_type": self._x.token_type_ids}
        embedding = self._ops.embedding
        tables = [table for table in TABLES if f"bert.embeddings.{table}_embeddings.weight" in self._p]
        for table in tables:
            name = f"bert.embeddings.{table}_embeddings.weight"

            def run(name: str = name, at: Array = ids[table]) -> Any:
                return embedding.forward(self._p[name], at)

            self._makers[f"embeddings.{table}"] = lambda v, run=run: run()[0]  # type: ignore[misc]
            self._makers[f"grad:{name}"] = lambda v, run=run, dy=f"grad:embeddings.{table}": (  # type: ignore[misc]
                embedding.backward(v[dy], run()[1]).table
            )
        self._makers["embeddings.sum"] = lambda v: self._sum(
            *(v[f"embeddings.{table}"] for table in ("word", "token_type", "position") if table in tables)
        )
        self._norm("embeddings.sum", "embeddings.norm", "bert.embeddings.LayerNorm")
        if self._s.config.embedding_size is not None:
            x, y, name = "embeddings.norm", "embeddings.projection", "bert.embeddings.projection."
            self._makers[f"grad:{x}"] = self._dense(x, y, name + "weight", name + "bias")

    def _attention(self, i: int) -> None:
        stored = self._s.config.stored_layer(i)
        p, g, q = f"layer.{i}.", f"grad:layer.{i}.", f"bert.encoder.layer.{stored}.attention."
        x, out = layer_input(i, last_embedding(self._s.config)), q + "output.dense."
        back = {
            name: self._dense(x, p + name, f"{q}self.{name}.weight", f"{q}self.{name}.bias")
            for name in ("query", "key", "value")
        }
        if "attention" not in self._kernels:
            self._inside_attention(p, g)
        context = self._dense(p + "context", p + "attention_output", out + "weight", out + "bias")
        self._makers[g + "context"] = context
        if "dropout_add_norm" not in self._kernels:
            self._makers[p + "attention_sum"] = lambda v: self._sum(v[p + "attention_output"], v[x])
        self._norm(p + "attention_sum", p + "attention_norm", q + "output.LayerNorm", residual=True)
        self._makers[f"grad:{x}"] = lambda v: self._sum(v[g + "attention_sum"], *(made(v) for made in back.values()))

    def _inside_attention(self, p: str, g: str) -> None:
        xp, mask, numerics = self._xp, self._x.layout.mask, self._s.numerics
        heads, B, S = self._s.config.num_attention_heads, *self._case.batch.input_ids.shape

        def split(rows: Array) -> Array:
            return attention.split_heads(xp, xp.reshape(rows, (B, S, rows.shape[-1])), heads)

        def scores(v: Values) -> Array:
            seen: dict[str, Array] = {}
            query, key = (xp.reshape(v[p + name], (B, S, -1)) for name in ("query", "key"))
            self._ops.attention.forward(
                query, key, key, mask, None, heads=heads, scale=self._s.scale, mask_value=numerics.mask_value,
                scale_query=numerics.scale_scores == "query", probe=seen.__setitem__,
            )  # fmt: skip
            return seen["scores"]

        def probs(v: Values) -> Array:
            masked = attention.add_mask(xp, v[p + "scores"], mask, numerics.mask_value)
            return computed(self._ops.softmax.forward(masked)[0])

        def computed(a: Array) -> Array:
            return xp.astype(a, xp.dtype(self._compute), copy=False)

        def product(a: Array, b: Array) -> Array:
            return attention.merge_heads(xp, xp.matmul(computed(a), computed(b)))

        turned = xp.matrix_transpose
        self._makers |= {
            p + "scores": scores,
            p + "probs": probs,
            p + "context": lambda v: product(v[p + "probs"], split(v[p + "value"])),
            g + "value": lambda v: product(turned(v[p + "probs"]), split(v[g + "context"])),
            g + "probs": lambda v: xp.matmul(
                computed(split(v[g + "context"])), turned(computed(split(v[p + "value"])))
            ),
            g + "scores": lambda v: softmax.backward(xp, v[g + "probs"], softmax.SoftmaxCache(v[p + "probs"])).x,
            g + "query": lambda v: product(v[g + "scores"] * self._s.scale, split(v[p + "key"])),
            g + "key": lambda v: product(turned(v[g + "scores"] * self._s.scale), split(v[p + "query"])),
        }

    def _feed_forward(self, i: int) -> None:
        p, g, q = f"layer.{i}.", f"grad:layer.{i}.", f"bert.encoder.layer.{self._s.config.stored_layer(i)}."
        wide, out, x = q + "intermediate.dense.", q + "output.dense.", p + "attention_norm"
        fused = "bias_activation" in self._kernels
        back = self._dense(x, p + "ffn_pre", wide + "weight", wide + "bias", fused=fused)
        self._activation(p + "ffn_pre", p + "ffn_act")
        self._makers[g + "ffn_act"] = self._dense(p + "ffn_act", p + "ffn_output", out + "weight", out + "bias")
        if "dropout_add_norm" not in self._kernels:
            self._makers[p + "ffn_sum"] = lambda v: self._sum(v[p + "ffn_output"], v[x])
        self._norm(p + "ffn_sum", p + "output", q + "output.LayerNorm", residual=True)
        self._makers[f"grad:{x}"] = lambda v: self._sum(v[g + "ffn_sum"], back(v))
