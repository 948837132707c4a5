"""Masked words, taught: pre-training as DistilBERT was pre-trained.

    total = α soft + (1 - α) mlm + β hidden

mlm     as in `pretraining`
soft    T² KL(softmax(t/T) || softmax(x/T)), mean over the predictions: x the student's logits there, t those of the
        teacher's own masked-word head
hidden  1 - cos of the vectors of the last layer and the teacher's, mean over the tokens (`imitation`)

DistilBERT's weights 5, 2 and 1 are α = 5/7 and β = 1/7, but for a factor of 7 on everything. Its published code
compares the soft labels at every token by default; here it is what its option `--restrict_ce_to_mask` does.

The teacher reads the student's ids, drops nothing and gets no gradient. Both have one vocabulary: whoever makes the
objective checks that.

Source: Sanh et al. 2019, section 2; transformers' research project `distillation`, `distiller.py`, `step`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import heads, model
from ..arrays import Array, Namespace
from ..config import BertConfig, Numerics
from ..dropout import Dropout
from ..layers import Settings
from ..opset import OpSet
from ..params import Shape
from ..probes import Probe
from . import imitation
from .base import TOTAL, Denominators, Outcome, Prepared
from .distillation import HIDDEN, SOFT, must_make_sense
from .head_objective import send
from .imitation import HiddenCache, Imitation, Teacher, real_rows
from .pretraining import PretrainingHostBatch, PretrainingObjective, Targets, word_figures

MLM = "mlm"


@dataclass(frozen=True)
class TaughtTargets:
    """The words; which rows are tokens (T) and their number in the whole batch, ()."""

    words: Targets
    tokens: Array
    token_count: Array


@dataclass
class TaughtCache:
    """What `backward` needs: of encoder and head, the decoder's parameter, and of the comparisons."""

    encoder: model.ModelCache
    transform: heads.TransformCache
    decoder: Any
    decoder_name: str
    mlm: Any
    soft: Any
    hidden: HiddenCache | None


@dataclass(frozen=True)
class TaughtWordsObjective:
    """Masked words by labels and by a teacher.

    temperature    T, above 0
    alpha          α in [0, 1], the soft loss's share
    hidden_weight  β, 0 or more; 0: the vectors are not compared, and may differ in width

    Raises `InputError` for settings that make no sense.
    """

    teacher: Teacher = field(repr=False, compare=False)
    temperature: float = 2.0
    alpha: float = 0.5
    hidden_weight: float = 1.0

    def __post_init__(self) -> None:
        must_make_sense(self.temperature, self.alpha, self.hidden_weight)

    @property
    def heads(self) -> tuple[str, ...]:
        return self._words.heads

    @property
    def _words(self) -> PretrainingObjective:
        return PretrainingObjective(next_sentence=False)

    @property
    def _imitation(self) -> Imitation | None:
        return Imitation(self.teacher, "cosine") if self.hidden_weight else None

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """None. Raises `InputError` where the vectors can't be compared."""
        return self._imitation.extra_parameters(config) if self._imitation else {}

    def denominators(self, batch: PretrainingHostBatch, numerics: Numerics) -> Denominators:
        """Those of the words, and "hidden"."""
        tokens = float(np.count_nonzero(batch.attention_mask))
        return {**self._words.denominators(batch, numerics), HIDDEN: tokens or 1.0}

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
        """As `Objective.prepare`; the targets are `TaughtTargets`."""
        whole = divide_by or self.denominators(batch, numerics)
        words = self._words.prepare(xp, batch, numerics, packed=packed, dtype=dtype, divide_by=whole)
        tokens = send(xp, real_rows(batch, words.inputs.layout), dtype)
        return Prepared(words.inputs, TaughtTargets(words.targets, tokens, send(xp, whole[HIDDEN], dtype)))

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
    ) -> tuple[Outcome, TaughtCache]:
        """As `Objective.forward`; the figures are those of the words."""
        wanted: TaughtTargets = prepared.targets
        words, add = wanted.words, ops.add.forward
        encoded, encoder = model.forward(ops, params, prepared.inputs, settings, dropout=dropout, probe=probe)
        transformed, transform = heads.transform_forward(ops, params, encoded.sequence, words.positions, settings)
        decoder_name = heads.decoder_name(params)
        logits, decoder = ops.dense.forward(transformed, params[decoder_name], params[heads.DECODER_BIAS])
        mlm, mlm_run = ops.cross_entropy.forward(logits, words.ids, words.weights, words.mlm_denominator)
        teachers = self.teacher.read(ops, prepared.inputs)
        soft, soft_run = ops.kl_divergence.forward(
            logits, self.teacher.words(ops, teachers, words.positions), words.weights, words.mlm_denominator,
            temperature=self.temperature,
        )  # fmt: skip
        total, _ = add(soft * self.alpha, mlm * (1 - self.alpha))
        losses, hidden_cache = {MLM: mlm, SOFT: soft}, None
        if self._imitation:
            losses[HIDDEN], hidden_cache = self._imitation.compare(
                ops, params, encoded.sequence, teachers, wanted.tokens, wanted.token_count
            )
            total, _ = add(total, losses[HIDDEN] * self.hidden_weight)
        losses[TOTAL] = total
        if probe:
            probe.array(f"loss.{TOTAL}", total)
        shown = word_figures(ops.xp, mlm, ops.xp.argmax(logits, axis=-1), words) if figures else {}
        return Outcome(losses, shown), TaughtCache(
            encoder, transform, decoder, decoder_name, mlm_run, soft_run, hidden_cache
        )

    def backward(
        self, ops: OpSet, d_total: Array, cache: TaughtCache, probe: Probe | None = None
    ) -> dict[str, Array]:
        """As `Objective.backward`."""
        if probe:
            probe.array(f"loss.{TOTAL}", d_total)
        add = ops.add.forward
        # total = α soft + (1 - α) mlm + β hidden
        from_soft = ops.kl_divergence.backward(d_total * self.alpha, cache.soft).logits
        from_mlm = ops.cross_entropy.backward(d_total * (1 - self.alpha), cache.mlm).logits
        decoder = ops.dense.backward(add(from_soft, from_mlm)[0], cache.decoder)
        d_sequence, grads = heads.transform_backward(ops, decoder.x, cache.transform)
        if cache.hidden is not None:
            from_hidden, _ = imitation.backward(ops, d_total * self.hidden_weight, cache.hidden)
            d_sequence, _ = add(d_sequence, from_hidden)
        encoder, table = model.backward(ops, d_sequence, None, cache.encoder, probe), decoder.weight
        if cache.decoder_name in encoder:  # tied, as in `pretraining`
            table, _ = add(encoder.pop(cache.decoder_name), table)
        return {cache.decoder_name: table, **encoder, **grads, heads.DECODER_BIAS: decoder.bias}
