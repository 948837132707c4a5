"""The objective of pre-training: masked words, with next sentences or alone.

    loss.mlm   = Σ weights · cross-entropy at the masked positions / (Σ weights + ε)
    loss.nsp   = mean over the sequences of the cross-entropy of the next-sentence label
    loss.total = loss.mlm + loss.nsp

Both denominators belong to the whole batch of a step (`base`). A batch without any prediction has the MLM loss 0 (its
numerator) rather than 0/0. Masked words alone have no pooler, no `loss.nsp`, and `loss.total` is `loss.mlm`.

The figures are those of the original's evaluation, as sums over the predictions (weighted) and over the sequences:
masked_lm_accuracy, masked_lm_loss, next_sentence_accuracy, next_sentence_loss. Their losses know no ε.

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py` (ε = 1e-5 there, 0 in Hugging Face) and its `metric_fn`.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .. import heads, model
from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..layers import Settings
from ..layout import Layout, inputs
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe
from ..row import CROSS_ENTROPY, TensorRow
from .base import TOTAL, Denominators, Figure, HostBatch, Outcome, Prepared
from .head_objective import at_the_head


class PretrainingHostBatch(HostBatch, Protocol):
    """The host arrays of a batch, as `bertref.data.pretraining.batch.PretrainingBatch` describes them."""

    @property
    def masked_lm_positions(self) -> npt.NDArray[Any]: ...
    @property
    def masked_lm_ids(self) -> npt.NDArray[Any]: ...
    @property
    def masked_lm_weights(self) -> npt.NDArray[Any]: ...
    @property
    def next_sentence_label(self) -> npt.NDArray[Any]: ...


@dataclass(frozen=True)
class Targets:
    """What the two heads are to predict, on the device. N is B*P padded, or the real predictions only when packed."""

    positions: Array  # (N) rows of the sequence output
    ids: Array  # (N)
    weights: Array  # (N)
    next_sentence: Array  # (B)
    mlm_denominator: Array  # ()
    nsp_denominator: Array  # ()
    slots: Array  # (N) place of each prediction in the rectangle (B*P)
    rectangle: tuple[int, int]  # (B, P)


def targets(xp: Namespace, batch: PretrainingHostBatch, layout: Layout, divide_by: Denominators, dtype: str) -> Targets:
    """The batch's predictions; the packed layout leaves out the unused slots (weight 0)."""
    B, P = batch.masked_lm_positions.shape
    S = batch.input_ids.shape[1]
    rows = (np.arange(B)[:, None] * S + batch.masked_lm_positions).reshape(-1).astype(np.int64)
    weights = batch.masked_lm_weights.reshape(-1)
    slots = np.flatnonzero(weights) if layout.packed else np.arange(B * P)
    if layout.packed:
        real = np.asarray(batch.attention_mask).reshape(-1) != 0
        rows = (np.cumsum(real) - 1)[rows]

    def send(a: npt.NDArray[Any], kind: str) -> Array:
        return xp.from_numpy(a.astype(kind, order="C"))

    return Targets(
        positions=send(rows[slots], "int64"),
        ids=send(batch.masked_lm_ids.reshape(-1)[slots], "int64"),
        weights=send(weights[slots], dtype),
        next_sentence=send(batch.next_sentence_label, "int64"),
        mlm_denominator=send(np.asarray(divide_by["mlm"]), dtype),
        nsp_denominator=send(np.asarray(divide_by["nsp"]), dtype),
        slots=send(slots, "int64"),
        rectangle=(B, P),
    )


@dataclass
class PretrainingCache:
    """The caches of the encoder, of the transform, the decoder with its loss, and of the NSP head with its loss (None
    without next sentences).

    `decoder_name` is the parameter that the decoder compared with, to which its gradient belongs; `targets` say where
    probes of predictions stand. Backward uses the cache up: what is large is let go as soon as it has served.
    """

    model: model.ModelCache
    transform: heads.TransformCache
    decoder: Any
    decoder_name: str
    next_sentence: Any
    next_sentence_loss: Any
    targets: Targets


