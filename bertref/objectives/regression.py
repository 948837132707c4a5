"""Regression: the squared error, mean over the B*K numbers.

Source: Devlin et al. 2019, appendix B.1 (STS-B); transformers, `BertForSequenceClassification` (regression).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..arrays import Array
from ..heads.classifier import LOGITS
from ..opset import ForwardRun, OpSet
from ..row import SQUARED_ERROR, TensorRow
from . import numbers
from .head_objective import Compared
from .numbers import NumbersObjective, NumberTargets


class RegressionCache(NamedTuple):
    """The run of the loss, which reads the numbers in a row, and the shape (B, K) of their gradient."""

    run: ForwardRun
    shape: tuple[int, ...]


@dataclass(frozen=True)
class RegressionObjective(NumbersObjective):
    """K numbers a text, on the pooled output."""

    def compare(self, ops: OpSet, logits: Array, targets: NumberTargets, *, figures: bool = False) -> Compared:
        """logits (B, K) -> loss, and the figure `loss`."""
        numbers.check_shapes(logits.shape, targets.values.shape)
        flat, wanted = (ops.xp.reshape(a, (-1,)) for a in (logits, targets.values))
        loss, run = ops.squared_error.forward(flat, wanted, targets.denominator)
        shown = numbers.figures(ops.xp, targets, loss) if figures else {}
        return Compared(loss, RegressionCache(run, tuple(logits.shape)), shown)

    def compare_backward(self, ops: OpSet, d_loss: Array, cache: Any) -> Array:
        """d_loss () -> gradient of the logits (B, K)."""
        return ops.xp.reshape(ops.squared_error.backward(d_loss, cache.run).predictions, cache.shape)


FILE = "bertref/objectives/regression.py"
ROWS = (
    TensorRow("loss.total", "mean_squared_error", (LOGITS,), (), "", "", "loss.total", (SQUARED_ERROR, FILE),
              arguments=("labels",)),
)  # fmt: skip
"""The loss in the table of the network (`topology`)."""
