"""What stands on top of the encoder: for each task a forward and a backward, hand-written over ops, and a record.

`params` is the whole model's dict by canonical name; gradients come back under the same names, and with them the
gradient of what the head read: the pooled output (B, H) or the sequence (T, H), which `model.backward` takes.
"""

from .classifier import (
    multiple_choice_backward,
    multiple_choice_forward,
    sequence_classification_backward,
    sequence_classification_forward,
    token_classification_backward,
    token_classification_forward,
)
from .dropped_dense import DroppedDenseCache
from .head import Combination, Head, Use
from .masked_lm import (
    DECODER,
    DECODER_BIAS,
    TRANSFORM,
    WORD_EMBEDDINGS,
    TransformCache,
    decoder_name,
    masked_lm_logits,
    transform_backward,
    transform_forward,
)
from .next_sentence import next_sentence_backward, next_sentence_forward
from .parameters import canonical_number, check, outside_layers, parameter_shapes
from .question_answering import question_answering_backward, question_answering_forward
from .registry import (
    COMBINATIONS,
    HEADS,
    architecture_of,
    architectures,
    expanded,
    labelled,
    sharing,
    tasks,
    with_pooler,
)

__all__ = [
    "COMBINATIONS",
    "DECODER",
    "DECODER_BIAS",
    "HEADS",
    "TRANSFORM",
    "WORD_EMBEDDINGS",
    "Combination",
    "DroppedDenseCache",
    "Head",
    "TransformCache",
    "Use",
    "architecture_of",
    "architectures",
    "canonical_number",
    "check",
    "decoder_name",
    "expanded",
    "labelled",
    "masked_lm_logits",
    "multiple_choice_backward",
    "multiple_choice_forward",
    "next_sentence_backward",
    "next_sentence_forward",
    "outside_layers",
    "parameter_shapes",
    "question_answering_backward",
    "question_answering_forward",
    "sequence_classification_backward",
    "sequence_classification_forward",
    "sharing",
    "tasks",
    "token_classification_backward",
    "token_classification_forward",
    "transform_backward",
    "transform_forward",
    "with_pooler",
]