@dataclass(frozen=True)
class PretrainingObjective:
    """Masked words and next sentences, or, unless `next_sentence`, masked words alone."""

    next_sentence: bool = True

    @property
    def heads(self) -> tuple[str, ...]:
        return ("masked_lm", "next_sentence") if self.next_sentence else ("masked_lm",)

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """None."""
        return {}

    def denominators(self, batch: PretrainingHostBatch, numerics: Numerics) -> Denominators:
        """Of "mlm" and "nsp"."""
        mlm = float(np.sum(batch.masked_lm_weights, dtype=np.float64)) + numerics.mlm_denominator_epsilon
        return {"mlm": mlm or 1.0, "nsp": float(len(batch.next_sentence_label)) or 1.0}

    def prepare(
        self,
        xp: Namespace,
        batch: PretrainingHostBatch,
        numerics: Numerics,
        *,
        packed: bool,
        dtype: str,
        divide_by: Denominators | None = None,
    ) -> Prepared:
        """As `Objective.prepare`; the targets are `Targets`."""
        x = inputs(xp, batch.input_ids, batch.attention_mask, batch.token_type_ids, packed=packed)
        return Prepared(x, targets(xp, batch, x.layout, divide_by or self.denominators(batch, numerics), dtype))

    def forward(
        self,
        ops: OpSet,
        params: dict[str, Array],
        prepared: Prepared,
        settings: Settings,
        *,
        dropout: Dropout | None = None,
        probe: Probe | None = None,
        figures: bool = False,
    ) -> tuple[Outcome, PretrainingCache]:
        """As `Objective.forward`."""
        wanted: Targets = prepared.targets
        encoded, encoder = model.forward(ops, params, prepared.inputs, settings, dropout=dropout, probe=probe)
        at_predictions = _at_predictions(ops.xp, probe, wanted)
        transformed, transform = heads.transform_forward(
            ops, params, encoded.sequence, wanted.positions, settings, at_predictions
        )
        decoder_name, made = heads.decoder_name(params), dict[str, Array]()
        mlm, decoder = ops.decoder_cross_entropy.forward(
            transformed, params[decoder_name], params[heads.DECODER_BIAS],
            wanted.ids, wanted.weights, wanted.mlm_denominator,
            probe=_logits(at_predictions), figure=made.__setitem__ if figures else None,
        )  # fmt: skip
        losses = {"mlm": mlm, TOTAL: mlm}
        shown = word_figures(ops.xp, mlm, made["predicted"], wanted) if figures else {}
        next_sentence = next_sentence_loss = None
        if self.next_sentence:
            dropping = at_the_head(dropout, settings.config, "next_sentence")
            logits, next_sentence = heads.next_sentence_forward(ops, params, encoded.pooled, probe, dropout=dropping)
            nsp, next_sentence_loss = ops.cross_entropy.forward(
                logits, wanted.next_sentence, None, wanted.nsp_denominator
            )
            losses = {"mlm": mlm, "nsp": nsp, TOTAL: ops.add.forward(mlm, nsp)[0]}
            shown |= _sentence_figures(ops.xp, nsp, logits, wanted) if figures else {}
        if probe:
            for name, loss in losses.items():
                probe.array(f"loss.{name}", loss)
        return Outcome(losses, shown), PretrainingCache(
            encoder, transform, decoder, decoder_name, next_sentence, next_sentence_loss, wanted
        )

    def backward(
        self, ops: OpSet, d_total: Array, cache: PretrainingCache, probe: Probe | None = None
    ) -> dict[str, Array]:
        """As `Objective.backward`."""
        # total = mlm + nsp
        run, cache.decoder = cache.decoder, None
        if run is None:
            raise ValueError("the cache has served a backward already; run forward again")
        at_predictions = _at_predictions(ops.xp, probe, cache.targets)
        decoder = ops.decoder_cross_entropy.backward(d_total, run, probe=_logits(at_predictions))
        del run
        d_sequence, grads = heads.transform_backward(ops, decoder.x, cache.transform, at_predictions)
        d_pooled = None
        if self.next_sentence:
            dlogits = ops.cross_entropy.backward(d_total, cache.next_sentence_loss).logits
            d_pooled, nsp_grads = heads.next_sentence_backward(ops, dlogits, cache.next_sentence, probe)
            grads |= nsp_grads
        grads[heads.DECODER_BIAS] = decoder.bias
        if probe:
            for name in ("mlm", "nsp", TOTAL) if self.next_sentence else ("mlm", TOTAL):
                probe.array(f"loss.{name}", d_total)
        encoder_grads = model.backward(ops, d_sequence, d_pooled, cache.model, probe)
        table = decoder.table
        if cache.decoder_name in encoder_grads:
            # tied: the word embeddings are used twice, looked up at the input, and compared with at the output
            table, _ = ops.add.forward(encoder_grads.pop(cache.decoder_name), table)
        return {cache.decoder_name: table, **encoder_grads, **grads}


