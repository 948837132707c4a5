"""The objective of pre-training, with its denominators, from a batch to the gradients of every parameter.

    loss.mlm   = Σ weights · cross-entropy at the masked positions / (Σ weights + ε)
    loss.nsp   = mean over the sequences of the cross-entropy of the next-sentence label
    loss.total = loss.mlm + loss.nsp

Both denominators belong to the whole batch of a step. When it is computed in chunks, on one device after the other or
on several, every chunk divides by the whole batch's, so that the sum of the chunks is the big batch.

A batch without any prediction has the MLM loss 0 (its numerator) rather than 0/0.

Source: Devlin et al. 2019, section 3.1; `run_pretraining.py` (ε = 1e-5 there, 0 in Hugging Face).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from . import heads, model
from .arrays import Array, Namespace
from .config import Numerics
from .dropout import Dropout
from .layers import Settings
from .layout import Inputs, Layout, inputs
from .opset import OpSet
from .probes import Probe, Recorder
from .row import CROSS_ENTROPY, TensorRow


class BatchLike(Protocol):
    """The host arrays of a batch, as `bertref.data.pretraining.batch.PretrainingBatch` describes them."""

    @property
    def input_ids(self) -> npt.NDArray[Any]: ...
    @property
    def attention_mask(self) -> npt.NDArray[Any]: ...
    @property
    def token_type_ids(self) -> npt.NDArray[Any]: ...
    @property
    def masked_lm_positions(self) -> npt.NDArray[Any]: ...
    @property
    def masked_lm_ids(self) -> npt.NDArray[Any]: ...
    @property
    def masked_lm_weights(self) -> npt.NDArray[Any]: ...
    @property
    def next_sentence_label(self) -> npt.NDArray[Any]: ...
    @property
    def example(self) -> npt.NDArray[Any]: ...


class Denominators(NamedTuple):
    """What the two sums are divided by."""

    mlm: float
    nsp: float


def denominators(batch: BatchLike, numerics: Numerics) -> Denominators:
    """The denominators of a whole batch."""
    mlm = float(np.sum(batch.masked_lm_weights, dtype=np.float64)) + numerics.mlm_denominator_epsilon
    return Denominators(mlm or 1.0, float(len(batch.next_sentence_label)) or 1.0)


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


def targets(xp: Namespace, batch: BatchLike, layout: Layout, divide_by: Denominators, dtype: str) -> Targets:
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
        return xp.from_numpy(np.ascontiguousarray(a).astype(kind))

    return Targets(
        positions=send(rows[slots], "int64"),
        ids=send(batch.masked_lm_ids.reshape(-1)[slots], "int64"),
        weights=send(weights[slots], dtype),
        next_sentence=send(batch.next_sentence_label, "int64"),
        mlm_denominator=send(np.asarray(divide_by.mlm), dtype),
        nsp_denominator=send(np.asarray(divide_by.nsp), dtype),
        slots=send(slots, "int64"),
        rectangle=(B, P),
    )


class Losses(NamedTuple):
    """The three losses, (), and what the metrics need: MLM logits are not kept, NSP logits (B, 2) are."""

    mlm: Array
    nsp: Array
    total: Array


@dataclass
class PretrainingCache:
    """The caches of the encoder, of the transform, the decoder with its loss, and of the NSP head with its loss.

    `decoder_name` is the parameter that the decoder compared with, to which its gradient belongs. Backward uses the
    cache up: what is large is let go as soon as it has served.
    """

    model: model.ModelCache
    transform: heads.TransformCache
    decoder: Any
    decoder_name: str
    next_sentence: Any
    next_sentence_loss: Any


def pretraining_forward(
    ops: OpSet,
    params: dict[str, Array],
    x: Inputs,
    wanted: Targets,
    settings: Settings,
    *,
    dropout: Dropout | None = None,
    probe: Probe | None = None,
) -> tuple[Losses, PretrainingCache]:
    """Ids and targets -> the losses of pre-training."""
    encoded, encoder = model.forward(ops, params, x, settings, dropout=dropout, probe=probe)
    transformed, transform = heads.transform_forward(ops, params, encoded.sequence, wanted.positions, settings, probe)
    decoder_name = heads.decoder_name(params)
    mlm, decoder = ops.decoder_cross_entropy.forward(
        transformed, params[decoder_name], params[heads.DECODER_BIAS],
        wanted.ids, wanted.weights, wanted.mlm_denominator,
        probe=probe.inner({"logits": "mlm.logits"}, rows=False) if probe else None,
    )  # fmt: skip
    logits, next_sentence = heads.next_sentence_forward(ops, params, encoded.pooled, probe)
    nsp, nsp_loss = ops.cross_entropy.forward(logits, wanted.next_sentence, None, wanted.nsp_denominator)
    total, _ = ops.add.forward(mlm, nsp)
    if probe:
        for name, loss in (("mlm", mlm), ("nsp", nsp), ("total", total)):
            probe.array(f"loss.{name}", loss)
    return Losses(mlm, nsp, total), PretrainingCache(encoder, transform, decoder, decoder_name, next_sentence, nsp_loss)


def pretraining_backward(
    ops: OpSet, d_total: Array, cache: PretrainingCache, probe: Probe | None = None
) -> dict[str, Array]:
    """The gradient of loss.total, () (1, or the loss scale) -> gradients of every parameter, by canonical name."""
    # total = mlm + nsp
    run, cache.decoder = cache.decoder, None
    if run is None:
        raise ValueError("the cache has served a backward already; run forward again")
    decoder = ops.decoder_cross_entropy.backward(
        d_total, run, probe=probe.inner({"logits": "mlm.logits"}, rows=False) if probe else None
    )
    del run
    d_sequence, grads = heads.transform_backward(ops, decoder.x, cache.transform, probe)
    dlogits = ops.cross_entropy.backward(d_total, cache.next_sentence_loss).logits
    d_pooled, nsp_grads = heads.next_sentence_backward(ops, dlogits, cache.next_sentence, probe)
    grads |= nsp_grads
    grads[heads.DECODER_BIAS] = decoder.bias
    if probe:
        for name in ("mlm", "nsp", "total"):
            probe.array(f"loss.{name}", d_total)
    encoder_grads = model.backward(ops, d_sequence, d_pooled, cache.model, probe)
    table = decoder.table
    if cache.decoder_name in encoder_grads:
        # tied: the word embeddings are used twice, looked up at the input, and compared with at the output
        table, _ = ops.add.forward(encoder_grads.pop(cache.decoder_name), table)
    return {cache.decoder_name: table, **encoder_grads, **grads}


def pretraining(
    ops: OpSet,
    params: dict[str, Array],
    batch: BatchLike,
    settings: Settings,
    *,
    packed: bool = False,
    divide_by: Denominators | None = None,
    dropout: Dropout | None = None,
    loss_scale: float = 1.0,
    recorder: Recorder | None = None,
    gradients: bool = True,
) -> tuple[Losses, dict[str, Array]]:
    """A host batch -> losses and, unless `gradients` is False, the gradients of every parameter times `loss_scale`.

    `divide_by` are the denominators of the whole batch where this one is a chunk of it. `recorder` collects probes.
    """
    xp = ops.xp
    if not gradients:
        ops = ops.forward_only()
    x = inputs(xp, batch.input_ids, batch.attention_mask, batch.token_type_ids, packed=packed)
    dtype = xp.dtype_name(params[heads.WORD_EMBEDDINGS].dtype)
    # weights and denominators in at least float32, like the losses that they make
    wanted = targets(
        xp, batch, x.layout, divide_by or denominators(batch, settings.numerics),
        dtype if dtype == "float64" else "float32",
    )  # fmt: skip
    probe = Probe(recorder, xp, x.layout) if recorder else None
    losses, cache = pretraining_forward(ops, params, x, wanted, settings, dropout=dropout, probe=probe)
    grads: dict[str, Array] = {}
    if gradients:
        d_total = xp.full_like(losses.total, loss_scale)
        grads = pretraining_backward(ops, d_total, cache, probe and probe.scope("grad:"))
    if recorder:
        _spread_predictions(xp, recorder.values, wanted)
    return losses, grads


def _spread_predictions(xp: Namespace, values: dict[str, Array], wanted: Targets) -> None:
    """Puts the MLM probes (N, ...) into the padded layout (B, P, ...)."""
    B, P = wanted.rectangle
    for name, value in values.items():
        if name.removeprefix("grad:").startswith("mlm."):
            empty = xp.zeros((B * P, value.shape[-1]), dtype=value.dtype)
            values[name] = xp.reshape(xp.index_add(empty, wanted.slots, value), (B, P, value.shape[-1]))


def ordered(grads: Mapping[str, Array], like: Mapping[str, Array]) -> dict[str, Array]:
    """Gradients in the order of the parameters."""
    return {name: grads[name] for name in like}


FILE = "bertref/losses.py"
ROWS = (
    TensorRow("loss.mlm", "weighted_cross_entropy", ("mlm.logits",), (), "", "", "loss.mlm", (CROSS_ENTROPY, FILE),
              arguments=("masked_lm_ids", "masked_lm_weights")),
    TensorRow("loss.nsp", "mean_cross_entropy", ("nsp.logits",), (), "", "", "loss.nsp", (CROSS_ENTROPY, FILE),
              arguments=("next_sentence_label",)),
    TensorRow("loss.total", "add", ("loss.mlm", "loss.nsp"), (), "", "", "loss.total", (FILE,)),
)  # fmt: skip
"""The losses in the table of the network (`topology`)."""
