"""A student imitates the vectors of a teacher's last layer.

Of the vectors x (T, H) and the teacher's t (T, H') for the same ids, the mean over the real tokens of

    "cosine"   1 - cos(x, t), widths equal (DistilBERT)
    "mse"      the mean square of x Wᵀ - t over the teacher's width, W (H', H) (TinyBERT)

W is a parameter of the run, not of the model: it is learnt and kept with the others under `PROJECTION`, and not saved
with the model (`extra_parameters`). The teacher gets no gradient and drops nothing. It reads the student's ids, so both
must have one vocabulary: whoever makes the objective checks that.

Source: Sanh et al. 2019 (DistilBERT), section 2; Jiao et al. 2020 (TinyBERT), section 3.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .. import heads, model
from ..arrays import Array
from ..config import BertConfig
from ..errors import InputError
from ..layers import Settings
from ..layout import Inputs, Layout
from ..opset import ForwardRun, OpSet
from ..params import Shape
from .base import HostBatch

PROJECTION = "distillation.projection.weight"
COSINE_EPSILON = 1e-12
"""torch's."""


@dataclass(frozen=True)
class Teacher:
    """A teacher whose vectors are imitated: its weights on the device, in the type to compute in, and its settings."""

    params: dict[str, Array]
    settings: Settings

    def read(self, ops: OpSet, inputs: Inputs) -> Array:
        """Ids -> the last layer's vectors (T, H)."""
        encoded, _ = model.forward(ops.forward_only(), self.params, inputs, self.settings)
        return encoded.sequence

    def words(self, ops: OpSet, sequence: Array, positions: Array) -> Array:
        """Its vectors (T, H), rows of them (N) -> the logits of its masked-word head (N, V)."""
        return heads.masked_lm_logits(ops.forward_only(), self.params, sequence, positions, self.settings)


class HiddenCache(NamedTuple):
    """The runs of the projection (None without one) and of the comparison, and the shape of what was compared."""

    projection: ForwardRun | None
    compared: ForwardRun
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Imitation:
    """Whose vectors are imitated, and how that is measured."""

    teacher: Teacher
    measure: Literal["cosine", "mse"]

    def extra_parameters(self, config: BertConfig) -> dict[str, Shape]:
        """Name -> shape of the parameters that the run of a student of this config has beside the model's. Raises
        `InputError` where cosine can't compare."""
        teachers = self.teacher.settings.config.hidden_size
        if self.measure == "mse":
            return {PROJECTION: (teachers, config.hidden_size)}
        if teachers != config.hidden_size:
            raise InputError(
                f"distillation: the teacher's vectors are {teachers} wide, the student's {config.hidden_size}; cosine "
                "compares equal widths, mse any"
            )
        return {}

    def compare(
        self, ops: OpSet, params: dict[str, Array], sequence: Array, teachers: Array, tokens: Array, token_count: Array
    ) -> tuple[Array, HiddenCache]:
        """The student's vectors (T, H), the teacher's (T, H'), which rows are tokens (T), and how many the whole batch
        has () -> the loss ()."""
        xp = ops.xp
        if self.measure == "cosine":
            loss, run = ops.cosine.forward(sequence, teachers, tokens, token_count, eps=COSINE_EPSILON)
            return loss, HiddenCache(None, run, tuple(sequence.shape))
        projected, projection = ops.dense.forward(sequence, params[PROJECTION], None)
        # padding is its own target: difference 0, and gradient 0
        target = xp.where(xp.expand_dims(tokens, axis=1) == 0, projected, teachers)
        flat, flat_target = (xp.reshape(a, (-1,)) for a in (projected, target))
        loss, run = ops.squared_error.forward(flat, flat_target, token_count * teachers.shape[1])
        return loss, HiddenCache(projection, run, tuple(projected.shape))


def backward(ops: OpSet, d_loss: Array, cache: HiddenCache) -> tuple[Array, dict[str, Array]]:
    """d_loss () -> gradient of the student's vectors (T, H), and of the projection."""
    if cache.projection is None:
        return ops.cosine.backward(d_loss, cache.compared).x, {}
    flat = ops.squared_error.backward(d_loss, cache.compared).predictions
    # projected = x Wᵀ
    dense = ops.dense.backward(ops.xp.reshape(flat, cache.shape), cache.projection)
    return dense.x, {PROJECTION: dense.weight}


def real_rows(batch: HostBatch, layout: Layout) -> Any:
    """(T): 1 where the layout's row is a token, not padding."""
    real = batch.attention_mask.reshape(-1) != 0
    return real[real] if layout.packed else real