def word_figures(xp: Namespace, mlm: Array, predicted: Array, wanted: Targets) -> dict[str, Figure]:
    """The loss times its denominator is the sum over the predictions."""
    count = xp.sum(wanted.weights)
    right = xp.astype(predicted == wanted.ids, wanted.weights.dtype)
    return {
        "masked_lm_accuracy": Figure(xp.sum(wanted.weights * right), count),
        "masked_lm_loss": Figure(mlm * wanted.mlm_denominator, count),
    }


def _sentence_figures(xp: Namespace, nsp: Array, logits: Array, wanted: Targets) -> dict[str, Figure]:
    right = xp.astype(xp.argmax(logits, axis=-1) == wanted.next_sentence, wanted.weights.dtype)
    count = xp.sum(xp.ones_like(right))
    return {
        "next_sentence_accuracy": Figure(xp.sum(right), count),
        "next_sentence_loss": Figure(nsp * wanted.nsp_denominator, count),
    }


def _logits(probe: Probe | None) -> Any:
    return probe.inner({"logits": "mlm.logits"}, rows=False) if probe else None


def _at_predictions(xp: Namespace, probe: Probe | None, wanted: Targets) -> Probe | None:
    """The probe for values at the predictions, (N, ...), which are shown in the padded layout (B, P, ...)."""
    return probe.formed(partial(_rectangle, xp, wanted)) if probe else None


def _rectangle(xp: Namespace, wanted: Targets, value: Array) -> Array:
    B, P = wanted.rectangle
    empty = xp.zeros((B * P, value.shape[-1]), dtype=value.dtype)
    return xp.reshape(xp.index_add(empty, wanted.slots, value), (B, P, value.shape[-1]))


FILE = "bertref/objectives/pretraining.py"
_MLM = TensorRow(
    "loss.mlm", "weighted_cross_entropy", ("mlm.logits",), (), "", "", "loss.mlm", (CROSS_ENTROPY, FILE),
    arguments=("masked_lm_ids", "masked_lm_weights"),
)  # fmt: skip
ROWS = (
    _MLM,
    TensorRow("loss.nsp", "mean_cross_entropy", ("nsp.logits",), (), "", "", "loss.nsp", (CROSS_ENTROPY, FILE),
        arguments=("next_sentence_label",)),
    TensorRow("loss.total", "add", ("loss.mlm", "loss.nsp"), (), "", "", "loss.total", (FILE,)),
)  # fmt: skip
SENTENCES_ALONE = (
    TensorRow("loss.total", "mean_cross_entropy", ("nsp.logits",), (), "", "", "loss.total", (CROSS_ENTROPY, FILE),
              arguments=("next_sentence_label",)),
)  # fmt: skip
WORDS_ALONE = (_MLM, TensorRow("loss.total", "add", ("loss.mlm",), (), "", "", "loss.total", (FILE,)))
"""The losses in the table of the network (`topology`): of both heads, and of each alone."""
