"""One dense layer over BERT's output: the heads that classify texts, choices and tokens.

    sequence classification   logits = dropout(pooled) Wᵀ + b              (B, K), K labels; K = 1 for regression
    multiple choice           logits = the same with K = 1, reshaped       (B, C), C choices; B*C sequences
    token classification      logits = dropout(x) Wᵀ + b                   (T, K), a row for every token

Dropout keeps with the model's hidden rate and draws at `HEAD_SITE`; a caller who wants another rate for the head
(Hugging Face's `classifier_dropout`) passes a `Dropout` with it. Without `dropout` nothing is dropped.

Source: Devlin et al. 2019, sections 4.1, 4.3 (the vector V of multiple choice), 4.4; `run_classifier.py`,
`create_model`; transformers, `BertForMultipleChoice` and `BertForTokenClassification`.
"""

from ..arrays import Array
from ..dropout import Dropout
from ..errors import InputError
from ..layers import Settings
from ..layout import Layout
from ..opset import OpSet
from ..probes import Probe, padded
from ..row import DENSE, TensorRow, weight_and_bias
from . import dropped_dense
from .dropped_dense import DroppedDenseCache
from .head import Head, Use

WEIGHT, BIAS = "classifier.weight", "classifier.bias"
LOGITS = "classifier.logits"
"""The probe of all three heads, (B, K), (B, C) or (B, S, K)."""


def _forward(
    ops: OpSet, params: dict[str, Array], x: Array, dropout: Dropout | None, *, tokens: bool = False
) -> tuple[Array, DroppedDenseCache]:
    return dropped_dense.forward(ops, params[WEIGHT], params[BIAS], x, dropout, tokens=tokens)


def _backward(ops: OpSet, dlogits: Array, cache: DroppedDenseCache) -> tuple[Array, dict[str, Array]]:
    dx, weight, bias = dropped_dense.backward(ops, dlogits, cache)
    return dx, {WEIGHT: weight, BIAS: bias}


def sequence_classification_forward(
    ops: OpSet,
    params: dict[str, Array],
    pooled: Array,
    *,
    dropout: Dropout | None = None,
    probe: Probe | None = None,
) -> tuple[Array, DroppedDenseCache]:
    """pooled (B, H) -> logits (B, K)."""
    logits, cache = _forward(ops, params, pooled, dropout)
    if probe:
        probe.array(LOGITS, logits)
    return logits, cache


def sequence_classification_backward(
    ops: OpSet, dlogits: Array, cache: DroppedDenseCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (B, K) -> gradient of the pooled output (B, H) and of the classifier."""
    if probe:
        probe.array(LOGITS, dlogits)
    return _backward(ops, dlogits, cache)


def multiple_choice_forward(
    ops: OpSet,
    params: dict[str, Array],
    pooled: Array,
    choices: int,
    *,
    dropout: Dropout | None = None,
    probe: Probe | None = None,
) -> tuple[Array, DroppedDenseCache]:
    """pooled (B*C, H), an example's C choices one after the other -> logits (B, C)."""
    if choices < 1 or pooled.shape[0] % choices:
        raise InputError(f"multiple choice: {pooled.shape[0]} sequences are not a multiple of {choices} choices")
    column, cache = _forward(ops, params, pooled, dropout)
    logits = ops.xp.reshape(column, (-1, choices))
    if probe:
        probe.array(LOGITS, logits)
    return logits, cache


def multiple_choice_backward(
    ops: OpSet, dlogits: Array, cache: DroppedDenseCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (B, C) -> gradient of the pooled output (B*C, H) and of the classifier."""
    if probe:
        probe.array(LOGITS, dlogits)
    # logits = reshape(column)
    return _backward(ops, ops.xp.reshape(dlogits, (-1, 1)), cache)


def token_classification_forward(
    ops: OpSet,
    params: dict[str, Array],
    sequence: Array,
    *,
    dropout: Dropout | None = None,
    probe: Probe | None = None,
) -> tuple[Array, DroppedDenseCache]:
    """sequence (T, H) -> logits (T, K)."""
    logits, cache = _forward(ops, params, sequence, dropout, tokens=True)
    if probe:
        probe.rows(LOGITS, logits)
    return logits, cache


def token_classification_backward(
    ops: OpSet, dlogits: Array, cache: DroppedDenseCache, probe: Probe | None = None
) -> tuple[Array, dict[str, Array]]:
    """dlogits (T, K) -> gradient of the sequence (T, H) and of the classifier."""
    if probe:
        probe.rows(LOGITS, dlogits)
    return _backward(ops, dlogits, cache)


# ---------------------------------------------------------------------------------------------------------------------
# records


def _answer(
    ops: OpSet, params: dict[str, Array], pooled: Array, settings: Settings, layout: Layout, probe: Probe | None
) -> dict[str, Array]:
    logits, _ = sequence_classification_forward(ops, params, pooled, probe=probe)
    return {"logits": logits}


def _answer_tokens(
    ops: OpSet, params: dict[str, Array], sequence: Array, settings: Settings, layout: Layout, probe: Probe | None
) -> dict[str, Array]:
    logits, _ = token_classification_forward(ops, params, sequence, probe=probe)
    return {"logits": padded(ops.xp, logits, layout)}


def _rows(x: str, axes: str, counts: str) -> tuple[TensorRow, ...]:
    parameters = weight_and_bias("classifier", "classifier")
    return (TensorRow(LOGITS, "dense", (x,), parameters, axes, counts, LOGITS, (DENSE,), "classifier"),)


_SHAPES = {WEIGHT: ("labels", "H"), BIAS: ("labels",)}
_TENSORFLOW = {WEIGHT: "output_weights", BIAS: "output_bias"}

SEQUENCE_CLASSIFICATION = Head(
    name="sequence_classification",
    parameters=_SHAPES,
    architectures=("BertForSequenceClassification",),
    pooler=True,
    task="sequence-classification",
    use=Use("classify texts", '"A fine film."'),
    outputs=("logits",),
    forward=sequence_classification_forward,
    backward=sequence_classification_backward,
    answer=_answer,
    rows=_rows("pooled", "B labels", "rows"),
    labelled=WEIGHT,
    tensorflow=_TENSORFLOW,
)
MULTIPLE_CHOICE = Head(
    name="multiple_choice",
    parameters={WEIGHT: ("1", "H"), BIAS: ("1",)},
    architectures=("BertForMultipleChoice",),
    pooler=True,
    task="multiple-choice",
    use=Use("choose an ending", '"It rained," --choice "so we left." --choice "so we sang."'),
    outputs=("logits",),
    forward=multiple_choice_forward,
    backward=multiple_choice_backward,
    answer=_answer,  # a row for each choice
    rows=_rows("pooled", "B C", "rows"),
    labelled=WEIGHT,
    tensorflow=_TENSORFLOW,
)
TOKEN_CLASSIFICATION = Head(
    name="token_classification",
    parameters=_SHAPES,
    architectures=("BertForTokenClassification",),
    pooler=False,
    task="token-classification",
    use=Use("label tokens", '"Ada Lovelace lived in London."'),
    outputs=("logits",),
    forward=token_classification_forward,
    backward=token_classification_backward,
    answer=_answer_tokens,
    rows=_rows("{x}", "B S labels", "tokens"),
    labelled=WEIGHT,
    tensorflow=_TENSORFLOW,
)
