"""Outputs without a loss of their own: backward starts from given gradients of theirs.

    loss.total = Σ u ∘ y  over the outputs y        so that the gradient of y is u, what is given for it

The outputs are the sequence, the sequence and the pooled one, or sentence embeddings: the mean of a row's tokens,
divided by its length:

    mean = Σ_s m_s x_s / Σ_s m_s        embedding = mean / |mean|
    d(mean) = (d - embedding (embedding · d)) / |mean|        d(x_s) = m_s d(mean) / Σ m

An `Objective` of the reference's model, in the padded layout; the sums are taken in at least float32.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from .. import model
from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..layers import Settings
from ..layout import Layout, inputs
from ..objectives import TOTAL, Denominators, Outcome, Prepared
from ..ops._wide import wide
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe
from .records import Case


class Lengths(NamedTuple):
    """Of sentence embeddings, what their backward needs: (B, H), (B, 1), and the shares of tokens (B, S, 1)."""

    embedding: Array
    length: Array
    shares: Array


@dataclass(frozen=True)
class GivenGradient:
    """Σ u ∘ y for a case whose targets are the gradients u."""

    case: Case

    heads: ClassVar[tuple[str, ...]] = ()

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """None."""
        return {}

    def denominators(self, batch: Any, numerics: Numerics) -> Denominators:
        """There is nothing to divide by."""
        return {}

    def prepare(
        self, xp: Namespace, batch: Any, numerics: Numerics, *, packed: bool, dtype: str,
        divide_by: Denominators | None = None,
    ) -> Prepared:  # fmt: skip
        """The batch, in the padded layout; targets are the given gradients by name."""
        x = inputs(xp, batch.input_ids, batch.attention_mask, batch.token_type_ids, packed=False)
        given = {name: xp.from_numpy(array.astype(dtype)) for name, array in self.case.targets.items()}
        return Prepared(x, (x.layout, given))

    def forward(
        self, ops: OpSet, params: dict[str, Array], prepared: Prepared, settings: Settings, *,
        dropout: Dropout | None = None, probe: Probe | None = None, figures: bool = False,
    ) -> tuple[Outcome, Any]:  # fmt: skip
        """As `Objective.forward`."""
        xp, (layout, given) = ops.xp, prepared.targets
        encoded, encoder = model.forward(ops, params, prepared.inputs, settings, dropout=dropout, probe=probe)
        lengths, outputs = None, {"upstream.sequence": _rectangle(xp, encoded.sequence, layout)}
        if "upstream.pooled" in given:
            assert encoded.pooled is not None
            outputs["upstream.pooled"] = encoded.pooled
        if "upstream.sentence" in given:
            lengths = embedded(xp, outputs.pop("upstream.sequence"), layout, probe)
            outputs = {"upstream.sentence": lengths.embedding}
        parts = [xp.sum(wide(xp, output) * given[name]) for name, output in outputs.items()]
        total = parts[0] if len(parts) == 1 else ops.add.forward(*parts)[0]
        if probe:
            probe.array(f"loss.{TOTAL}", total)
        return Outcome({TOTAL: total}, {}), (encoder, lengths, prepared.targets, encoded.sequence.dtype)

    def backward(self, ops: OpSet, d_total: Array, cache: Any, probe: Probe | None = None) -> dict[str, Array]:
        """As `Objective.backward`."""
        xp, (encoder, lengths, (layout, given), held) = ops.xp, cache
        if probe:
            probe.array(f"loss.{TOTAL}", d_total)
        # total = Σ u ∘ y
        d = {name: xp.astype(d_total * u, held, copy=False) for name, u in given.items()}
        d_sequence = d.get("upstream.sequence")
        if lengths is not None:
            d_sequence = embedded_backward(xp, d["upstream.sentence"], lengths, probe)
        assert d_sequence is not None
        rows = xp.reshape(d_sequence, (layout.batch * layout.length, d_sequence.shape[-1]))
        return model.backward(ops, rows, d.get("upstream.pooled"), encoder, probe)


def embedded(xp: Namespace, x: Array, layout: Layout, probe: Probe | None) -> Lengths:
    """x (B, S, H) -> the embeddings (B, H), with what backward needs of them."""
    mask = xp.astype(xp.expand_dims(layout.mask, axis=2), wide(xp, x).dtype)
    count = xp.sum(mask, axis=1, keepdims=True)
    shares = mask / xp.maximum(count, xp.ones_like(count))
    mean = xp.astype(xp.sum(wide(xp, x) * shares, axis=1), x.dtype, copy=False)
    length = xp.sqrt(xp.sum(xp.square(wide(xp, mean)), axis=-1, keepdims=True))
    length = xp.maximum(length, xp.full_like(length, 1e-12))
    embedding = xp.astype(wide(xp, mean) / length, x.dtype, copy=False)
    if probe:
        probe.array("sentence.mean", mean)
        probe.array("sentence.embedding", embedding)
    return Lengths(embedding, length, shares)


def embedded_backward(xp: Namespace, dy: Array, cache: Lengths, probe: Probe | None) -> Array:
    """dy (B, H) -> gradient of the sequence (B, S, H)."""
    # embedding = mean / |mean|
    y, d = wide(xp, cache.embedding), wide(xp, dy)
    dmean = xp.astype((d - y * xp.sum(y * d, axis=-1, keepdims=True)) / cache.length, dy.dtype, copy=False)
    if probe:
        probe.array("sentence.embedding", dy)
        probe.array("sentence.mean", dmean)
    # mean = Σ shares x
    return xp.astype(cache.shares * xp.expand_dims(wide(xp, dmean), axis=1), dy.dtype, copy=False)


def _rectangle(xp: Namespace, rows: Array, layout: Layout) -> Array:
    return xp.reshape(rows, (layout.batch, layout.length, rows.shape[-1]))
